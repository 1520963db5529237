/**
 * How n task gradients of the same shared parameters become one update. Every rule here is a choice of coefficients
 * from the Gram matrix, update = sum_i c_i g_i, so a rule costs one pass over the rows before and one after it
 * (specs: gradient aggregation, sections 2 and 3). This file holds what all rules share: rows are sorted by id, rows
 * that are zero or not finite are dropped and counted, one row passes unchanged, and what happened is reported.
 *
 * Peers that hold the same rows get the same bits, in whatever order messages arrived: order comes from the ids,
 * chance from a generator seeded by hash(round, topic).
 */
import { InvalidParametersError } from '../errors.ts'
import { addCombination, combinationNorm, dot, gram, norm, store } from './gram.ts'
import { minDirectionCosine, project } from './strict.ts'
import type { Random } from '../random.ts'
import type { Row } from './gram.ts'

/** What projection met and did. Rows are those used, in the order of their ids. */
export interface ConflictStats {
  /** Rows used. */
  readonly rows: number
  /** Rows left out: not finite, or zero. */
  readonly dropped: number
  readonly pairs: number
  /** Pairs with a negative product. */
  readonly conflictPairs: number
  /** Over all pairs; 0 if there is none. */
  readonly meanCosine: number
  readonly minCosine: number
  /** min_i d . g_i / (|d||g_i|); 0 if d is zero. */
  readonly minDirectionCosine: number
  /** 1 - |d| / |plain|, 0 if plain is 0; plain is the weighted mean (for pcgrad with reduce 'sum', the sum). */
  readonly removedShare: number
  readonly norms: readonly number[]
}

export interface RuleContext {
  /** One per row, all different. */
  readonly ids: readonly string[]
  /** One per row, >= 0; scaled to sum 1 over the rows used. Equal if absent. */
  readonly weights?: readonly number[]
  /** Seeded by hash(round, topic), never local. */
  readonly random: Random
  /** The previous round's update, agreed by all. */
  readonly history?: Row
}

export interface GradientRule {
  readonly name: string
  /**
   * @param rows - n gradients of one length
   * @throws {InvalidParametersError} no rows at all, lengths that differ, ids or weights that do not fit
   */
  aggregate<R extends Row> (rows: readonly R[], ctx: RuleContext): { update: R, stats: ConflictStats }
}

/** What a rule sees: at least two usable rows, sorted by id. */
export interface RuleInput {
  readonly n: number
  /** Numbers per row. */
  readonly length: number
  /** [n, n], row-major. */
  readonly gram: Float64Array
  readonly norms: readonly number[]
  /** Sum 1. */
  readonly weights: Float64Array
  readonly random: Random
  /** g_i . history, and its length; absent in the first round or if the history is zero or not finite. */
  readonly history?: { readonly dots: Float64Array, readonly norm: number }
}

export interface RuleSolution {
  /** update = sum_i coefficients_i g_i. */
  readonly coefficients: Float64Array
  /** The same without any projection, for `removedShare`. */
  readonly plain: Float64Array
}

/** A rule that needs no more than the Gram matrix: all of this folder. */
export interface GramRule extends GradientRule {
  readonly solve: (input: RuleInput) => RuleSolution
}

/** Makes a rule of its solver: `gradientRule('mean', ({ weights }) => ({ coefficients: weights, plain: weights }))`. */
export function gradientRule (name: string, solve: GramRule['solve'], options: { strict?: boolean } = {}): GramRule {
  return {
    name,
    solve,
    aggregate: (rows, ctx) => aggregate(solve, options.strict === true, rows, ctx)
  }
}

/**
 * The rule, then one cone projection of its result with the original rows: d . g_i >= 0 for every i.
 * FedBone's pairwise projection alone does not give that for three or more tasks.
 */
export function withStrict (rule: GramRule): GramRule {
  return gradientRule(`${rule.name}+strict`, rule.solve, { strict: true })
}

function aggregate<R extends Row> (solve: GramRule['solve'], strict: boolean, given: readonly R[], ctx: RuleContext): { update: R, stats: ConflictStats } {
  const { rows, norms, weights } = prepare(given, ctx)
  const first = given[0] as R
  const n = rows.length
  const dropped = given.length - n
  if (n === 0) {
    return { update: store(new Float64Array(first.length), first), stats: { ...NOTHING, dropped } }
  }
  if (n === 1) {
    return { update: (rows[0] as R).slice() as R, stats: { ...NOTHING, rows: 1, dropped, minDirectionCosine: 1, norms } }
  }
  const k = gram(rows)
  const input: RuleInput = { n, length: first.length, gram: k, norms, weights, random: ctx.random, ...past(rows, ctx.history) }
  const { coefficients, plain } = solve(input)
  const sum = new Float64Array(first.length)
  addCombination(sum, rows, coefficients)
  const update = strict ? project(sum, rows, k, first).update : store(sum, first)
  const lowest = minDirectionCosine(update, rows)
  const plainNorm = combinationNorm(k, plain)
  const removedShare = plainNorm > NO_MEAN * Math.max(...norms) ? 1 - norm(update) / plainNorm : 0
  return { update, stats: { rows: n, dropped, ...pairs(k, norms), minDirectionCosine: lowest, removedShare, norms } }
}

/** A mean shorter than this share of its longest row is zero but for the rounding of the Gram matrix (sqrt of 2e-16). */
const NO_MEAN = 2e-8

const NOTHING: ConflictStats = {
  rows: 0, dropped: 0, pairs: 0, conflictPairs: 0, meanCosine: 0, minCosine: 0, minDirectionCosine: 0, removedShare: 0, norms: []
}

function prepare<R extends Row> (given: readonly R[], ctx: RuleContext): { rows: R[], norms: number[], weights: Float64Array } {
  const length = given[0]?.length
  if (length === undefined) throw new InvalidParametersError('no gradient rows: the length of the update is unknown')
  if (given.some((row) => row.length !== length)) {
    throw new InvalidParametersError(`gradient rows of different lengths: ${given.map((row) => row.length).join(', ')}`)
  }
  if (ctx.ids.length !== given.length) throw new InvalidParametersError(`${given.length} gradient rows and ${ctx.ids.length} ids`)
  if (new Set(ctx.ids).size !== ctx.ids.length) throw new InvalidParametersError('two gradient rows share one id')
  const weightOf = ctx.weights
  if (weightOf !== undefined && (weightOf.length !== given.length || weightOf.some((w) => !(w >= 0 && w < Infinity)))) {
    throw new InvalidParametersError('weights must be one finite number >= 0 per gradient row')
  }
  const order = ctx.ids.map((_, i) => i).sort((a, b) => (ctx.ids[a] as string) < (ctx.ids[b] as string) ? -1 : 1)
  const rows: R[] = []
  const norms: number[] = []
  const kept: number[] = []
  for (const i of order) {
    const row = given[i] as R
    const size = norm(row)
    if (!(size > 0 && size < Infinity)) continue
    rows.push(row)
    norms.push(size)
    kept.push(weightOf?.[i] ?? 1)
  }
  const total = kept.reduce((sum, w) => sum + w, 0)
  const weights = Float64Array.from(kept, (w) => total > 0 ? w / total : 1 / kept.length)
  return { rows, norms, weights }
}

function past (rows: readonly Row[], history: Row | undefined): Pick<RuleInput, 'history'> {
  if (history === undefined) return {}
  if (history.length !== (rows[0] as Row).length) {
    throw new InvalidParametersError(`a history of ${history.length} numbers beside gradients of ${(rows[0] as Row).length}`)
  }
  const size = norm(history)
  if (!(size > 0 && size < Infinity)) return {}
  return { history: { dots: Float64Array.from(rows, (row) => dot(row, history)), norm: size } }
}

function pairs (k: Float64Array, norms: readonly number[]): Pick<ConflictStats, 'pairs' | 'conflictPairs' | 'meanCosine' | 'minCosine'> {
  const n = norms.length
  let conflictPairs = 0
  let sum = 0
  let minCosine = 1
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      const cosine = (k[i * n + j] as number) / ((norms[i] as number) * (norms[j] as number))
      if (cosine < 0) conflictPairs++
      sum += cosine
      minCosine = Math.min(minCosine, cosine)
    }
  }
  const count = n * (n - 1) / 2
  return { pairs: count, conflictPairs, meanCosine: sum / count, minCosine }
}
