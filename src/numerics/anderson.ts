/**
 * Fixed points z = f(z) by Anderson acceleration, each row of a batch on its own: a row's answer does not depend on the rows
 * beside it, and a row that has converged stays as it is. Plain steps until the history is full, then
 *
 *     e = sum_j a_j (p_j + beta r_j)       r_j = f(p_j) - p_j      a = argmin |sum_j a_j r_j|^2 + ridge |a|^2,  sum_j a_j = 1
 *
 * Source: Walker and Ni, Anderson acceleration for fixed-point iterations, SIAM J. Numer. Anal. 49 (2011); the form with a
 * ridge and a ring of the last iterates is that of deep equilibrium models (Bai et al., arXiv 1909.01377).
 */
import { Matrix, solve } from 'ml-matrix'

export interface AndersonOptions {
  /** Iterates that are combined. */
  readonly history: number
  readonly ridge: number
  readonly beta: number
  /** Largest |f(z) - z| of a row that counts as converged. */
  readonly tolerance: number
  readonly maxSteps: number
}

export interface FixedPoint {
  readonly z: Float64Array
  /** Evaluations of f. */
  readonly steps: number
  /** After each of them the largest |f(e) - e| of a row. */
  readonly residuals: readonly number[]
}

/**
 * @param f - of all rows at once; no row may depend on another
 * @param start - rows side by side, of equal length
 */
export async function anderson (f: (z: Float64Array) => Promise<ArrayLike<number>>, start: Float64Array, rows: number, options: AndersonOptions): Promise<FixedPoint> {
  const { history, ridge, beta, tolerance, maxSteps } = options
  const size = start.length / rows
  const z = start.slice()
  const points = Array.from({ length: history }, () => new Float64Array(start.length))
  const offsets = points.map(() => new Float64Array(start.length))
  /** Per row the products of its last residuals with each other. */
  const products = Array.from({ length: rows }, () => Matrix.zeros(history, history))
  const last = new Float64Array(rows).fill(Infinity)
  const residuals: number[] = []
  for (let step = 0; step < maxSteps && last.some(residual => residual >= tolerance); step++) {
    const e = z.slice()
    if (step >= history) {
      for (let row = 0; row < rows; row++) {
        if ((last[row] as number) < tolerance) continue
        const weights = mixture(products[row] as Matrix, ridge)
        for (let i = row * size; i < (row + 1) * size; i++) {
          let sum = 0
          for (let j = 0; j < history; j++) sum += (weights[j] as number) * ((points[j] as Float64Array)[i] as number + beta * ((offsets[j] as Float64Array)[i] as number))
          e[i] = sum
        }
      }
    }
    const next = await f(e)
    const slot = step % history
    const [point, offset] = [points[slot] as Float64Array, offsets[slot] as Float64Array]
    for (let row = 0; row < rows; row++) {
      if ((last[row] as number) < tolerance) continue
      const [from, to] = [row * size, (row + 1) * size]
      for (let i = from; i < to; i++) {
        point[i] = e[i] as number
        offset[i] = (next[i] as number) - (e[i] as number)
        z[i] = next[i] as number
      }
      const own = products[row] as Matrix
      for (let j = 0; j < history; j++) {
        const product = dot(offsets[j] as Float64Array, offset, from, to)
        own.set(slot, j, product).set(j, slot, product)
      }
      last[row] = Math.sqrt(own.get(slot, slot))
    }
    residuals.push(Math.max(...last))
  }
  return { z, steps: residuals.length, residuals }
}

/** Weights of the last iterates, which sum to 1. */
function mixture (products: Matrix, ridge: number): number[] {
  const size = products.rows
  const system = Matrix.zeros(size + 1, size + 1)
  for (let i = 1; i <= size; i++) {
    system.set(0, i, 1).set(i, 0, 1)
    for (let j = 1; j <= size; j++) system.set(i, j, products.get(i - 1, j - 1) + (i === j ? ridge : 0))
  }
  return solve(system, Matrix.columnVector([1, ...new Array<number>(size).fill(0)])).to1DArray().slice(1)
}

function dot (a: Float64Array, b: Float64Array, from: number, to: number): number {
  let sum = 0
  for (let i = from; i < to; i++) sum += (a[i] as number) * (b[i] as number)
  return sum
}
