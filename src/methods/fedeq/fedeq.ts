/**
 * FeDEQ: the shared part of the model is a deep equilibrium layer, one cell that acts as a network of any depth; the heads are
 * personal; sites agree by consensus ADMM (./admm.ts) on means by rows, which any host makes. What travels is one cell and the
 * embedder in place of a trunk of many layers.
 */
import { buildEquilibrium } from '../../models/equilibrium.ts'
import { CELL, FedeqSite } from './site.ts'
import { checkOptions } from '../../options.ts'
import { createEmbedder } from '../../models/embedder.ts'
import type { AdmmMode } from './admm.ts'
import type { Method } from '../method.ts'

export interface FedeqOptions {
  /** Weight of the penalty and step of the duals. */
  readonly rho: number
  /** exact: the rule that converges to the joint optimum; published: that of the released code. */
  readonly mode: AdmmMode
  /** Share of a contribution's steps that the heads take, before the shared part takes the rest: 3 epochs of 8 in the paper's code. */
  readonly personal: number
}

const DEFAULTS: FedeqOptions = { rho: 0.01, mode: 'exact', personal: 0.375 }

export const fedeq: Method<FedeqOptions> = {
  name: 'fedeq',
  options: raw => {
    checkOptions('method', 'fedeq', raw, {
      rho: { what: 'a number above 0', fits: rho => rho > 0 && Number.isFinite(rho) },
      mode: ['exact', 'published'],
      personal: { what: 'a share above 0 and below 1', fits: share => share > 0 && share < 1 }
    })
    return { ...DEFAULTS, ...raw }
  },
  exchange: ({ model, input }) => ({
    units: new Map([
      [`embed/${input.modality}`, createEmbedder(model.embedder, input, model.backbone.width).graph],
      [CELL, buildEquilibrium(model.backbone)]
    ])
  }),
  site: (init, options) => new FedeqSite(init, options)
}
