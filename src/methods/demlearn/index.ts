/**
 * Edge-DemLearn: sites are put into a hierarchy of groups by how their weights cluster, and every site's model stands between
 * its own and its group's, every group's between its own and that of the group above.
 *
 *     site   w_i <- w_i - eta (grad F_i(w_i) + mu (w_i - g))     E steps; g: the group that it hangs at
 *     host   every `every` steps: average-linkage tree of the w_i, cut into `levels` levels (./tree.ts)
 *            up: groups are means of their sites; down: g <- (1 - alpha) g + alpha parent
 *     site   w_i <- (1 - alpha) w_i + alpha g
 *
 * A site serves w_i, its specialised model; the group's is in the report. It sends |w| numbers and is told |w|. Hosts are the
 * edge nodes: each has a hierarchy of its own sites, and only roots go from host to host. The published code's multiplication
 * of young groups by 1.15 is left out.
 * Source: Nguyen et al., Self-organizing democratized learning, arXiv 2007.03278; edge nodes: arXiv 2012.00425.
 */
import { DISTANCES } from '../../combinatorics/linkage.ts'
import { DemlearnHost } from './host.ts'
import { DemlearnSite } from './site.ts'
import { checkOptions } from '../../options.ts'
import { wholeUnits } from '../../models/units.ts'
import type { DistanceName } from '../../combinatorics/linkage.ts'
import type { Method } from '../method.ts'

export interface DemlearnOptions {
  /** Levels of groups below the root. */
  readonly levels: number
  /** Steps of the clock from one clustering to the next. */
  readonly every: number
  readonly alpha: number
  readonly mu: number
  readonly distance: DistanceName
}

export const demlearn: Method<DemlearnOptions> = {
  name: 'demlearn',
  options: raw => {
    checkOptions('method', 'demlearn', raw, {
      levels: { what: 'a whole number from 1 to 16', fits: value => Number.isInteger(value) && value >= 1 && value <= 16 },
      every: { what: 'a whole number from 1', fits: value => Number.isInteger(value) && value >= 1 },
      alpha: { what: 'a number from 0 to 1', fits: value => value >= 0 && value <= 1 },
      mu: { what: 'a number from 0', fits: value => value >= 0 },
      distance: DISTANCES
    })
    return { levels: 3, every: 1, alpha: 0.6, mu: 0.002, distance: 'euclidean', ...raw } as DemlearnOptions
  },
  exchange: charter => ({ units: wholeUnits(charter) }),
  site: (init, options) => new DemlearnSite(init, options),
  host: (init, options) => new DemlearnHost(init, options)
}
