/**
 * FedRBN: some sites train against attacks, the others take over what their normalisations learnt from it.
 * Rule, options and what travels: src/methods/fedrbn.ts. Source: Hong et al., arXiv 2106.10196.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const fedrbn: Strategy = {
  ...fedavg,
  name: 'fedrbn',
  source: 'Hong et al., arXiv 2106.10196',
  model: { ...fedavg.model, norm: 'batch' },
  method: { name: 'fedrbn' }
}
