/**
 * What a subset E of a bench of regressions is worth; r[m][i] is model m's residual on labelled number i of the validation
 * rows, each column (an output) in units of the mean distance of its labels from their mean:
 *
 *     skill        1 - mean_i |r[m][i]|; 1 is perfect, 0 as good as always answering the mean
 *     strength     mean skill of the members (not the ensemble's)
 *     diversity    mean over pairs of 1 - corr(r[a], r[b]): 0 where both err alike, above 1 where they err to opposite sides
 *     accuracy     skill of the mean of the members' answers
 *
 * The paper has classes only; this form for numbers is ours.
 */
import { InvalidParametersError } from '../errors.ts'
import type { Subset } from './nsga2.ts'
import type { SubsetScores } from './select.ts'

export interface Answers {
  /** Outputs per row. */
  readonly width: number
  /** [N, width], what is right. */
  readonly labels: ArrayLike<number>
  /** Per model, [N, width]. */
  readonly predictions: ReadonlyArray<ArrayLike<number>>
}

export class ResidualScores implements SubsetScores {
  readonly models: number
  readonly rows: number
  readonly #residuals: readonly Float64Array[]
  readonly #skills: readonly number[]
  readonly #correlations = new Map<number, number>()

  /** @throws {InvalidParametersError} sizes that do not fit, or numbers that are not finite */
  constructor ({ width, labels, predictions }: Answers) {
    this.models = predictions.length
    this.rows = labels.length / width
    const spread = spreadOf(width, labels)
    this.#residuals = predictions.map((p, m) => {
      if (p.length !== labels.length) throw new InvalidParametersError(`model ${m} has ${p.length} answers for ${labels.length} labels`)
      const residuals = Float64Array.from(p, (value, i) => (value - (labels[i] as number)) / (spread[i % width] as number))
      if (!residuals.every(Number.isFinite)) throw new InvalidParametersError(`model ${m} gave an answer that is not finite`)
      return residuals
    })
    this.#skills = this.#residuals.map(skill)
  }

  strength (subset: Subset): number {
    return subset.reduce((sum, m) => sum + (this.#skills[m] as number), 0) / subset.length
  }

  diversity (subset: Subset): number {
    if (subset.length < 2) return 0
    let sum = 0
    subset.forEach((a, i) => subset.slice(0, i).forEach((b) => { sum += 1 - this.#correlation(a, b) }))
    return sum / (subset.length * (subset.length - 1) / 2)
  }

  /** A mean of answers has the mean of their residuals. */
  accuracy (subset: Subset): number {
    const mean = new Float64Array(this.#residuals[0]?.length ?? 0)
    for (const m of subset) this.#residuals[m]?.forEach((r, i) => { mean[i] = (mean[i] as number) + r / subset.length })
    return skill(mean)
  }

  #correlation (a: number, b: number): number {
    const key = Math.max(a, b) * this.models + Math.min(a, b)
    let value = this.#correlations.get(key)
    if (value === undefined) this.#correlations.set(key, value = correlation(this.#residuals[a] as Float64Array, this.#residuals[b] as Float64Array))
    return value
  }
}

/** Mean distance from the mean per output; 1 where all labels are the same, so that nothing is divided by 0. */
function spreadOf (width: number, labels: ArrayLike<number>): number[] {
  const rows = labels.length / width
  return Array.from({ length: width }, (_, k) => {
    let mean = 0
    for (let i = k; i < labels.length; i += width) mean += (labels[i] as number) / rows
    let spread = 0
    for (let i = k; i < labels.length; i += width) spread += Math.abs((labels[i] as number) - mean) / rows
    return spread === 0 || !Number.isFinite(spread) ? 1 : spread
  })
}

function skill (residuals: Float64Array): number {
  return 1 - residuals.reduce((sum, r) => sum + Math.abs(r), 0) / residuals.length
}

function correlation (a: Float64Array, b: Float64Array): number {
  const [meanA, meanB] = [a, b].map((values) => values.reduce((sum, x) => sum + x, 0) / values.length) as [number, number]
  let [ab, aa, bb] = [0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [(a[i] as number) - meanA, (b[i] as number) - meanB]
    ab += x * y
    aa += x * x
    bb += y * y
  }
  return ab / (Math.sqrt(aa * bb) + 1e-12)
}
