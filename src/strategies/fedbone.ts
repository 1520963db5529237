/**
 * FedBone: a shared backbone on hosts, embedders and heads at home, conflicting client gradients projected before they are
 * averaged. The published rule leaves conflicts for three or more tasks; `strict` closes that gap.
 * Source: Chen et al., FedBone, arXiv 2306.17465.
 */
import type { Strategy } from './strategy.ts'

export const fedbone: Strategy = {
  name: 'fedbone',
  source: 'Chen et al., arXiv 2306.17465',
  kind: 'split',
  projection: { rule: 'gp', strict: 'update', attention: 'softmax-cos' },
  merge: { mode: 'select' }
}
