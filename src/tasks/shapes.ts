import { ShapeMismatchError } from '../errors.ts'
import { elements } from '../tensor/tensor.ts'
import type { TensorData } from '../tensor/tensor.ts'
import type { TaskSpec } from './task.ts'

/** Row count, positions and channels of one prediction beside its targets. */
export interface Extent {
  readonly rows: number
  readonly positions: number
  readonly channels: number
  readonly targets: number
}

/**
 * @param prediction - [rows, positions, channels]
 * @param y - [rows, positions, targets]
 * @throws {ShapeMismatchError} they do not fit the task or each other
 */
export function extent (spec: TaskSpec, prediction: TensorData, y: TensorData): Extent {
  const positions = elements(spec.positions)
  const rows = prediction.shape[0] ?? 0
  check([rows, positions, spec.channels], prediction, `prediction of task ${spec.id}`)
  check([rows, positions, spec.targets], y, `targets of task ${spec.id}`)
  return { rows, positions, channels: spec.channels, targets: spec.targets }
}

/** The same for a prediction alone, as `link` gets it. */
export function predictionExtent (spec: TaskSpec, prediction: TensorData): Extent {
  const positions = elements(spec.positions)
  const rows = prediction.shape[0] ?? 0
  check([rows, positions, spec.channels], prediction, `prediction of task ${spec.id}`)
  return { rows, positions, channels: spec.channels, targets: spec.targets }
}

function check (expected: readonly number[], actual: TensorData, what: string): void {
  // sizes are compared, not ranks: [8, 3] is accepted for [8, 1, 3]
  if (actual.data.length !== elements(expected) || elements(actual.shape) !== actual.data.length) {
    throw new ShapeMismatchError(expected, actual.shape, what)
  }
}

/** The mean of the values that are numbers; NaN when none is. Rows without a label are NaN in every row loss. */
export function meanOfLabelled (values: Float64Array): number {
  let sum = 0
  let n = 0
  for (const value of values) {
    if (Number.isNaN(value)) continue
    sum += value
    n++
  }
  return n === 0 ? NaN : sum / n
}

/**
 * Walks the labelled positions of every row and sums `at`'s loss: mean over the labelled positions of a row,
 * then over the rows that have one. `share` is what one position weighs in that mean, so a gradient is
 * `share * dL/dposition`. A batch without a label costs 0.
 */
export function meanLoss (
  { rows, positions }: Extent,
  labelled: (position: number) => boolean,
  at: (position: number, share: number) => number
): number {
  const counts = new Float64Array(rows)
  let labelledRows = 0
  for (let row = 0; row < rows; row++) {
    let n = 0
    for (let p = row * positions; p < (row + 1) * positions; p++) if (labelled(p)) n++
    counts[row] = n
    if (n > 0) labelledRows++
  }
  let value = 0
  for (let row = 0; row < rows; row++) {
    const n = counts[row] as number
    if (n === 0) continue
    const share = 1 / (n * labelledRows)
    for (let p = row * positions; p < (row + 1) * positions; p++) if (labelled(p)) value += share * at(p, share)
  }
  return value
}

/** One loss per row: the mean over its labelled positions, NaN where it has none. */
export function rowMeans (
  { rows, positions }: Extent,
  labelled: (position: number) => boolean,
  at: (position: number) => number
): Float64Array {
  const out = new Float64Array(rows)
  for (let row = 0; row < rows; row++) {
    let sum = 0
    let n = 0
    for (let p = row * positions; p < (row + 1) * positions; p++) {
      if (!labelled(p)) continue
      sum += at(p)
      n++
    }
    out[row] = n === 0 ? NaN : sum / n
  }
  return out
}
