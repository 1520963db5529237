/**
 * A site's own last layer (PKCF): after the last step everything before it stands still, and it is trained with a softmax that
 * knows how rare each class is here. Of classes that are rare here it also sees the mean that other sites have of them.
 *
 *     prior_c = (count_c + 1) / sum (count + 1)
 *     loss    = cross-entropy of softmax(z W + b + log prior)          predictions go without the prior
 */
import { AdamW } from '../../training/optimiser.ts'
import { Random, deriveSeed } from '../../random.ts'
import type { Task } from '../../tasks/task.ts'
import type { TensorData } from '../../tensor/tensor.ts'

/** Rows of one step: enough for a steady gradient of one layer, and no more memory on a large site. */
const TUNE_ROWS = 512

/** What some sites know of a task's classes. */
export interface ClassMeans {
  readonly counts: Float32Array
  /** [classes, width]; zeros where the count is 0. */
  readonly means: Float32Array
}

export function priorOf (counts: ArrayLike<number>): Float64Array {
  const total = Array.from(counts).reduce((sum, count) => sum + count + 1, 0)
  return Float64Array.from(counts, count => (count + 1) / total)
}

/** Logits as the loss sees them, [rows, 1, classes]. */
export function balanced ({ shape, data }: TensorData, prior: ArrayLike<number>): TensorData {
  return { shape, data: data.map((value, i) => value + Math.log(prior[i % prior.length] as number)) }
}

export function countsOf (labels: ArrayLike<number>, classes: number): Float32Array {
  const counts = new Float32Array(classes)
  for (const label of Array.from(labels)) if (label >= 0) counts[label] = (counts[label] as number) + 1
  return counts
}

/** Of classes with at least `least` rows: below that a mean would be nearly a row. */
export function meansOf (read: TensorData, labels: ArrayLike<number>, classes: number, least: number): ClassMeans {
  const width = read.shape[1] as number
  const counts = countsOf(labels, classes).map(count => count < least ? 0 : count)
  const sums = new Float64Array(classes * width)
  for (const [row, label] of Array.from(labels).entries()) {
    if (label < 0 || counts[label] === 0) continue
    for (let i = 0; i < width; i++) sums[label * width + i] = (sums[label * width + i] as number) + (read.data[row * width + i] as number) / (counts[label] as number)
  }
  return { counts, means: Float32Array.from(sums) }
}

/** Means of several sites, by rows. */
export function pooledMeans (from: readonly ClassMeans[], classes: number, width: number): ClassMeans {
  const counts = new Float32Array(classes)
  for (const { counts: own } of from) own.forEach((count, c) => { counts[c] = (counts[c] as number) + count })
  const means = new Float64Array(classes * width)
  for (const { counts: own, means: of } of from) {
    own.forEach((count, c) => {
      if (count > 0) for (let i = c * width; i < (c + 1) * width; i++) means[i] = (means[i] as number) + count / (counts[c] as number) * (of[i] as number)
    })
  }
  return { counts, means: Float32Array.from(means) }
}

export interface TuneInit {
  readonly task: Task
  /** [rows, width] */
  readonly read: TensorData
  readonly labels: Float32Array
  /** What other sites know, for classes with fewer than `least` rows here. */
  readonly others?: ClassMeans | undefined
  readonly least: number
  /** Weight [width, classes], then bias. */
  readonly readout: Float32Array
  readonly steps: number
  readonly rate: number
  readonly seed: number
}

/** @returns the readout after `steps` steps of Adam */
export function tunedReadout ({ task, read, labels, others, least, readout, steps, rate, seed }: TuneInit): Float32Array {
  const { channels: classes } = task.spec
  const width = read.shape[1] as number
  const counts = countsOf(labels, classes)
  const prior = priorOf(counts)
  const rare = others === undefined ? [] : [...counts.keys()].filter(c => (counts[c] as number) < least && (others.counts[c] as number) > 0)
  const tuned = readout.slice()
  const adam = new AdamW(tuned.length, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 })
  for (let step = 0; step < steps; step++) {
    const random = new Random(deriveSeed(seed, 'tune', step))
    const drawn = labels.length <= TUNE_ROWS ? [...labels.keys()] : [...random.permutation(labels.length).slice(0, TUNE_ROWS)]
    const z = [...drawn.map(row => read.data.subarray(row * width, (row + 1) * width)), ...rare.map(c => (others as ClassMeans).means.subarray(c * width, (c + 1) * width))]
    const y = Float32Array.from([...drawn.map(row => labels[row] as number), ...rare])
    const logits = { shape: [z.length, 1, classes], data: logitsOf(z, tuned, classes) }
    const { grad } = task.loss(balanced(logits, prior), { shape: [z.length, 1, 1], data: y })
    const gradient = new Float32Array(tuned.length)
    z.forEach((vector, row) => {
      for (let c = 0; c < classes; c++) {
        const g = grad.data[row * classes + c] as number
        for (let i = 0; i < width; i++) gradient[i * classes + c] = (gradient[i * classes + c] as number) + g * (vector[i] as number)
        gradient[width * classes + c] = (gradient[width * classes + c] as number) + g
      }
    })
    adam.apply(tuned, adam.direction(gradient), rate)
  }
  return tuned
}

function logitsOf (z: readonly Float32Array[], readout: Float32Array, classes: number): Float32Array {
  const logits = new Float32Array(z.length * classes)
  z.forEach((vector, row) => {
    for (let c = 0; c < classes; c++) {
      let sum = readout[vector.length * classes + c] as number
      for (let i = 0; i < vector.length; i++) sum += (vector[i] as number) * (readout[i * classes + c] as number)
      logits[row * classes + c] = sum
    }
  })
  return logits
}
