/**
 * One label per row. Loss: softmax cross-entropy with label smoothing; link: probabilities; row loss: negative
 * log-likelihood. A label of -1 (or NaN) is an unlabelled row: no gradient, row loss NaN, not in any metric.
 */
import { crossEntropy, negativeLogLikelihood, softmax } from './cross-entropy.ts'
import { auroc, classTable, confusion, scores } from './metrics.ts'
import { extent, meanOfLabelled } from './shapes.ts'
import type { Task, TaskSpec } from './task.ts'

export function classes (spec: TaskSpec): Task {
  return {
    spec,
    loss: (prediction, y) => crossEntropy(spec, prediction, y),
    link: (prediction) => softmax(spec, prediction),
    rowLoss: (linked, y) => negativeLogLikelihood(spec, linked, y),
    score (linked, y) {
      const { channels } = extent(spec, linked, y)
      const { counts, support } = confusion(linked, y, channels)
      const table = classTable(counts, spec)
      return scores(spec, support, {
        accuracy: table.accuracy,
        macroF1: table.macroF1,
        auroc: auroc(linked, y, channels),
        loss: meanOfLabelled(negativeLogLikelihood(spec, linked, y))
      }, table.classes)
    }
  }
}
