/**
 * Conjugate gradients on the normal equations A^T A u = A^T g, for A that is square and neither symmetric nor definite; each
 * row of a batch has a system of its own. Only products with A and its transpose are asked for. Where fixed-point steps on
 * A = I - J^T need |J| below 1, this needs an A that can be inverted.
 *
 * Source: Hestenes and Stiefel, J. Res. NBS 49 (1952), section 10; the form that keeps the residual g - A u.
 */
export interface ConjugateGradientsOptions {
  /** |g - A u| of a row over its |g| that counts as solved. */
  readonly tolerance: number
  readonly maxSteps: number
}

export interface Solution {
  readonly u: Float64Array
  readonly steps: number
  /** Largest |g - A u| over |g| of a row. */
  readonly residual: number
}

type Product = (v: Float64Array) => Promise<ArrayLike<number>>

/**
 * @param product - A v for all rows at once
 * @param transposed - A^T v
 * @param g - rows side by side, of equal length
 */
export async function conjugateGradients (product: Product, transposed: Product, g: Float64Array, rows: number, { tolerance, maxSteps }: ConjugateGradientsOptions): Promise<Solution> {
  const size = g.length / rows
  const u = new Float64Array(g.length)
  const r = g.slice()
  const bounds = squares(g, rows)
  const p = Float64Array.from(await transposed(r))
  let gamma = squares(p, rows)
  let left = bounds
  let steps = 0
  const open = (row: number): boolean => (left[row] as number) > tolerance ** 2 * (bounds[row] as number) && (gamma[row] as number) > 0
  while (steps < maxSteps && left.some((_, row) => open(row))) {
    steps++
    const q = Float64Array.from(await product(p))
    const lengths = squares(q, rows)
    const moving = Array.from(left, (_, row) => open(row) && (lengths[row] as number) > 0)
    for (let i = 0; i < g.length; i++) {
      const row = Math.floor(i / size)
      if (moving[row] !== true) continue
      const alpha = (gamma[row] as number) / (lengths[row] as number)
      u[i] = (u[i] as number) + alpha * (p[i] as number)
      r[i] = (r[i] as number) - alpha * (q[i] as number)
    }
    const s = Float64Array.from(await transposed(r))
    const next = squares(s, rows)
    for (let i = 0; i < g.length; i++) {
      const row = Math.floor(i / size)
      if (moving[row] === true) p[i] = (s[i] as number) + (next[row] as number) / (gamma[row] as number) * (p[i] as number)
    }
    gamma = next
    left = squares(r, rows)
  }
  return { u, steps, residual: Math.sqrt(Math.max(0, ...Array.from(left, (value, row) => bounds[row] === 0 ? 0 : value / (bounds[row] as number)))) }
}

/** Squared length of each row. */
function squares (values: Float64Array, rows: number): Float64Array {
  const size = values.length / rows
  const sums = new Float64Array(rows)
  for (let i = 0; i < values.length; i++) {
    const row = Math.floor(i / size)
    sums[row] = (sums[row] as number) + (values[i] as number) ** 2
  }
  return sums
}
