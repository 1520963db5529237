/**
 * FFA-LoRA: A stays for ever what the common seed made it, B alone is trained and averaged, so that the average is exact:
 *
 *     B A = sum_k p_k B_k A
 *
 * Half the bytes, and noise on B enters the product once. Clients of lower ranks have the first rows of the same A.
 * Source: Sun et al., arXiv 2403.12313.
 */
import { resized, weightedSum } from '../factors.ts'
import type { LoraRule } from './rule.ts'

export const ffa: LoraRule = {
  name: 'ffa',
  trains: ['B'],
  mixedRanks: true,
  into: 'factors',
  aggregate: (from, { rank }) => {
    const widest = from.reduce((best, share) => share.a.rows > best.a.rows ? share : best)
    return { a: resized(widest, rank).a, b: weightedSum(from.map(({ weight, ...factors }) => [weight, resized(factors, rank).b])) }
  }
}
