/**
 * One label per pixel. Loss: cross-entropy, mean over the labelled pixels of a picture, then over pictures.
 * Mean IoU: over the classes that occur among the labels or the predictions of all rows at hand.
 */
import { crossEntropy, negativeLogLikelihood, softmax } from './cross-entropy.ts'
import { classTable, confusion, scores } from './metrics.ts'
import { extent, meanOfLabelled } from './shapes.ts'
import type { Task, TaskSpec } from './task.ts'

export function denseClasses (spec: TaskSpec): Task {
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
        meanIoU: table.meanIoU,
        pixelAccuracy: table.accuracy,
        loss: meanOfLabelled(negativeLogLikelihood(spec, linked, y))
      }, table.classes)
    }
  }
}
