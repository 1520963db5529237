/**
 * GPAggregation of FedBone: attention to the previous aggregate rescales each gradient, conflicts are projected away
 * pair by pair, the results are averaged.
 *
 *     a_k = 1                                        no history, or attention 'none'
 *         = n softmax_k(cos(g_k, hist) / tau)        'softmax-cos'
 *         = n softmax_k(g_k . hist / sqrt(d) / tau)  'softmax-dot'
 *     s_k = a_k g_k
 *     p_k = s_k;  for j in order, j != k:  if p_k . s_j < 0:  p_k -= (p_k . s_j / |s_j|^2) s_j
 *     d   = sum_k w_k p_k
 *
 * The factor n keeps mean(a) = 1. Because a_j > 0, projecting off s_j is projecting off g_j, so p_k = a_k P_k with P_k
 * as in PCGrad. One order serves all k: the sorted ids, or a shuffle of them by the round, so that no id is favoured.
 * It does not promise d . g_k >= 0 for three or more clients; ./strict.ts does.
 * Source: Chen et al., FedBone, arXiv 2306.17465 (JCST 39(5), 2024), algorithm 2. The paper's attention formula could
 * not be read; the three forms are readings of "attention to historical aggregated gradients".
 */
import { InvalidParametersError } from '../errors.ts'
import { projectPairs } from './pcgrad.ts'
import { gradientRule } from './rule.ts'
import type { SolvedRule, RuleInput } from './rule.ts'

export const ATTENTIONS = ['none', 'softmax-cos', 'softmax-dot'] as const
export type Attention = typeof ATTENTIONS[number]

export interface GpInit {
  /** Default 'softmax-cos'. */
  attention?: Attention
  /** Temperature of the softmax. Default 1. */
  tau?: number
  /** Order in which conflicts are met: 'round' shuffles the sorted ids by the context's generator. Default 'round'. */
  order?: 'ids' | 'round'
  /** 'given': the weights of the context. Default. */
  weighting?: 'given' | 'uniform'
}

/** a_k, one per row; mean 1. */
export function attentionScale (input: Pick<RuleInput, 'n' | 'length' | 'norms' | 'history'>, attention: Attention, tau: number): Float64Array {
  const { n, history } = input
  if (attention === 'none' || history === undefined) return new Float64Array(n).fill(1)
  const score = history.dots.map((product, k) => attention === 'softmax-cos'
    ? product / ((input.norms[k] as number) * history.norm) / tau
    : product / Math.sqrt(input.length) / tau)
  const top = Math.max(...score)
  const weight = score.map((value) => Math.exp(value - top))
  const total = weight.reduce((sum, value) => sum + value, 0)
  return weight.map((value) => n * value / total)
}

export function gp (init: GpInit = {}): SolvedRule {
  const attention = init.attention ?? 'softmax-cos'
  const tau = init.tau ?? 1
  if (!(tau > 0 && tau < Infinity)) throw new InvalidParametersError(`tau must be a positive number, got ${tau}`)
  return gradientRule('gp', (input) => {
    const { n, gram, random } = input
    const weights = init.weighting === 'uniform' ? new Float64Array(n).fill(1 / n) : input.weights
    const order = init.order === 'ids' ? Array.from({ length: n }, (_, i) => i) : random.permutation(n)
    const scale = attentionScale(input, attention, tau)
    const c = projectPairs(gram, new Array<readonly number[]>(n).fill(order))
    const coefficients = new Float64Array(n)
    for (let k = 0; k < n; k++) {
      const share = (weights[k] as number) * (scale[k] as number)
      for (let j = 0; j < n; j++) coefficients[j] = (coefficients[j] as number) + share * (c[k * n + j] as number)
    }
    return { coefficients, plain: weights }
  })
}
