/**
 * Yes or no per pixel (edges). Loss: logistic; a positive pixel weighs `positiveWeight` times a negative one, both in
 * training and in the row loss, so that serving judges what was trained. Link: probability; F1 at one half.
 * A label below 0 or NaN is no label.
 */
import { isLabel } from './cross-entropy.ts'
import { ratio, scores } from './metrics.ts'
import { extent, meanLoss, meanOfLabelled, predictionExtent, rowMeans } from './shapes.ts'
import type { TensorData } from '../tensor/tensor.ts'
import type { Task, TaskSpec } from './task.ts'

/** Probabilities are float32: closer to 0 or 1 than this a logarithm would only measure rounding. */
const LEAST_PROBABILITY = 1e-7

export function denseBinary (spec: TaskSpec): Task {
  const positiveWeight = spec.positiveWeight ?? 1
  const logLoss = (linked: TensorData, y: TensorData): Float64Array => rowMeans(extent(spec, linked, y), (p) => isLabel(y.data[p] as number), (p) => {
    const probability = linked.data[p] as number
    return (y.data[p] as number) > 0
      ? -positiveWeight * Math.log(Math.max(LEAST_PROBABILITY, probability))
      : -Math.log(Math.max(LEAST_PROBABILITY, 1 - probability))
  })
  return {
    spec,
    loss (prediction, y) {
      const size = extent(spec, prediction, y)
      const grad = new Float32Array(prediction.data.length)
      const value = meanLoss(size, (p) => isLabel(y.data[p] as number), (p, share) => {
        const positive = (y.data[p] as number) > 0
        const weight = positive ? positiveWeight : 1
        const towards = positive ? prediction.data[p] as number : -(prediction.data[p] as number)
        grad[p] = share * weight * (positive ? -1 : 1) * sigmoid(-towards)
        return weight * (Math.max(0, -towards) + Math.log1p(Math.exp(-Math.abs(towards))))
      })
      return { value, grad: { shape: prediction.shape, data: grad } }
    },
    link (prediction) {
      predictionExtent(spec, prediction)
      return { shape: prediction.shape, data: prediction.data.map(sigmoid) }
    },
    rowLoss: logLoss,
    score (linked, y) {
      const { rows, positions } = extent(spec, linked, y)
      let [hits, predicted, actual, support] = [0, 0, 0, 0]
      for (let p = 0; p < rows * positions; p++) {
        if (!isLabel(y.data[p] as number)) continue
        const [said, is] = [(linked.data[p] as number) > 0.5, (y.data[p] as number) > 0]
        if (said) predicted++
        if (is) actual++
        if (said && is) hits++
        support++
      }
      return scores(spec, support, {
        f1: ratio(2 * hits, predicted + actual),
        precision: ratio(hits, predicted),
        recall: ratio(hits, actual),
        loss: meanOfLabelled(logLoss(linked, y))
      })
    }
  }
}

function sigmoid (z: number): number {
  return z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z))
}
