/**
 * Edge-DemLearn: a hierarchy of groups of sites with like weights, and at every site a model between its own and its group's.
 * Rule, options and what travels: src/methods/demlearn. Source: Nguyen et al., arXiv 2007.03278 and 2012.00425.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const demlearn: Strategy = {
  ...fedavg,
  name: 'demlearn',
  source: 'Nguyen et al., arXiv 2007.03278',
  method: { name: 'demlearn', levels: 3 }
}
