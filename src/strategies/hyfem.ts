/**
 * HyFEM: hybrid federated learning, where sites have some of the rows and some of the columns (src/methods/hyfem). model.width is
 * that of an encoder's features, model.hidden the hidden units of a site.
 *
 * Tables of three blocks, 6 sites with two of them each (seeds 1 to 3): .56, .53, .66 accuracy alone, .60, .59, .67 together, and
 * .73, .66, .77 of the model over all blocks, which no site has.
 * Source: arXiv 2012.12420; the matching is this project's, by least squared difference.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const hyfem: Strategy = {
  ...fedavg,
  name: 'hyfem',
  source: 'arXiv 2012.12420',
  method: { name: 'hyfem' }
}
