/**
 * CoFED: every site trains a model of its own, of any width, and they label common public rows for each other
 * (src/methods/cofed). What travels is a label per public row, 4 bytes, however large the models are.
 *
 * Where the public rows come from is `method.public`: a file that all members hold, or rows drawn from the input's form, which
 * are no better than noise. On tables of 16 columns, 8 sites with 3 or 4 of 6 classes and 24 rows each, 900 public rows of the
 * same kind are worth 8 points or more (test/scenarios/methods.scenario.ts). Source: Cao et al., arXiv 2202.08603.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const cofed: Strategy = {
  ...fedavg,
  name: 'cofed',
  source: 'Cao et al., arXiv 2202.08603',
  model: { ...fedavg.model, sharedEmbedder: false, sharedHeads: [] },
  method: { name: 'cofed' }
}
