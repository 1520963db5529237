/**
 * CAGrad: of all directions within c |g_0| of the mean g_0, the one that serves the worst-off task best.
 *
 *     d = argmax min_i d . g_i  over  |d - g_0| <= r,  r = c |g_0|
 *     w = argmin  w . K b + r |w G|  over the simplex;    d = g_0 + (r / |w G|) w G        K b: products with the mean
 *     d / (1 + c^2)  (rescale 1),  d / (1 + c)  (2),  d  (0)
 *
 * c = 0 is the mean, a large c approaches MGDA. The minimum is found through r |w G| = min over t > 0 of
 * (r / 2) (|w G|^2 / t + t): for a given t, w G + s g_0 with s = t / r is the shortest vector of the hull of the rows
 * g_i + s g_0 (./min-norm.ts, exact), and t = |w G| is one root on a line. In that form d = (w G + s g_0) / s, which stays
 * well defined where the rows' hull holds zero: there t stops at a small positive number and d goes to the mean's
 * projection on the cone that hurts nobody, if that is within the radius. Residual: what the worst-off task's gain lacks to
 * its bound, in squares of the longest row; up to 2e-6 where t stopped there, 1e-9 elsewhere.
 * Source: Liu et al., Conflict-Averse Gradient Descent, NeurIPS 2021; the solver is ours.
 */
import { InvalidParametersError } from '../errors.ts'
import { combinationNorm, inner, multiply } from './gram.ts'
import { minNorm } from './min-norm.ts'
import { gradientRule } from './rule.ts'
import type { SolvedRule } from './rule.ts'

export interface CagradInit {
  /** Radius around the mean, as a share of its length, >= 0. Default 0.5, as published; 0.4 is the published choice for round deltas. */
  c?: number
  /** Default 1. */
  rescale?: 0 | 1 | 2
  /** 'given': the weights of the context make the mean. Default. */
  weighting?: 'given' | 'uniform'
}

/** A mean shorter than this share of the longest row is zero but for rounding: there is no radius. */
const NO_MEAN = 2e-8
/** Smallest t, as a share of the longest row: its square must stay well above the rounding of the Gram matrix (2e-16). */
const SMALLEST = 1e-4
/** Halvings of the bracket, of which 40 give 12 digits of t, and as many secant steps; hard sets of 2 to 32 rows took up to 45 turns. */
const TURNS = 80
const CLOSE = 1e-12

export function cagrad (init: CagradInit = {}): SolvedRule {
  const { c = 0.5, rescale = 1 } = init
  if (!(c >= 0 && c < Infinity)) throw new InvalidParametersError(`c must be a number >= 0, got ${c}`)
  const shrink = rescale === 1 ? 1 + c * c : rescale === 2 ? 1 + c : 1
  return gradientRule('cagrad', ({ n, gram, norms, weights }) => {
    const plain = init.weighting === 'uniform' ? new Float64Array(n).fill(1 / n) : weights
    const longest = Math.max(...norms)
    const mean = combinationNorm(gram, plain)
    const radius = c * mean
    if (radius === 0 || mean <= NO_MEAN * longest) {
      return { coefficients: plain.map((b) => b / shrink), plain, solver: { iterations: 0, residual: 0, fallback: false } }
    }
    const { w, t, iterations } = search(gram, plain, radius, longest)
    const free = plain.map((b, i) => b + (w[i] as number) * radius / t)
    // the dual value is never below the primal one: what is between them is the error
    const dual = inner(multiply(gram, plain), w) + radius * combinationNorm(gram, w)
    const residual = Math.max(0, dual - Math.min(...multiply(gram, free))) / (longest * longest)
    return { coefficients: free.map((value) => value / shrink), plain, solver: { iterations, residual, fallback: false } }
  })
}

/** The root of |w(t) G| - t, which falls as t grows; the smallest t allowed where it is below that. */
function search (gram: Float64Array, plain: Float64Array, radius: number, longest: number): { w: Float64Array, t: number, iterations: number } {
  const n = plain.length
  const products = multiply(gram, plain)
  const square = inner(products, plain)
  const at = (t: number): { w: Float64Array, t: number, excess: number } => {
    const s = t / radius
    const { weights: w } = minNorm(gram.map((value, ij) => value + s * ((products[Math.floor(ij / n)] as number) + (products[ij % n] as number)) + s * s * square), n)
    return { w, t, excess: combinationNorm(gram, w) - t }
  }
  let low = at(SMALLEST * longest)
  if (low.excess <= 0) return { ...low, iterations: 1 }
  let high = at(longest)
  let iterations = 2
  let best = high
  // secant steps close in fast, halvings in between make sure of it
  while (iterations < TURNS && Math.abs(best.excess) > CLOSE * best.t && high.t - low.t > CLOSE * high.t) {
    const secant = low.t + (high.t - low.t) * low.excess / (low.excess - high.excess)
    best = at(iterations % 2 === 0 ? secant : (low.t + high.t) / 2)
    iterations++
    if (best.excess > 0) low = best
    else high = best
  }
  return { w: best.w, t: Math.max(best.t, best.t + best.excess), iterations }
}
