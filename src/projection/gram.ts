/**
 * Two passes over the rows are all a gradient rule needs: the Gram matrix before it, the combination after it.
 *
 *     K_ij = g_i . g_j          [n, n] float64, row-major
 *     d    = sum_i c_i g_i      [d]    in the rows' type
 *
 * Rows may be float32 (training) or float64 (reference values); every sum runs in float64 (../kernels).
 */
export { dot, gram, norm } from '../kernels/index.ts'
export type { Row } from '../kernels/index.ts'

/** Rows and columns `which` of a matrix of `n` columns. */
export function part (k: Float64Array, n: number, which: readonly number[]): Float64Array {
  return Float64Array.from(which.flatMap((i) => which.map((j) => k[i * n + j] as number)))
}

/** y = K x for a square row-major K. */
export function multiply (k: Float64Array, x: ArrayLike<number>): Float64Array {
  const n = x.length
  const out = new Float64Array(n)
  for (let i = 0; i < n; i++) {
    let sum = 0
    for (let j = 0; j < n; j++) sum += (k[i * n + j] as number) * (x[j] as number)
    out[i] = sum
  }
  return out
}

/** x . y for the small vectors that are one number per row. */
export function inner (x: ArrayLike<number>, y: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < x.length; i++) sum += (x[i] as number) * (y[i] as number)
  return sum
}

/** Length of sum_i c_i g_i, from the Gram matrix alone. */
export function combinationNorm (k: Float64Array, c: ArrayLike<number>): number { return Math.sqrt(Math.max(0, inner(multiply(k, c), c))) }
