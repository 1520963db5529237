/**
 * Multinomial logistic regression, regularised:
 *
 *     sum over rows of -log p(label)  +  |W|^2 / (2 C),    p = softmax(W x + b)
 *
 * Convex, so the solution depends on the rows and not on their order or on chance. Classes that no row has cannot be
 * learned; each is given the share that half a row of it would have (Krichevsky and Trofimov), so that their loss is finite.
 */
import { minimise } from './lbfgs.ts'
import type { SparseRows } from './rows.ts'

export interface LogisticInit {
  /** Number of classes; labels are 0 up to it. */
  readonly classes: number
  /** Strength of the data against the regularisation. */
  readonly c: number
}

export interface Logistic {
  readonly classes: number
  /** Classes that training rows had, rising. */
  readonly known: readonly number[]
  /** Probability of each class that they had not. */
  readonly unknown: number
  /** Per column a weight for each known class, then their intercepts. */
  readonly weights: Float64Array
  /** Largest absolute component of the gradient at the solution. */
  readonly gradient: number
  readonly iterations: number
}

/** Absolute, on a sum over rows: every weight is then settled to about 1e-6 times C. */
const TOLERANCE = 1e-7
/** Small sets are through after 20 to 100. */
const MAX_ITERATIONS = 500
/** Multiplications that a fit may take, 1 to 3 s of one core. A tagger of 36 classes and 3 876 features stops after 100 of 200 iterations. */
const MAX_WORK = 1e9
/** What an iteration does with every weight beside the rows: the two loops over remembered steps. */
const MOVES = 32

/** @param labels - one per row, each a class */
export function solveLogistic (rows: SparseRows, labels: ArrayLike<number>, { classes, c }: LogisticInit): Logistic {
  const known = [...new Set(Array.from(labels))].sort((a, b) => a - b)
  const unknown = known.length === classes ? 0 : 0.5 / (rows.count + classes / 2)
  const size = known.length * (rows.columns + 1)
  if (known.length < 2) return { classes, known, unknown, weights: new Float64Array(size), gradient: 0, iterations: 0 }
  const place = new Map(known.map((label, k) => [label, k]))
  const target = Int32Array.from({ length: rows.count }, (_, row) => place.get(labels[row] as number) as number)
  const work = 2 * (rows.value.length * known.length + MOVES * size)
  const iterations = Math.max(1, Math.min(MAX_ITERATIONS, Math.floor(MAX_WORK / work)))
  const { x, gradient, iterations: done } = minimise(size, objective(rows, target, known.length, c), { tolerance: TOLERANCE, iterations })
  return { classes, known, unknown, weights: x, gradient, iterations: done }
}

/** Value and gradient of the regularised loss. */
function objective (rows: SparseRows, target: Int32Array, k: number, c: number): (w: Float64Array, gradient: Float64Array) => number {
  const { columns, count, start, column, value } = rows
  const scores = new Float64Array(k)
  return (w, gradient) => {
    let loss = 0
    for (let i = 0; i < columns * k; i++) {
      const weight = w[i] as number
      loss += weight * weight
      gradient[i] = weight / c
    }
    loss /= 2 * c
    gradient.fill(0, columns * k)
    for (let row = 0; row < count; row++) {
      softmaxRow(rows, row, w, scores)
      const wanted = target[row] as number
      loss -= Math.log(Math.max(Number.MIN_VALUE, scores[wanted] as number))
      scores[wanted] = (scores[wanted] as number) - 1
      const end = start[row + 1] as number
      for (let i = start[row] as number; i < end; i++) {
        const at = (column[i] as number) * k
        const factor = value[i] as number
        for (let j = 0; j < k; j++) gradient[at + j] = (gradient[at + j] as number) + factor * (scores[j] as number)
      }
      for (let j = 0; j < k; j++) gradient[columns * k + j] = (gradient[columns * k + j] as number) + (scores[j] as number)
    }
    return loss
  }
}

/** Softmax of one row into `scores`. */
function softmaxRow ({ columns, start, column, value }: SparseRows, row: number, w: Float64Array, scores: Float64Array): void {
  const k = scores.length
  for (let j = 0; j < k; j++) scores[j] = w[columns * k + j] as number
  const end = start[row + 1] as number
  for (let i = start[row] as number; i < end; i++) {
    const at = (column[i] as number) * k
    const factor = value[i] as number
    for (let j = 0; j < k; j++) scores[j] = (scores[j] as number) + factor * (w[at + j] as number)
  }
  let top = -Infinity
  for (let j = 0; j < k; j++) top = Math.max(top, scores[j] as number)
  let sum = 0
  for (let j = 0; j < k; j++) {
    scores[j] = Math.exp((scores[j] as number) - top)
    sum += scores[j] as number
  }
  for (let j = 0; j < k; j++) scores[j] = (scores[j] as number) / sum
}

/** Probabilities, rows x classes. */
export function logisticProbabilities ({ classes, known, unknown, weights }: Logistic, rows: SparseRows): Float32Array {
  const out = new Float32Array(rows.count * classes).fill(known.length === 0 ? 1 / classes : unknown)
  const share = 1 - unknown * (classes - known.length)
  const scores = new Float64Array(known.length)
  for (let row = 0; row < rows.count; row++) {
    softmaxRow(rows, row, weights, scores)
    known.forEach((label, j) => { out[row * classes + label] = share * (scores[j] as number) })
  }
  return out
}
