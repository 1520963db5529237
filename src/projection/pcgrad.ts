/**
 * PCGrad: each task's gradient is projected, in turn, off the ORIGINAL gradients that it conflicts with.
 *
 *     P_i = g_i;  for j in order_i, j != i:  if P_i . g_j < 0:  P_i -= (P_i . g_j / |g_j|^2) g_j
 *     d   = sum_i P_i      (reduce 'mean': / n)
 *
 * Rows P_i are kept as coefficients over the g_j, so that a dot product is C_i K[:, j] and no row is ever copied.
 * For two tasks the result hurts neither; for three or more it may, and depends on the order: see ./strict.ts.
 * Source: Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, algorithm 1.
 */
import { InvalidParametersError } from '../errors.ts'
import { gradientRule } from './rule.ts'
import type { SolvedRule } from './rule.ts'

export interface PcgradInit {
  /** Default 'sum', as in the paper. */
  reduce?: 'sum' | 'mean'
  /** Visiting order per task, over rows sorted by id; i itself is skipped. Default: random, from the context. */
  order?: ReadonlyArray<readonly number[]>
}

/**
 * @param k - Gram matrix [n, n]
 * @param order - order[i]: the rows that row i visits
 * @returns C [n, n] with P_i = sum_j C_ij g_j
 */
export function projectPairs (k: Float64Array, order: ReadonlyArray<readonly number[]>): Float64Array {
  const n = order.length
  const c = new Float64Array(n * n)
  for (let i = 0; i < n; i++) {
    c[i * n + i] = 1
    for (const j of order[i] as readonly number[]) {
      if (j === i) continue
      let product = 0
      for (let t = 0; t < n; t++) product += (c[i * n + t] as number) * (k[t * n + j] as number)
      if (product < 0) c[i * n + j] = (c[i * n + j] as number) - product / (k[j * n + j] as number)
    }
  }
  return c
}

export function pcgrad (init: PcgradInit = {}): SolvedRule {
  const reduce = init.reduce ?? 'sum'
  return gradientRule('pcgrad', ({ n, gram, random }) => {
    const order = init.order ?? Array.from({ length: n }, () => random.permutation(n))
    if (order.length !== n || order.some((row) => row.some((j) => !(Number.isInteger(j) && j >= 0 && j < n)))) {
      throw new InvalidParametersError(`the visiting order does not fit ${n} rows`)
    }
    const c = projectPairs(gram, order)
    const share = reduce === 'sum' ? 1 : 1 / n
    const coefficients = new Float64Array(n)
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) coefficients[j] = (coefficients[j] as number) + share * (c[i * n + j] as number)
    }
    return { coefficients, plain: new Float64Array(n).fill(share) }
  })
}
