/**
 * The average of the products, brought back to one rank by a truncated singular value decomposition:
 *
 *     sum_k p_k B_k A_k = U S V^T        A = S^1/2 V^T        B = U S^1/2        the first r columns of U and V
 *
 * No pair of rank r is nearer to the average (Eckart and Young 1936). Rows come in the order of their singular values, so
 * that a client of lower rank, which takes the first of them, takes the best.
 */
import { Matrix, QrDecomposition, SVD } from 'ml-matrix'
import { resized, stack } from '../factors.ts'
import type { Factors } from '../factors.ts'
import type { LoraRule } from './rule.ts'

/** Singular values below this part of the largest are rounding: the factors are float32. */
const NOTHING = 1e-9

export const svd: LoraRule = {
  name: 'svd',
  trains: ['A', 'B'],
  mixedRanks: true,
  into: 'factors',
  aggregate: (from, { rank }) => truncated(stack(from), rank)
}

/** The best factors of this rank for the product of those given; zeros where the product has not so many dimensions. */
export function truncated ({ a, b }: Factors, rank: number): Factors {
  const { left, right, values } = decomposed({ a, b })
  const kept = values.filter(value => value > NOTHING * (values[0] as number)).slice(0, rank).map(Math.sqrt)
  const factors = { a: Matrix.zeros(kept.length, a.columns), b: Matrix.zeros(b.rows, kept.length) }
  for (const [r, root] of kept.entries()) {
    for (let i = 0; i < a.columns; i++) factors.a.set(r, i, root * right.get(i, r))
    for (let o = 0; o < b.rows; o++) factors.b.set(o, r, root * left.get(o, r))
  }
  return resized(factors, rank)
}

/**
 * B A = left diag(values) right^T. A product of low rank is taken apart through its factors' QR decompositions, and only the
 * small core in the middle is left to the SVD: 768 x 768 of rank 160 then takes seconds less.
 */
function decomposed ({ a, b }: Factors): { left: Matrix, right: Matrix, values: readonly number[] } {
  if (a.rows >= Math.min(a.columns, b.rows)) {
    const { leftSingularVectors, rightSingularVectors, diagonal } = new SVD(b.mmul(a), { autoTranspose: true })
    return { left: leftSingularVectors, right: rightSingularVectors, values: diagonal }
  }
  const [ofB, ofA] = [new QrDecomposition(b), new QrDecomposition(a.transpose())]
  const core = new SVD(ofB.upperTriangularMatrix.mmul(ofA.upperTriangularMatrix.transpose()))
  return { left: ofB.orthogonalMatrix.mmul(core.leftSingularVectors), right: ofA.orthogonalMatrix.mmul(core.rightSingularVectors), values: core.diagonal }
}
