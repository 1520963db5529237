/**
 * What a subset E of a bench of classifiers is worth on N validation rows with C classes; P[m][n][c] is the
 * probability that model m gives class c on row n.
 *
 *     strength     mean over E of a member's own accuracy (not the ensemble's)
 *     pang         mean_n max(0, det(V_n^T V_n)); V_n [C-1, |E|]: the members' vectors without the true label's entry,
 *                  each scaled to length one. 0 for |E| > C - 1 (the matrix is singular). In [0, 1].
 *     cosine       mean over pairs of 1 - corr(P[a], P[b]), flattened and centred
 *     doubleFault  mean over pairs of 1 - P(both wrong)
 *     accuracy     soft: argmax of the mean probability; hard: majority vote; ties to the lowest class
 *
 * Every diversity of a single model is 0.
 * Source: FedPAE, arXiv 2410.14075, with the formulas of its code; Pang et al., ICML 2019 (determinant diversity).
 */
import { InvalidParametersError } from '../errors.ts'
import type { Subset } from './nsga2.ts'

export const DIVERSITIES = ['pang', 'cosine', 'doubleFault'] as const
export type Diversity = typeof DIVERSITIES[number]
export type Combination = 'soft' | 'hard'

export interface Bench {
  readonly classes: number
  /** True class per validation row, [N]. */
  readonly labels: ArrayLike<number>
  /** Per model, [N, C] row-major. */
  readonly probabilities: ReadonlyArray<ArrayLike<number>>
}

/** Everything that subsets share is computed once: accuracies, votes, row-wise and pairwise products. */
export class Objectives {
  readonly models: number
  readonly rows: number
  readonly classes: number
  readonly accuracies: readonly number[]
  readonly #bench: Bench
  readonly #votes: readonly Int32Array[]
  #row: Float64Array | undefined
  #pairs: Float64Array | undefined

  /** @throws {InvalidParametersError} sizes that do not fit, labels out of range, probabilities that are not finite */
  constructor (bench: Bench) {
    const { classes, labels, probabilities } = bench
    const rows = labels.length
    if (!(Number.isInteger(classes) && classes >= 1)) throw new InvalidParametersError(`${classes} is not a number of classes`)
    for (let n = 0; n < rows; n++) {
      const label = labels[n] as number
      if (!(Number.isInteger(label) && label >= 0 && label < classes)) throw new InvalidParametersError(`label ${label} of row ${n} is not one of ${classes} classes`)
    }
    probabilities.forEach((p, m) => {
      if (p.length !== rows * classes) throw new InvalidParametersError(`model ${m} has ${p.length} probabilities for ${rows} rows of ${classes} classes`)
      for (let i = 0; i < p.length; i++) if (!Number.isFinite(p[i])) throw new InvalidParametersError(`model ${m} gave a probability that is not finite`)
    })
    this.#bench = bench
    this.models = probabilities.length
    this.rows = rows
    this.classes = classes
    this.#votes = probabilities.map((p) => Int32Array.from({ length: rows }, (_, n) => argmax(p, n * classes, classes)))
    this.accuracies = this.#votes.map((votes) => hits(votes, labels) / rows)
  }

  strength (subset: Subset): number {
    return subset.reduce((sum, m) => sum + (this.accuracies[m] as number), 0) / subset.length
  }

  diversity (subset: Subset, kind: Diversity): number {
    if (subset.length < 2) return 0
    switch (kind) {
      case 'pang': return this.#pang(subset)
      case 'cosine': return this.#meanOfPairs(subset, this.#correlations())
      case 'doubleFault': return this.#doubleFault(subset)
    }
  }

  accuracy (subset: Subset, combination: Combination = 'soft'): number {
    const { labels, probabilities } = this.#bench
    const c = this.classes
    const sum = new Float64Array(c)
    let right = 0
    for (let n = 0; n < this.rows; n++) {
      sum.fill(0)
      for (const m of subset) {
        if (combination === 'hard') {
          const vote = this.#votes[m]?.[n] as number
          sum[vote] = (sum[vote] as number) + 1
        } else {
          const p = probabilities[m] as ArrayLike<number>
          for (let k = 0; k < c; k++) sum[k] = (sum[k] as number) + (p[n * c + k] as number)
        }
      }
      if (argmax(sum, 0, c) === labels[n]) right++
    }
    return right / this.rows
  }

  #pang (subset: Subset): number {
    const size = subset.length
    if (size > this.classes - 1 || this.rows === 0) return 0
    const all = this.#rowProducts()
    const m = this.models
    const k = new Float64Array(size * size)
    let sum = 0
    for (let n = 0; n < this.rows; n++) {
      for (let a = 0; a < size; a++) {
        for (let b = 0; b < size; b++) k[a * size + b] = all[(n * m + (subset[a] as number)) * m + (subset[b] as number)] as number
      }
      sum += Math.max(0, determinant(k, size))
    }
    return sum / this.rows
  }

  /** Products of the models' vectors without the true label, per row: [N, M, M]. */
  #rowProducts (): Float64Array {
    if (this.#row !== undefined) return this.#row
    const { labels, probabilities } = this.#bench
    const c = this.classes
    const m = this.models
    const out = new Float64Array(this.rows * m * m)
    for (let n = 0; n < this.rows; n++) {
      const vectors = probabilities.map((p) => {
        const v = Float64Array.from({ length: c }, (_, k) => k === labels[n] ? 0 : p[n * c + k] as number)
        const size = Math.sqrt(v.reduce((sum, x) => sum + x * x, 0)) + 1e-12
        return v.map((x) => x / size)
      })
      vectors.forEach((v, a) => vectors.forEach((w, b) => {
        out[(n * m + a) * m + b] = v.reduce((sum, x, i) => sum + x * (w[i] as number), 0)
      }))
    }
    this.#row = out
    return out
  }

  /** 1 - correlation of two models' flattened probabilities: [M, M]. */
  #correlations (): Float64Array {
    if (this.#pairs !== undefined) return this.#pairs
    const m = this.models
    const centred = this.#bench.probabilities.map((p) => {
      const values = Float64Array.from(p)
      const mean = values.reduce((sum, x) => sum + x, 0) / values.length
      const size = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0)) + 1e-12
      return values.map((x) => (x - mean) / size)
    })
    const out = new Float64Array(m * m)
    centred.forEach((a, i) => centred.forEach((b, j) => { out[i * m + j] = 1 - a.reduce((sum, x, n) => sum + x * (b[n] as number), 0) }))
    this.#pairs = out
    return out
  }

  #doubleFault (subset: Subset): number {
    const { labels } = this.#bench
    let sum = 0
    let pairs = 0
    subset.forEach((a, i) => subset.slice(0, i).forEach((b) => {
      let both = 0
      for (let n = 0; n < this.rows; n++) if (this.#votes[a]?.[n] !== labels[n] && this.#votes[b]?.[n] !== labels[n]) both++
      sum += 1 - both / this.rows
      pairs++
    }))
    return sum / pairs
  }

  #meanOfPairs (subset: Subset, table: Float64Array): number {
    let sum = 0
    subset.forEach((a, i) => subset.slice(0, i).forEach((b) => { sum += table[a * this.models + b] as number }))
    return sum / (subset.length * (subset.length - 1) / 2)
  }
}

/** Gaussian elimination with row pivots; overwrites `k`. */
export function determinant (k: Float64Array, n: number): number {
  let product = 1
  for (let p = 0; p < n; p++) {
    let best = p
    for (let r = p + 1; r < n; r++) if (Math.abs(k[r * n + p] as number) > Math.abs(k[best * n + p] as number)) best = r
    const pivot = k[best * n + p] as number
    if (pivot === 0) return 0
    if (best !== p) {
      product = -product
      for (let c = 0; c < n; c++) {
        const held = k[p * n + c] as number
        k[p * n + c] = k[best * n + c] as number
        k[best * n + c] = held
      }
    }
    product *= pivot
    for (let r = p + 1; r < n; r++) {
      const factor = (k[r * n + p] as number) / pivot
      for (let c = p; c < n; c++) k[r * n + c] = (k[r * n + c] as number) - factor * (k[p * n + c] as number)
    }
  }
  return product
}

function argmax (values: ArrayLike<number>, from: number, count: number): number {
  let best = 0
  for (let k = 1; k < count; k++) if ((values[from + k] as number) > (values[from + best] as number)) best = k
  return best
}

function hits (votes: Int32Array, labels: ArrayLike<number>): number {
  return votes.reduce((count, vote, n) => vote === labels[n] ? count + 1 : count, 0)
}
