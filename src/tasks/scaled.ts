/** What row and pixel regressions share: agreed scales, absolute errors, the mae and rmse of a prediction. */
import { ratio } from './metrics.ts'
import { extent, predictionExtent, rowMeans } from './shapes.ts'
import type { TensorData } from '../tensor/tensor.ts'
import type { TaskSpec } from './task.ts'

export function meanOf (spec: TaskSpec, channel: number): number { return spec.scale?.mean[channel] ?? 0 }

export function deviationOf (spec: TaskSpec, channel: number): number { return spec.scale?.deviation[channel] ?? 1 }

/** Scaled head outputs back to the target's own unit. */
export function unscale (spec: TaskSpec, prediction: TensorData): TensorData {
  const { channels } = predictionExtent(spec, prediction)
  return {
    shape: prediction.shape,
    data: prediction.data.map((value, i) => value * deviationOf(spec, i % channels) + meanOf(spec, i % channels))
  }
}

/** Whether any output of the position has a target. */
export function anyTarget (y: TensorData, position: number, targets: number): boolean {
  for (let c = 0; c < targets; c++) if (!Number.isNaN(y.data[position * targets + c] as number)) return true
  return false
}

/** The mean of `at` over the outputs of a position that have a target. */
export function overTargets (y: TensorData, position: number, targets: number, at: (index: number, channel: number, share: number) => number): number {
  let known = 0
  for (let c = 0; c < targets; c++) if (!Number.isNaN(y.data[position * targets + c] as number)) known++
  let sum = 0
  for (let c = 0; c < targets; c++) {
    const index = position * targets + c
    if (!Number.isNaN(y.data[index] as number)) sum += at(index, c, 1 / known)
  }
  return sum / known
}

/** Mean absolute error per row, in deviations, so that outputs of different units weigh the same. */
export function scaledAbsoluteError (spec: TaskSpec, linked: TensorData, y: TensorData): Float64Array {
  const size = extent(spec, linked, y)
  return rowMeans(size, (p) => anyTarget(y, p, size.targets), (p) => overTargets(y, p, size.targets,
    (i, c) => Math.abs((linked.data[i] as number) - (y.data[i] as number)) / deviationOf(spec, c)))
}

export function errors (spec: TaskSpec, linked: TensorData, y: TensorData): { mae: number, rmse: number, support: number } {
  const { rows, positions, targets } = extent(spec, linked, y)
  let absolute = 0
  let squared = 0
  let n = 0
  let support = 0
  for (let p = 0; p < rows * positions; p++) {
    if (anyTarget(y, p, targets)) support++
    for (let i = p * targets; i < (p + 1) * targets; i++) {
      const error = (linked.data[i] as number) - (y.data[i] as number)
      if (Number.isNaN(y.data[i] as number)) continue
      absolute += Math.abs(error)
      squared += error * error
      n++
    }
  }
  return { mae: ratio(absolute, n), rmse: Math.sqrt(ratio(squared, n)), support }
}
