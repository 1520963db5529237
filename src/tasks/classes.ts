/**
 * One label per row. Loss: softmax cross-entropy with label smoothing; link: probabilities; row loss: negative
 * log-likelihood. A label of -1 (or NaN) is an unlabelled row: no gradient, row loss NaN, not in any metric.
 */
import { auroc } from './metrics.ts'
import { labelled } from './labelled.ts'
import type { Task, TaskSpec } from './task.ts'

export function classes (spec: TaskSpec): Task {
  return labelled(spec, ({ linked, y, channels, table }) => ({
    accuracy: table.accuracy,
    macroF1: table.macroF1,
    auroc: auroc(linked, y, channels)
  }))
}
