/**
 * UPGrad: project every gradient on the cone of directions that hurt nobody, then average the projections.
 *
 *     d = sum_i w_i argmin |y - g_i|  over  y . g_j >= 0 for all j
 *
 * d . g_j >= 0 for every j, any number of tasks, whatever their order. n problems of size n (./dual-cone.ts).
 * Source: Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, arXiv 2406.16232, section 3.
 */
import { cosines, solveDual } from './dual-cone.ts'
import { gradientRule } from './rule.ts'
import type { SolvedRule } from './rule.ts'

export interface UpgradInit {
  /** 'given': the weights of the context. Default. */
  weighting?: 'given' | 'uniform'
}

export function upgrad (init: UpgradInit = {}): SolvedRule {
  return gradientRule('upgrad', ({ n, gram, norms, weights }) => {
    const plain = init.weighting === 'uniform' ? new Float64Array(n).fill(1 / n) : weights
    const unit = cosines(gram, norms)
    const coefficients = Float64Array.from(plain)
    for (let i = 0; i < n; i++) {
      // in unit rows the point to project is row i itself, times w_i |g_i|
      const size = (plain[i] as number) * (norms[i] as number)
      const v = solveDual(unit, Float64Array.from({ length: n }, (_, j) => size * (unit[i * n + j] as number)))
      for (let j = 0; j < n; j++) coefficients[j] = (coefficients[j] as number) + (v[j] as number) / (norms[j] as number)
    }
    return { coefficients, plain }
  })
}
