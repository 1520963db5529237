/**
 * Split-Mix: narrow base models that every site can afford some of; their mean is served, at any width, without training again.
 * Rule, options and what travels: src/methods/split-mix. Source: Hong et al., arXiv 2203.09747.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const splitMix: Strategy = {
  ...fedavg,
  name: 'split-mix',
  source: 'Hong et al., arXiv 2203.09747',
  method: { name: 'split-mix' }
}
