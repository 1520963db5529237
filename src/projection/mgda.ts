/**
 * MGDA: the shortest vector that can be made of the gradients with weights of sum 1.
 *
 *     w* = argmin |w G|^2  over w >= 0, sum w = 1;      d = sum_i w*_i g_i
 *
 * d . g_i >= |d|^2 for every i, with equality where w_i > 0: no task is hurt, and the shortest gradient decides how long
 * the step is. Where some mean of the gradients is zero no direction helps all tasks, and d is zero (Pareto-stationary).
 * Solved exactly (./min-norm.ts), where the published code stops a Frank-Wolfe search at a change of 1e-5. Weights of the
 * context play no part: the rule chooses its own.
 * Source: Desideri, Comptes Rendus Mathematique 350 (2012); Sener and Koltun, NeurIPS 2018.
 */
import { cosines } from './dual-cone.ts'
import { minNorm } from './min-norm.ts'
import { gradientRule } from './rule.ts'
import type { SolvedRule } from './rule.ts'

export const NORMALISATIONS = ['none', 'l2'] as const

export interface MgdaInit {
  /** 'l2': the gradients are brought to their mean length first, so that the shortest does not decide. Default 'none'. */
  normalisation?: typeof NORMALISATIONS[number]
}

export function mgda (init: MgdaInit = {}): SolvedRule {
  return gradientRule('mgda', ({ n, gram, norms }) => {
    const l2 = init.normalisation === 'l2'
    const { weights, square, residual } = minNorm(l2 ? cosines(gram, norms) : gram, n)
    const length = norms.reduce((sum, size) => sum + size, 0) / n
    const coefficients = weights.map((w, i) => square === 0 ? 0 : l2 ? w * length / (norms[i] as number) : w)
    return { coefficients, plain: new Float64Array(n).fill(1 / n), solver: { iterations: 1, residual, fallback: false } }
  })
}
