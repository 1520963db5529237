/**
 * The shortest vector of the rows' convex hull, w* = argmin |w G|^2 over w >= 0 with sum 1, from the Gram matrix.
 *
 * With v >= 0 the minimiser of 0.5 v^T (K + m 1 1^T) v - m 1^T v, w* = v / sum v: where v_i > 0 its conditions say
 * (K v)_i = m (1 - sum v), elsewhere (K v)_i is no less, and these are the conditions of w*. So the active-set solver of
 * ./dual-cone.ts serves here too, on rows made one number longer, and ends after finitely many solves.
 * Source: Wolfe, Finding the nearest point in a polytope, Mathematical Programming 11 (1976), for the problem.
 */
import { solveDual } from './dual-cone.ts'
import { inner, multiply } from './gram.ts'

/** |w G|^2 up to this share of what its terms would add up to without cancelling is rounding (float64 eps is 2e-16, 32 rows). */
const CANCELLED = 1e-14
/** The number m, as a share of the largest square, where a row is shorter still: m must stay above its rounding. */
const LEAST_LIFT = 1e-12

export interface MinNorm {
  readonly weights: Float64Array
  /** |w G|^2; 0 where nothing but rounding is left. */
  readonly square: number
  /** max_i (|d|^2 - d . g_i) / (|g_i| |shortest row|), 0 at the exact point. */
  readonly residual: number
}

export function minNorm (k: Float64Array, n: number): MinNorm {
  const squares = Float64Array.from({ length: n }, (_, i) => k[i * n + i] as number)
  const largest = Math.max(...squares)
  const shortest = Math.max(Math.min(...squares), LEAST_LIFT * largest)
  const root = squares.map((square) => Math.sqrt(square + shortest))
  const unit = k.map((value, at) => {
    const [i, j] = [Math.floor(at / n), at % n]
    return i === j ? 1 : (value + shortest) / ((root[i] as number) * (root[j] as number))
  })
  const v = solveDual(unit, root.map((size) => -shortest / size)).map((value, i) => value / (root[i] as number))
  const total = v.reduce((sum, value) => sum + value, 0)
  const weights = v.map((value) => value / total)
  const dots = multiply(k, weights)
  const square = inner(dots, weights)
  const apart = inner(multiply(k.map(Math.abs), weights), weights)
  const residual = dots.reduce((worst, dot, i) => Math.max(worst, (square - dot) / ((root[i] as number) * Math.sqrt(shortest))), 0)
  return { weights, square: square > CANCELLED * apart ? square : 0, residual }
}
