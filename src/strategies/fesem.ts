/**
 * FeSEM: several common models, each site trains the one that is nearest to what it has learnt.
 * Rule, options and what travels: src/methods/fesem.ts. Source: Xie et al., arXiv 2005.01026.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const fesem: Strategy = {
  ...fedavg,
  name: 'fesem',
  source: 'Xie et al., arXiv 2005.01026',
  merge: { mode: 'none' },
  method: { name: 'fesem', centres: 3 }
}
