/**
 * Nash-MTL: tasks bargain for the direction; its gain for task i is d . g_i, and the product of the gains is maximal.
 *
 *     a > 0 with a_i (K a)_i = 1 for all i;    d = sum_i a_i g_i,  times sqrt(|K|_F), clipped to maxNorm
 *
 * a is the one minimiser of 0.5 a^T K a - sum log a. In unit rows, b_i = a_i |g_i| and b_i (C b)_i = 1, which does not know
 * the rows' lengths; solved by Newton's method with backtracking, whose steps are taken whole where the decrement is below
 * a quarter (the function is self-concordant: from there the error squares itself). The factor sqrt(|K|_F) is that of the
 * published code, which solves for K / |K|_F; without the clip d then scales with the rows.
 * Every task gains, d . g_i = 1 / a_i. Where some mean of the unit rows is zero no direction helps all, the bargain has no
 * end and the update is zero (Pareto-stationary, where the paper stops). Residual: max_i |b_i (C b)_i - 1|.
 * Weights of the context play no part.
 * Source: Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022, claim 3.1; the solver is ours.
 */
import { InvalidParametersError } from '../errors.ts'
import { solvePositive } from './cholesky.ts'
import { cosines } from './dual-cone.ts'
import { combinationNorm, inner, multiply } from './gram.ts'
import { minNorm } from './min-norm.ts'
import { gradientRule } from './rule.ts'
import type { SolvedRule } from './rule.ts'

export interface NashMtlInit {
  /** Longest update; Infinity: as long as it comes. Default 1, as published. */
  maxNorm?: number
}

/** Newton steps. Independent rows take about 10; of 600 nearly zero-sum sets of 2 to 32 rows none took more than 24. */
const STEPS = 100
const HALVINGS = 60
/**
 * Goal for the residual: a few roundings of float64. Where b is huge, rounding ends the search earlier: at a hull that comes
 * within 1e-3, 1e-4, 1e-5 of zero the residual reached is 2e-9, 4e-7, 4e-5.
 */
const CLOSE = 1e-13
/** Squared Newton decrement up to which steps are taken whole. */
const WHOLE = 1 / 16
/** A residual above this is no bargain: the answer would favour somebody by more than a thousandth. */
const ACCEPTED = 1e-3
/** Squared length of the unit rows' shortest mean, up to which it is zero: b, its inverse root, would outgrow the rounding of C. */
const STATIONARY = 1e-12

export function nashMtl (init: NashMtlInit = {}): SolvedRule {
  const maxNorm = init.maxNorm ?? 1
  if (!(maxNorm > 0)) throw new InvalidParametersError(`maxNorm must be a number above 0, got ${maxNorm}`)
  return gradientRule('nash-mtl', ({ n, gram, norms }) => {
    const plain = new Float64Array(n).fill(1 / n)
    const { b, iterations, residual } = bargain(cosines(gram, norms), n)
    if (b === undefined) return { coefficients: new Float64Array(n), plain, solver: { iterations, residual, fallback: true } }
    const frobenius = Math.sqrt(inner(gram, gram))
    const a = b.map((value, i) => value / (norms[i] as number) * Math.sqrt(frobenius))
    const size = combinationNorm(gram, a)
    return { coefficients: a.map((value) => value * Math.min(1, maxNorm / size)), plain, solver: { iterations, residual, fallback: false } }
  })
}

/** b > 0 with b_i (C b)_i = 1; no b where there is no end to it. */
export function bargain (c: Float64Array, n: number): { b?: Float64Array, iterations: number, residual: number } {
  if (minNorm(c, n).square <= STATIONARY) return { iterations: 0, residual: 1 }
  const height = (b: Float64Array): number => inner(multiply(c, b), b) / 2 - b.reduce((sum, value) => sum + Math.log(value), 0)
  let b = new Float64Array(n).fill(1)
  let before = Infinity
  for (let iterations = 0; ; iterations++) {
    const slope = slopeOf(c, b)
    const residual = Math.max(...slope.map(Math.abs))
    // a whole step that gains nothing has met the rounding
    const done = residual <= CLOSE || residual > before / 2 || iterations === STEPS
    const z = done ? undefined : newton(c, b, slope)
    if (z === undefined) return residual <= ACCEPTED ? { b, iterations, residual } : { iterations, residual }
    const fall = -inner(slope, z)
    const whole = fall <= WHOLE
    before = whole ? residual : Infinity
    const from = b
    const at = (share: number): Float64Array<ArrayBuffer> => from.map((value, i) => value * (1 + share * (z[i] as number)))
    b = at(whole ? 1 : backtrack((share) => height(at(share)), fall, z))
  }
}

/** The slope along the logarithm of each b_i: b_i (C b)_i - 1. */
function slopeOf (c: Float64Array, b: Float64Array): Float64Array {
  return multiply(c, b).map((value, i) => value * (b[i] as number) - 1)
}

/** Newton's step as shares of b, which keeps the system's diagonal near one however large b is. */
function newton (c: Float64Array, b: Float64Array, slope: Float64Array): Float64Array | undefined {
  const n = b.length
  const scaled = c.map((value, at) => value * (b[Math.floor(at / n)] as number) * (b[at % n] as number) + (at % (n + 1) === 0 ? 1 : 0))
  return solvePositive(scaled, n, [...b.keys()], slope.map((value) => -value), 0)
}

/** The share of a step that keeps b above zero and lowers the height as its slope promises. */
function backtrack (height: (share: number) => number, fall: number, z: Float64Array): number {
  const from = height(0)
  let share = Math.min(1, 0.99 / Math.max(0.99, ...z.map((value) => -value)))
  for (let halving = 0; halving < HALVINGS && !(height(share) <= from - 1e-4 * share * fall); halving++) share /= 2
  return share
}
