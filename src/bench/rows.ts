/** Answers and labels of one task in the same order, whatever model answers: that of the site's rows. */
import { elements } from '../tensor/tensor.ts'
import type { Rows } from '../data/dataset.ts'
import type { TaskSpec } from '../tasks/task.ts'
import type { TensorData } from '../tensor/tensor.ts'

/** [rows, positions, targets]. */
export function naturalTargets ({ id, positions, targets }: TaskSpec, { y, count }: Pick<Rows, 'y' | 'count'>): TensorData {
  return { shape: [count, elements(positions), targets], data: y[id] as Float32Array }
}
