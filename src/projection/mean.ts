/**
 * The plain mean, d = sum_k w_k g_k: always available, always the control beside a projecting rule.
 * Weights are the caller's (samples, say) or equal; equal weights keep a large site from dominating.
 */
import { gradientRule } from './rule.ts'
import type { SolvedRule } from './rule.ts'

export interface MeanInit {
  /** 'given': the weights of the context. Default. */
  weighting?: 'given' | 'uniform'
}

export function mean (init: MeanInit = {}): SolvedRule {
  return gradientRule('mean', ({ n, weights }) => {
    const w = init.weighting === 'uniform' ? new Float64Array(n).fill(1 / n) : weights
    return { coefficients: w, plain: w }
  })
}
