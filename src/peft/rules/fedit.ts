/**
 * FedIT: both factors are averaged,
 *
 *     A = sum_k p_k A_k        B = sum_k p_k B_k
 *
 * which is not the average of the products: B A - sum_k p_k B_k A_k = sum_ij p_i p_j B_i A_j - sum_i p_i B_i A_i, zero only
 * where all A or all B agree. Source: Zhang et al., arXiv 2305.05644; code JayZhang42/FederatedGPT-Shepherd.
 */
import { weightedSum } from '../factors.ts'
import type { LoraRule } from './rule.ts'

export const fedit: LoraRule = {
  name: 'fedit',
  trains: ['A', 'B'],
  mixedRanks: false,
  into: 'factors',
  aggregate: from => ({ a: weightedSum(from.map(({ weight, a }) => [weight, a])), b: weightedSum(from.map(({ weight, b }) => [weight, b])) })
}
