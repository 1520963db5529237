/**
 * IMTL-G: the direction, made of the gradients with weights of sum 1, that advances along every one of them equally.
 *
 *     d = sum_i a_i g_i,  sum a = 1,  d . g_i / |g_i| the same for all i
 *
 * In unit rows u_i = g_i / |g_i| with C = U U^T this is a_i = x_i / |g_i| / sum_j (x_j / |g_j|), C x = 1: the published
 * form, [a_2 .. a_n] = g_1 U^T (D U^T)^-1, without its choice of a first row. Weights may be negative, and the common
 * advance too: ./strict.ts turns that away. Where rows depend on each other, or the x_j / |g_j| cancel out, there is no such
 * direction: the rule falls back to the mean and says so. Residual: max_i |(C x)_i - 1|.
 * Source: Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, equation 6.
 */
import { solvePositive } from './cholesky.ts'
import { cosines } from './dual-cone.ts'
import { multiply } from './gram.ts'
import { gradientRule } from './rule.ts'
import type { SolvedRule } from './rule.ts'

/** Squared distance of a unit row from those before it, up to which it depends on them: 1e-5 of its length, which float32 rows show. */
const DEPENDENT = 1e-10
/** Weights may cancel to this share of their sum of absolute values; below, the direction is a difference of huge vectors. */
const CANCELLED = 1e-6
/** Rounds of iterative refinement: each gains the digits that the first solve had right. */
const REFINEMENTS = 3

export function imtlG (): SolvedRule {
  return gradientRule('imtl-g', ({ n, gram, norms }) => {
    const plain = new Float64Array(n).fill(1 / n)
    const { x, residual } = equalAdvance(cosines(gram, norms), n)
    const share = x?.map((value, i) => value / (norms[i] as number))
    const total = share?.reduce((sum, value) => sum + value, 0) ?? 0
    const size = share?.reduce((sum, value) => sum + Math.abs(value), 0) ?? 0
    if (share === undefined || !(Math.abs(total) > CANCELLED * size)) {
      return { coefficients: plain, plain, solver: { iterations: 1, residual, fallback: true } }
    }
    return { coefficients: share.map((value) => value / total), plain, solver: { iterations: 1 + REFINEMENTS, residual, fallback: false } }
  })
}

/** C x = 1; no x where rows depend on each other. */
function equalAdvance (c: Float64Array, n: number): { x?: Float64Array, residual: number } {
  const all = [...Array(n).keys()]
  const x = new Float64Array(n)
  let left = new Float64Array(n).fill(1)
  for (let round = 0; round <= REFINEMENTS; round++) {
    const step = solvePositive(c, n, all, left, DEPENDENT)
    if (step === undefined) return { residual: 1 }
    step.forEach((value, i) => { x[i] = (x[i] as number) + value })
    left = multiply(c, x).map((value) => 1 - value)
  }
  return { x, residual: Math.max(...left.map(Math.abs)) }
}
