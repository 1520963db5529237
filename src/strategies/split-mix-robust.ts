/**
 * Split-Mix whose bases have two batch normalisations, for clean rows and for attacked ones: robustness is chosen when the
 * model is used. Source: Hong et al., arXiv 2203.09747; its weight of attacked rows.
 */
import { splitMix } from './split-mix.ts'
import type { Strategy } from './strategy.ts'

export const splitMixRobust: Strategy = {
  ...splitMix,
  name: 'split-mix-robust',
  model: { ...splitMix.model, norm: 'batch' },
  method: { ...splitMix.method, name: 'split-mix', lambdaTrain: 0.5 }
}
