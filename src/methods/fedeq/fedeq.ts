/**
 * FeDEQ: the shared part of the model is a deep equilibrium layer, one cell that acts as a network of any depth; the heads are
 * personal; sites agree by consensus ADMM (./admm.ts) on means by rows, which any host makes. What travels is one cell and the
 * embedder in place of a trunk of many layers.
 */
import { BACKWARD, FORWARD } from './equilibrium-layer.ts'
import { buildEquilibrium } from '../../models/equilibrium.ts'
import { CELL, FedeqSite } from './site.ts'
import { checkOptions } from '../../options.ts'
import { embedUnit, embedderOf, inputsOf } from '../../models/inputs.ts'
import type { AdmmMode } from './admm.ts'
import type { Method } from '../method.ts'

export interface FedeqOptions {
  /** Weight of the penalty and step of the duals. */
  readonly rho: number
  /** exact: the rule that converges to the joint optimum; published: that of the released code. */
  readonly mode: AdmmMode
  /** Share of a contribution's steps that the heads take, before the shared part takes the rest: 3 epochs of 8 in the paper's code. */
  readonly personal: number
  /** Where Anderson steps and conjugate gradients stop, and after how many of each at the latest. */
  readonly tolerance: number
  readonly forwardSteps: number
  readonly backwardSteps: number
}

const DEFAULTS: FedeqOptions = { rho: 0.01, mode: 'exact', personal: 0.375, tolerance: FORWARD.tolerance, forwardSteps: FORWARD.maxSteps, backwardSteps: BACKWARD.maxSteps }

export const fedeq: Method<FedeqOptions> = {
  name: 'fedeq',
  options: raw => {
    const steps = { what: 'a whole number from 1 to 1000', fits: (count: number) => Number.isInteger(count) && count >= 1 && count <= 1000 }
    checkOptions('method', 'fedeq', raw, {
      rho: { what: 'a number above 0', fits: rho => rho > 0 && Number.isFinite(rho) },
      mode: ['exact', 'published'],
      personal: { what: 'a share above 0 and below 1', fits: share => share > 0 && share < 1 },
      tolerance: { what: 'a number above 0 and below 1', fits: tolerance => tolerance > 0 && tolerance < 1 },
      forwardSteps: steps,
      backwardSteps: steps
    })
    return { ...DEFAULTS, ...raw }
  },
  exchange: charter => ({
    units: new Map([
      ...inputsOf(charter).map(input => [embedUnit(input), embedderOf(charter.model, input).graph] as const),
      [CELL, buildEquilibrium(charter.model.backbone)]
    ])
  }),
  site: (init, options) => new FedeqSite(init, options)
}
