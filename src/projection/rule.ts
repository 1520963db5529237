/**
 * How n task gradients of the same shared parameters become one update. Nearly every rule is a choice of coefficients
 * from the Gram matrix, update = sum_i c_i g_i, so it costs one pass over the rows before and one after it
 * (specs: gradient aggregation, sections 2 and 3); the cone projection and balancing only change coefficients. A rule that
 * works on coordinates instead gives a `mix` for the second pass, and its cone projection takes a third. This file
 * holds what all rules share: rows are sorted by id, rows that are zero or not finite are dropped and counted, one
 * row passes unchanged, and what happened is reported.
 *
 * Peers that hold the same rows get the same bits, in whatever order messages arrived: order comes from the ids,
 * chance from a generator seeded by hash(round, topic).
 */
import { InvalidParametersError } from '../errors.ts'
import { combinationNorm, inner, multiply, part } from './gram.ts'
import { combination, copy, mixture, over, overSource, products } from '../kernels/index.ts'
import { harmless, least, pullToCone } from './strict.ts'
import type { Random } from '../random.ts'
import type { Measured, Mix, Pass, Row, RowSource } from '../kernels/index.ts'

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
  /** 1 - |d| / |plain|, 0 if plain is 0; plain is the weighted mean (for a rule with reduce 'sum', the sum). */
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
  /** Takes every row as if it had the median length of the rows used: one huge gradient must not lengthen the others. */
  readonly balance?: boolean
  /** Where the update goes, of the rows' type and length; may be `history`, which is read before. Default: a new row. */
  readonly into?: Row
}

export interface Aggregate<R extends Row> {
  readonly update: R
  readonly stats: ConflictStats
  /** Gram matrix of the rows as they were given, [n, n]. */
  readonly gram: Float64Array
  /** Of rules that search for their coefficients; absent where fewer than two rows were of use. */
  readonly solver?: SolverReport
}

/** How the search for a rule's coefficients ended. */
export interface SolverReport {
  /** Turns taken, of a number that the rule states. */
  readonly iterations: number
  /** What is left of the rule's own optimality condition, free of the rows' scale; each rule says which. */
  readonly residual: number
  /** Whether the rows left the rule no answer of its own, so that it gave the one that its file names. */
  readonly fallback: boolean
}

export interface GradientRule {
  readonly name: string
  /**
   * @param rows - n gradients of one length
   * @throws {InvalidParametersError} no rows at all, lengths that differ, ids or weights that do not fit
   */
  aggregate<R extends Row> (rows: readonly R[], ctx: RuleContext): Aggregate<R>
  /**
   * The same, bit for bit, of rows that come piece by piece: memory is the update and one piece.
   * @throws {InvalidParametersError} as `aggregate`, or a piece that does not fit
   */
  aggregateStream (source: RowSource, ctx: RuleContext): Promise<Aggregate<Float32Array>>
}

/** What a rule sees: at least two usable rows, sorted by id. */
export interface RuleInput {
  readonly n: number
  /** Numbers per row. */
  readonly length: number
  /** Where these rows stand among those that were given. */
  readonly which: readonly number[]
  /** [n, n], row-major. */
  readonly gram: Float64Array
  readonly norms: readonly number[]
  /** What balancing multiplies each row with; in `gram` and `norms` it is done already. */
  readonly factors: readonly number[]
  /** Sum 1. */
  readonly weights: Float64Array
  readonly random: Random
  /** g_i . history, and its length; absent in the first round or if the history is zero or not finite. */
  readonly history?: { readonly dots: Float64Array, readonly norm: number }
}

interface Solution {
  /** Coefficients without any projection, for `removedShare`. */
  readonly plain: Float64Array
  readonly solver?: SolverReport
}

export type RuleSolution =
  /** update = sum_i coefficients_i g_i. */
  | Solution & { readonly coefficients: Float64Array }
  /** update = mix(g), block by block from front to back, of rows as they came: `factors` is the mix's to apply. */
  | Solution & { readonly mix: Mix }

/** A rule by its solver: all of this folder. */
export interface SolvedRule extends GradientRule {
  readonly solve: (input: RuleInput) => RuleSolution
}

/** Makes a rule of its solver: `gradientRule('mean', ({ weights }) => ({ coefficients: weights, plain: weights }))`. */
export function gradientRule (name: string, solve: SolvedRule['solve'], options: { strict?: boolean } = {}): SolvedRule {
  const strict = options.strict === true
  return {
    name,
    solve,
    aggregate<R extends Row> (rows: readonly R[], ctx: RuleContext) {
      const [first] = rows
      if (rows.some(({ length }) => length !== first?.length)) {
        throw new InvalidParametersError(`gradient rows of different lengths: ${rows.map((row) => row.length).join(', ')}`)
      }
      const make = (length: number): R => (first instanceof Float64Array ? new Float64Array(length) : new Float32Array(length)) as R
      return over(rows, aggregation(solve, strict, { rows: rows.length, length: first?.length ?? 0 }, ctx, make))
    },
    aggregateStream: async (source, ctx) => await overSource(source, aggregation(solve, strict, source, ctx, (length) => new Float32Array(length)))
  }
}

/**
 * The rule, then one cone projection of its result with the original rows: d . g_i >= 0 for every i.
 * FedBone's pairwise projection alone does not give that for three or more tasks.
 */
export function withStrict (rule: SolvedRule): SolvedRule {
  return gradientRule(`${rule.name}+strict`, rule.solve, { strict: true })
}

function * aggregation<R extends Row> (solve: SolvedRule['solve'], strict: boolean, { rows, length }: Pick<RowSource, 'rows' | 'length'>, ctx: RuleContext, make: (length: number) => R): Pass<Aggregate<R>> {
  check(rows, length, ctx)
  const history = rows > 1 ? ctx.history : undefined // a row alone passes as it is
  const columns = rows + (history === undefined ? 0 : 1)
  const all = yield * products(rows, length, columns, history)
  const gram = part(all, columns, [...Array(rows).keys()])
  const { which, sizes, weights } = usable(gram, rows, ctx)
  const n = which.length
  const update = (ctx.into ?? make(length)) as R
  const none: ConflictStats = { ...NOTHING, rows: n, dropped: rows - n, norms: sizes }
  if (n === 0) return { update, stats: none, gram }
  if (n === 1) {
    yield * copy(which[0] as number, update)
    return { update, stats: { ...none, minDirectionCosine: 1 }, gram }
  }
  const factors = ctx.balance === true ? sizes.map((size) => lowerMedian(sizes) / size) : sizes.map(() => 1)
  const norms = sizes.map((size, i) => size * (factors[i] as number))
  const k = part(gram, rows, which).map((value, at) => value * (factors[Math.floor(at / n)] as number) * (factors[at % n] as number))
  const past = history === undefined ? {} : pastOf(all, columns, which, factors)
  const solution = solve({ n, length, which, gram: k, norms, factors, weights, random: ctx.random, ...past })
  const made: Made = { k, norms, sizes, factors, which, strict, update }
  const stored = 'mix' in solution ? yield * mixed(made, solution.mix) : yield * combined(made, solution.coefficients)
  const { plain, solver } = solution
  const plainNorm = combinationNorm(k, plain)
  const removedShare = plainNorm > NO_MEAN * Math.max(...norms) ? 1 - Math.sqrt(stored.square) / plainNorm : 0
  return { update, stats: { ...none, ...pairs(k, norms), minDirectionCosine: least(stored, sizes), removedShare, norms }, gram, ...solver === undefined ? {} : { solver } }
}

/** What writing an update needs: the rows used, balanced (`k`, `norms`) and as they came (`sizes`), and where it goes. */
interface Made {
  readonly k: Float64Array
  readonly norms: readonly number[]
  readonly sizes: readonly number[]
  readonly factors: readonly number[]
  readonly which: readonly number[]
  readonly strict: boolean
  readonly update: Row
}

/** One pass: the cone projection is done in the coefficients. */
function * combined ({ k, norms, sizes, factors, which, strict, update }: Made, coefficients: Float64Array): Pass<Measured> {
  const dots = multiply(k, coefficients)
  const free = { square: Math.max(0, inner(dots, coefficients)), dots }
  let c = coefficients
  if (strict && least(free, norms) < 0) {
    const pull = pullToCone(k, norms, free)
    c = coefficients.map((value, i) => pull === undefined ? 0 : value + (pull[i] as number))
  }
  const stored = yield * combination(which, c.map((value, i) => value * (factors[i] as number)), update)
  return strict && !harmless(stored, sizes, free.square) ? nothing(update, which.length) : stored
}

/** What the mix made is measured as it is stored; if it hurts a row, a second pass adds what pulls it to the cone. */
function * mixed ({ k, norms, sizes, factors, which, strict, update }: Made, mix: Mix): Pass<Measured> {
  const free = yield * mixture(which, mix, update)
  if (!strict || least(free, sizes) >= 0) return free
  const pull = pullToCone(k, norms, { square: free.square, dots: free.dots.map((product, i) => product * (factors[i] as number)) })
  if (pull === undefined) return nothing(update, which.length)
  const stored = yield * combination(which, pull.map((value, i) => value * (factors[i] as number)), update, 1)
  return harmless(stored, sizes, free.square) ? stored : nothing(update, which.length)
}

function nothing (update: Row, n: number): Measured {
  update.fill(0)
  return { square: 0, dots: new Float64Array(n) }
}

/** A mean shorter than this share of its longest row is zero but for the rounding of the Gram matrix (sqrt of 2e-16). */
const NO_MEAN = 2e-8

const NOTHING: ConflictStats = {
  rows: 0, dropped: 0, pairs: 0, conflictPairs: 0, meanCosine: 0, minCosine: 0, minDirectionCosine: 0, removedShare: 0, norms: []
}

function check (rows: number, length: number, ctx: RuleContext): void {
  if (rows === 0) throw new InvalidParametersError('no gradient rows: the length of the update is unknown')
  if (ctx.ids.length !== rows) throw new InvalidParametersError(`${rows} gradient rows and ${ctx.ids.length} ids`)
  if (new Set(ctx.ids).size !== ctx.ids.length) throw new InvalidParametersError('two gradient rows share one id')
  if (ctx.weights !== undefined && (ctx.weights.length !== rows || ctx.weights.some((w) => !(w >= 0 && w < Infinity)))) {
    throw new InvalidParametersError('weights must be one finite number >= 0 per gradient row')
  }
  if (ctx.history !== undefined && ctx.history.length !== length) {
    throw new InvalidParametersError(`a history of ${ctx.history.length} numbers beside gradients of ${length}`)
  }
}

/** Rows that are finite and not zero, in the order of their ids, with their lengths and their weights of sum 1. */
function usable (gram: Float64Array, rows: number, { ids, weights }: RuleContext): { which: number[], sizes: number[], weights: Float64Array } {
  const sizeOf = (i: number): number => Math.sqrt(gram[i * rows + i] as number)
  const which = ids.map((_, i) => i)
    .sort((a, b) => (ids[a] as string) < (ids[b] as string) ? -1 : 1)
    .filter((i) => sizeOf(i) > 0 && sizeOf(i) < Infinity)
  const given = which.map((i) => weights?.[i] ?? 1)
  const total = given.reduce((sum, w) => sum + w, 0)
  return { which, sizes: which.map(sizeOf), weights: Float64Array.from(given, (w) => total > 0 ? w / total : 1 / given.length) }
}

/** The history's part of the products, where it stands last. */
function pastOf (all: Float64Array, columns: number, which: readonly number[], factors: readonly number[]): Pick<RuleInput, 'history'> {
  const size = Math.sqrt(all[columns * columns - 1] as number)
  if (!(size > 0 && size < Infinity)) return {}
  return { history: { dots: Float64Array.from(which, (row, i) => (all[row * columns + columns - 1] as number) * (factors[i] as number)), norm: size } }
}

function lowerMedian (values: readonly number[]): number { return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1] as number }

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
