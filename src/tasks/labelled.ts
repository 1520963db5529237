/** What the three kinds of one label per position share: cross-entropy, probabilities, and the table of hits per class. */
import { crossEntropy, negativeLogLikelihood, softmax } from './cross-entropy.ts'
import { classTable, confusion, scores } from './metrics.ts'
import { extent, meanOfLabelled } from './shapes.ts'
import type { Task, TaskSpec } from './task.ts'
import type { TensorData } from '../tensor/tensor.ts'

export interface Counted {
  readonly linked: TensorData
  readonly y: TensorData
  readonly channels: number
  /** [label, prediction], row-major. */
  readonly counts: ArrayLike<number>
  readonly table: ReturnType<typeof classTable>
}

/** @param metrics - what this kind reports beside the loss and the per-class table */
export function labelled (spec: TaskSpec, metrics: (counted: Counted) => Readonly<Record<string, number>>): Task {
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
        ...metrics({ linked, y, channels, counts, table }),
        loss: meanOfLabelled(negativeLogLikelihood(spec, linked, y))
      }, table.classes)
    }
  }
}
