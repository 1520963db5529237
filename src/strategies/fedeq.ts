/**
 * FeDEQ: whole models whose trunk is one equilibrium layer, agreed on by consensus ADMM, under personal heads
 * (src/methods/fedeq). model.layers has no effect: the layer's depth is that of its fixed point. A step takes two to four times
 * as long as one through four explicit layers of the same width.
 *
 * Tables of 16 columns, 6 sites with 4 of 6 labels, 96 local steps: .78 and .79 accuracy (seeds 1 and 2, rate .03) where FedPer
 * with four layers has .85 and .85; 28 % of its bytes. It trades accuracy for bytes there.
 * Source: Le et al., arXiv 2309.15659.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const fedeq: Strategy = {
  ...fedavg,
  name: 'fedeq',
  source: 'Le et al., arXiv 2309.15659',
  model: { ...fedavg.model, sharedHeads: [] },
  method: { name: 'fedeq' }
}
