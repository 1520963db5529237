/**
 * Softmax cross-entropy over the labelled positions, shared by the row, token and pixel classes.
 * With smoothing s the target is (1 - s) on the label plus s / C on every class. A label below 0 or NaN is no
 * label: the position weighs nothing.
 */
import { DataError } from '../errors.ts'
import { extent, meanLoss, predictionExtent, rowMeans } from './shapes.ts'
import type { TensorData } from '../tensor/tensor.ts'
import type { TaskSpec } from './task.ts'

/** Probabilities are float32: below this a logarithm would only measure rounding. */
const LEAST_PROBABILITY = 1e-7

export function isLabel (label: number): boolean { return label >= 0 }

/** @throws {DataError} the label is no class of the task; reading on would use another row's channels */
function classAt (spec: TaskSpec, y: TensorData, position: number): number {
  const label = y.data[position] as number
  if (!Number.isInteger(label) || label >= spec.channels) throw new DataError(`task '${spec.id}': label ${label} is outside its ${spec.channels} classes`)
  return label
}

export function crossEntropy (spec: TaskSpec, prediction: TensorData, y: TensorData): { value: number, grad: TensorData } {
  const size = extent(spec, prediction, y)
  const { channels } = size
  const smoothing = spec.smoothing ?? 0
  const off = smoothing / channels
  const logits = prediction.data
  const grad = new Float32Array(logits.length)
  const value = meanLoss(size, (p) => isLabel(y.data[p] as number), (p, share) => {
    const label = classAt(spec, y, p)
    const start = p * channels
    let top = -Infinity
    for (let c = 0; c < channels; c++) top = Math.max(top, logits[start + c] as number)
    let sum = 0
    for (let c = 0; c < channels; c++) sum += Math.exp((logits[start + c] as number) - top)
    const logSum = top + Math.log(sum)
    let loss = 0
    for (let c = 0; c < channels; c++) {
      const logProbability = (logits[start + c] as number) - logSum
      const target = c === label ? 1 - smoothing + off : off
      loss -= target * logProbability
      grad[start + c] = share * (Math.exp(logProbability) - target)
    }
    return loss
  })
  return { value, grad: { shape: prediction.shape, data: grad } }
}

/** Softmax over the channels of every position. */
export function softmax (spec: TaskSpec, prediction: TensorData): TensorData {
  const { rows, positions, channels } = predictionExtent(spec, prediction)
  const data = new Float32Array(prediction.data.length)
  for (let p = 0; p < rows * positions; p++) {
    const start = p * channels
    let top = -Infinity
    for (let c = 0; c < channels; c++) top = Math.max(top, prediction.data[start + c] as number)
    let sum = 0
    for (let c = 0; c < channels; c++) sum += Math.exp((prediction.data[start + c] as number) - top)
    for (let c = 0; c < channels; c++) data[start + c] = Math.exp((prediction.data[start + c] as number) - top) / sum
  }
  return { shape: prediction.shape, data }
}

/** Negative log-likelihood per row, without smoothing. */
export function negativeLogLikelihood (spec: TaskSpec, linked: TensorData, y: TensorData): Float64Array {
  const size = extent(spec, linked, y)
  return rowMeans(size, (p) => isLabel(y.data[p] as number),
    (p) => -Math.log(Math.max(LEAST_PROBABILITY, linked.data[p * size.channels + classAt(spec, y, p)] as number)))
}
