/**
 * FeDEQ: whole models whose trunk is one equilibrium layer, agreed on by consensus ADMM, under personal heads
 * (src/methods/fedeq). model.layers and model.hidden have no effect: the layer's depth is that of its fixed point.
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
