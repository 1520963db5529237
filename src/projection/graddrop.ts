/**
 * GradDrop: at every coordinate the tasks' signs are drawn for, and the entries of the other sign are dropped.
 *
 *     P = 0.5 (1 + sum_i g_i / sum_i |g_i|),  U uniform in [0, 1)                 per coordinate
 *     keep g_i > 0 if P > U, else g_i < 0;  the rest weighs `leak`;   d = their sum      (reduce 'mean': / n)
 *
 * The only rule here that is no combination of rows. One draw per coordinate, in order, from the context's generator, and
 * rows sorted by id: the same rows give the same bits, piece by piece or not. Where entries agree the sum is kept whole,
 * for which the published 1e-7 below the line is left out: only zeros divide by zero, and they add up to zero either way.
 * It promises nothing about d . g_i; ./strict.ts does. Weights of the context play no part.
 * Source: Chen et al., Just Pick a Sign, NeurIPS 2020, equation 1. Published for gradients of activations; on parameters,
 * as here, it is an adaptation.
 */
import { InvalidParametersError } from '../errors.ts'
import { gradientRule } from './rule.ts'
import type { SolvedRule } from './rule.ts'

export interface GraddropInit {
  /** What a dropped entry still weighs, 0 to 1. Default 0. */
  leak?: number
  /** Default 'sum', as in the paper. */
  reduce?: 'sum' | 'mean'
  /** The draws, one per coordinate. Default: from the context. */
  uniform?: ArrayLike<number>
}

export function graddrop (init: GraddropInit = {}): SolvedRule {
  const { leak = 0, reduce = 'sum', uniform } = init
  if (!(leak >= 0 && leak <= 1)) throw new InvalidParametersError(`leak must be a number from 0 to 1, got ${leak}`)
  return gradientRule('graddrop', ({ n, length, factors, random }) => {
    if (uniform !== undefined && uniform.length !== length) throw new InvalidParametersError(`${uniform.length} draws for ${length} coordinates`)
    const share = reduce === 'sum' ? 1 : 1 / n
    const plain = new Float64Array(n).fill(share)
    let at = 0
    return {
      plain,
      mix: (rows, out) => {
        for (let k = 0; k < out.length; k++) {
          let positive = 0
          let negative = 0
          for (let i = 0; i < n; i++) {
            const value = (rows[i] as Float64Array)[k] as number * (factors[i] as number)
            if (value > 0) positive += value
            else negative += value
          }
          const draw = uniform === undefined ? random.next() : uniform[at] as number
          const up = 0.5 * (1 + (positive + negative) / (positive - negative)) > draw
          out[k] = share * ((up ? 1 : leak) * positive + (up ? leak : 1) * negative)
          at++
        }
      }
    }
  })
}
