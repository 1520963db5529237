/**
 * A unit vector per pixel (surface normals). Loss: 1 - cosine of the normalised prediction, mean over the labelled
 * pixels of a picture, then over pictures. Metric: mean of 2 atan2(|p - g|, |p + g|) in degrees, which stays exact
 * where an arc cosine loses its digits. A target that is NaN or the zero vector is no label.
 */
import { ratio, scores } from './metrics.ts'
import { extent, meanLoss, meanOfLabelled, predictionExtent, rowMeans } from './shapes.ts'
import type { TensorData } from '../tensor/tensor.ts'
import type { Task, TaskSpec } from './task.ts'

/** Added to the squared length, so that a prediction near zero has a finite gradient. */
const SOFTENING = 1e-12

export function denseDirection (spec: TaskSpec): Task {
  const size = spec.channels
  const labelled = (y: TensorData, p: number): boolean => dot(y.data, p * size, y.data, p * size, size) > 0
  const length = (data: Float32Array, p: number): number => Math.sqrt(dot(data, p * size, data, p * size, size) + SOFTENING)
  const oneMinusCosine = (linked: TensorData, y: TensorData): Float64Array => rowMeans(extent(spec, linked, y), (p) => labelled(y, p),
    (p) => 1 - dot(linked.data, p * size, y.data, p * size, size) / (length(linked.data, p) * length(y.data, p)))
  return {
    spec,
    loss (prediction, y) {
      const all = extent(spec, prediction, y)
      const grad = new Float32Array(prediction.data.length)
      const value = meanLoss(all, (p) => labelled(y, p), (p, share) => {
        const [a, b] = [length(prediction.data, p), length(y.data, p)]
        const cosine = dot(prediction.data, p * size, y.data, p * size, size) / (a * b)
        for (let i = p * size; i < (p + 1) * size; i++) {
          grad[i] = share * ((prediction.data[i] as number) * cosine / a - (y.data[i] as number) / b) / a
        }
        return 1 - cosine
      })
      return { value, grad: { shape: prediction.shape, data: grad } }
    },
    link (prediction) {
      predictionExtent(spec, prediction)
      return { shape: prediction.shape, data: prediction.data.map((v, i) => v / length(prediction.data, Math.floor(i / size))) }
    },
    rowLoss: oneMinusCosine,
    score (linked, y) {
      const { rows, positions } = extent(spec, linked, y)
      let sum = 0
      let support = 0
      for (let p = 0; p < rows * positions; p++) {
        if (!labelled(y, p)) continue
        const [a, b] = [length(linked.data, p), length(y.data, p)]
        let apart = 0
        let together = 0
        for (let i = p * size; i < (p + 1) * size; i++) {
          const [u, v] = [(linked.data[i] as number) / a, (y.data[i] as number) / b]
          apart += (u - v) * (u - v)
          together += (u + v) * (u + v)
        }
        sum += 2 * Math.atan2(Math.sqrt(apart), Math.sqrt(together)) * 180 / Math.PI
        support++
      }
      return scores(spec, support, { angle: ratio(sum, support), loss: meanOfLabelled(oneMinusCosine(linked, y)) })
    }
  }
}

function dot (a: Float32Array, i: number, b: Float32Array, j: number, n: number): number {
  let sum = 0
  for (let k = 0; k < n; k++) sum += (a[i + k] as number) * (b[j + k] as number)
  return sum
}
