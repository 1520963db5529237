/**
 * FLoRA: factors are stacked, with the weights on one of the two only, and the average of the products is exact:
 *
 *     A = [p_1 A_1; ...; p_K A_K]        B = [B_1, ..., B_K]        rank = sum_k r_k
 *
 * The stack is added to the frozen weights, and everybody starts again with a fresh A and B = 0. Ranks may differ as long
 * as s is the same at every client. A stack above `rankMax` rows is factored anew to that many (./svd.ts), the best that so few can do.
 * Source: Wang et al., arXiv 2409.05976; code ATP-1010/FederatedLLM.
 */
import { stack } from '../factors.ts'
import { truncated } from './svd.ts'
import type { LoraRule } from './rule.ts'

export const flora: LoraRule = {
  name: 'flora',
  trains: ['A', 'B'],
  mixedRanks: true,
  into: 'base',
  aggregate: (from, { rankMax = Infinity }) => {
    const whole = stack(from)
    return whole.a.rows > rankMax ? truncated(whole, rankMax) : whole
  }
}
