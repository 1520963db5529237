/**
 * MuPFL, for sites whose classes are rare in different places. No code was published: names and roles of the three modules are
 * the paper's, formulas are this project's reading of them.
 *
 *     BAVD   a site trains without the hidden units that are least active on its rows (./activity.ts)
 *     ACMU   hosts average sites that are alike first, and clusters by their sites (./clusters.ts)
 *     PKCF   after the last step every site trains the last layer of its own, told how rare its classes are (./classifier.ts)
 *
 * A module is off with keep = keepLate = 1; with cut = 2, which leaves one cluster; with tuneSteps = 0. With all three off this
 * is FedAvg. A site sends |w| numbers and its activity map, with the last step means of what its classes are read from; of a
 * class with fewer than rareBelow rows it sends none. It is told |w|, in the end also those means over all sites.
 * Source: MuPFL, arXiv 2405.06413.
 */
import { MAP, classSizes, mapSize } from './exchange.ts'
import { MupflHost } from './host.ts'
import { MupflSite, TUNED } from './site.ts'
import { SavedState, vector } from '../../training/saved-state.ts'
import { checkOptions } from '../../options.ts'
import { memberIn, refuseMixture, savedTasks, siteForm } from '../../export/members.ts'
import { wholeUnits } from '../../models/units.ts'
import type { Charter } from '../../federation/charter.ts'
import type { Method } from '../method.ts'

export interface MupflOptions {
  /** Share of a layer's hidden units that is trained, in the first half of the steps and in the second. */
  readonly keep: number
  readonly keepLate: number
  /** What an activity map keeps of itself from batch to batch. */
  readonly beta: number
  /** Mean dissimilarity, from 0 to 2, up to which sites are one cluster. */
  readonly cut: number
  /**
   * What is like what: what a step changed in the weights, or the weights. From one common model the weights of all point nearly
   * the same way: where sites differ in which classes are rare, similarities were .88 to .998 (one cluster), of changes .41 to .90.
   */
  readonly compare: 'weights' | 'changes'
  readonly tuneSteps: number
  /** A class with fewer rows at a site is rare there. */
  readonly rareBelow: number
}

const SHARE = { what: 'a number above 0 and up to 1', fits: (value: number) => value > 0 && value <= 1 }

function sizesUp (charter: Charter, { tuneSteps }: MupflOptions): ReadonlyMap<string, number> {
  const units = [...wholeUnits(charter)].map(([name, { parameterCount }]) => [name, parameterCount] as const)
  return new Map([...units, [MAP, mapSize(charter)], ...tuneSteps === 0 ? [] : classSizes(charter)])
}

export const mupfl: Method<MupflOptions> = {
  name: 'mupfl',
  options: raw => {
    checkOptions('method', 'mupfl', raw, {
      keep: SHARE,
      keepLate: SHARE,
      beta: { what: 'a number from 0 and below 1', fits: value => value >= 0 && value < 1 },
      cut: { what: 'a number from 0 to 2', fits: value => value >= 0 && value <= 2 },
      compare: ['weights', 'changes'],
      tuneSteps: { what: 'a whole number from 0 to 10000', fits: value => Number.isInteger(value) && value >= 0 && value <= 10_000 },
      rareBelow: { what: 'a whole number from 2', fits: value => Number.isInteger(value) && value >= 2 }
    })
    return { keep: 0.5, keepLate: 0.8, beta: 0.9, cut: 0.3, compare: 'changes', tuneSteps: 50, rareBelow: 5, ...raw } as MupflOptions
  },
  exchange: (charter, options) => {
    const units = wholeUnits(charter)
    const up = sizesUp(charter, options)
    return { units, up, down: (name, numbers) => name !== MAP && up.get(name) === numbers }
  },
  site: (init, options) => new MupflSite(init, options),
  host: (init, options) => new MupflHost(init, options),
  // Class means travel once; a plan counts them every step, which makes it larger by less than a readout.
  traffic: (charter, options) => {
    const sum = (sizes: ReadonlyMap<string, number>): number => [...sizes.values()].reduce((total, size) => total + size, 0)
    const up = sum(sizesUp(charter, options))
    return { up, down: up - mapSize(charter) }
  },
  exported: (charter, _options, saved, wish) => {
    refuseMixture(wish)
    const form = siteForm(charter, saved, '')
    const own = savedTasks(saved, charter.tasks, '')
    const served = new SavedState(saved.names('').map(name => vector(name, saved.find(`${TUNED}${name}`) ?? saved.find(name) as Float32Array)))
    return { ...form, tasks: own, members: [memberIn(served, { ...form, tasks: own, prefix: '', robustness: wish.robustness })] }
  }
}
