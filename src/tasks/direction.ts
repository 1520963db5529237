/**
 * An angle per row as (cos, sin[, valid]). Loss: squared error of the two outputs (their mean) on the valid rows;
 * link: unit vectors, so that models can be averaged; metric: mean angle between prediction and truth, degrees.
 */
import { ratio, scores } from './metrics.ts'
import { extent, meanLoss, meanOfLabelled, predictionExtent, rowMeans } from './shapes.ts'
import type { TensorData } from '../tensor/tensor.ts'
import type { Task, TaskSpec } from './task.ts'

/** A shorter vector than this has no direction; it is divided by this instead of by its length. */
const LEAST_LENGTH = 1e-6

export function direction (spec: TaskSpec): Task {
  const valid = (y: TensorData, p: number): boolean => {
    const start = p * spec.targets
    return !Number.isNaN(y.data[start] as number) && !Number.isNaN(y.data[start + 1] as number) &&
      (spec.targets === 2 || (y.data[start + 2] as number) > 0)
  }
  const squaredError = (linked: TensorData, y: TensorData): Float64Array => rowMeans(extent(spec, linked, y), (p) => valid(y, p), (p) => {
    const a = (linked.data[p * 2] as number) - (y.data[p * spec.targets] as number)
    const b = (linked.data[p * 2 + 1] as number) - (y.data[p * spec.targets + 1] as number)
    return (a * a + b * b) / 2
  })
  return {
    spec,
    loss (prediction, y) {
      const size = extent(spec, prediction, y)
      const grad = new Float32Array(prediction.data.length)
      const value = meanLoss(size, (p) => valid(y, p), (p, share) => {
        let sum = 0
        for (let c = 0; c < 2; c++) {
          const error = (prediction.data[p * 2 + c] as number) - (y.data[p * size.targets + c] as number)
          grad[p * 2 + c] = share * error
          sum += error * error / 2
        }
        return sum
      })
      return { value, grad: { shape: prediction.shape, data: grad } }
    },
    link (prediction) {
      const { rows, positions } = predictionExtent(spec, prediction)
      const data = new Float32Array(prediction.data.length)
      for (let i = 0; i < rows * positions * 2; i += 2) {
        const length = Math.max(LEAST_LENGTH, Math.hypot(prediction.data[i] as number, prediction.data[i + 1] as number))
        data[i] = (prediction.data[i] as number) / length
        data[i + 1] = (prediction.data[i + 1] as number) / length
      }
      return { shape: prediction.shape, data }
    },
    rowLoss: squaredError,
    score (linked, y) {
      const { rows, positions, targets } = extent(spec, linked, y)
      let sum = 0
      let support = 0
      for (let p = 0; p < rows * positions; p++) {
        if (!valid(y, p)) continue
        const [a, b] = [linked.data[p * 2] as number, linked.data[p * 2 + 1] as number]
        const [c, d] = [y.data[p * targets] as number, y.data[p * targets + 1] as number]
        sum += Math.abs(Math.atan2(a * d - b * c, a * c + b * d)) * 180 / Math.PI
        support++
      }
      return scores(spec, support, { angle: ratio(sum, support), loss: meanOfLabelled(squaredError(linked, y)) })
    }
  }
}
