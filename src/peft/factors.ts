/**
 * Low-rank corrections of a frozen dense layer (LoRA, Hu et al., arXiv 2106.09685): with W0 as the spec writes it, [out, in],
 *
 *     W = W0 + s B A        A: r x in, random at the start        B: out x r, zero at the start        s = alpha / r
 *
 * so that nothing changes before B moves. The aggregation rules (./rules) work on factors in float64.
 */
import { Matrix } from 'ml-matrix'

export interface Factors {
  /** r x in. */
  readonly a: Matrix
  /** out x r. */
  readonly b: Matrix
}

/** What one client trained, and its share of all samples. */
export interface Share extends Factors {
  readonly weight: number
}

/** Numbers of one dense layer, as its trunk's graph has it. */
export interface DenseSize {
  readonly inputs: number
  readonly outputs: number
}

/** Factors out of the flat vectors that travel, row by row. */
export function factorsOf (a: ArrayLike<number>, b: ArrayLike<number>, { inputs, outputs }: DenseSize): Factors {
  const rank = a.length / inputs
  return { a: Matrix.from1DArray(rank, inputs, Array.from(a)), b: Matrix.from1DArray(outputs, rank, Array.from(b)) }
}

/** Row by row, as it travels. */
export function flat (matrix: Matrix): Float32Array { return Float32Array.from(matrix.to1DArray()) }

/** The first `rank` rows of A and columns of B; where there are fewer, zeros follow. */
export function resized ({ a, b }: Factors, rank: number): Factors {
  const [wideA, wideB] = [Matrix.zeros(rank, a.columns), Matrix.zeros(b.rows, rank)]
  const shared = Math.min(rank, a.rows)
  for (let r = 0; r < shared; r++) {
    for (let i = 0; i < a.columns; i++) wideA.set(r, i, a.get(r, i))
    for (let o = 0; o < b.rows; o++) wideB.set(o, r, b.get(o, r))
  }
  return { a: wideA, b: wideB }
}

/** All factors side by side, p_k on A alone: the product is sum_k p_k B_k A_k, its rank the sum of the ranks. */
export function stack (shares: readonly Share[]): Factors {
  const [first] = shares as [Share]
  const rank = shares.reduce((sum, { a }) => sum + a.rows, 0)
  const [a, b] = [Matrix.zeros(rank, first.a.columns), Matrix.zeros(first.b.rows, rank)]
  let at = 0
  for (const share of shares) {
    a.setSubMatrix(Matrix.mul(share.a, share.weight), at, 0)
    b.setSubMatrix(share.b, 0, at)
    at += share.a.rows
  }
  return { a, b }
}

/** sum_k p_k M_k */
export function weightedSum (matrices: ReadonlyArray<readonly [number, Matrix]>): Matrix {
  const [first] = matrices as [readonly [number, Matrix]]
  const sum = Matrix.zeros(first[1].rows, first[1].columns)
  for (const [weight, matrix] of matrices) sum.add(Matrix.mul(matrix, weight))
  return sum
}

/**
 * Adds s B A to a weight of the trunk, [in, out] row by row, in place. Summed in float64 and rounded once: whoever merges the
 * same factors into the same weights gets the same bits.
 */
export function mergeInto (weight: Float32Array, factors: Factors, scale: number): void {
  const { a, b } = factors
  const product = b.mmul(a)
  for (let i = 0; i < a.columns; i++) {
    for (let o = 0; o < b.rows; o++) weight[i * b.rows + o] = (weight[i * b.rows + o] as number) + scale * product.get(o, i)
  }
}
