/**
 * Split-Mix: K narrow base models in place of one wide one. A weak site trains one a step, a strong one several; each base is
 * averaged over the sites that trained it. Afterwards any site serves the mean of n bases' raw outputs, a model of width n/K,
 * and where bases carry dual normalisations, one number between 0 and 1 trades accuracy on clean rows for accuracy on attacked
 * ones. Nothing is trained again for either.
 *
 *     site:  for each of its bases, on the same batches   theta_k <- step on (1 - l) loss(x; Nc) + l loss(PGD(x; Na); Na)
 *     host:  theta_k <- mean by samples over those who trained it; a base that nobody trained keeps its bits
 *
 * A site says with its contribution which bases it trains next, and is told those; all of them after the last step.
 * Source: Hong et al., Efficient split-mix federated learning for on-demand and in-situ customization, arXiv 2203.09747.
 */
import { SplitMixHost, WISH } from './host.ts'
import { SplitMixSite } from './site.ts'
import { RATIOS, budgetOf } from './plan.ts'
import { baseUnits, narrowed, prefixOf } from './bases.ts'
import { basesOfWidth, parseOptions, sidesOf } from './options.ts'
import { memberIn, savedTasks, siteForm } from '../../export/members.ts'
import { expectNumbers } from '../../robustness/pgd.ts'
import { inputsOf } from '../../models/inputs.ts'
import { numbersOf } from '../../graph/graph.ts'
import type { Charter } from '../../federation/charter.ts'
import type { Graph } from '../../graph/graph.ts'
import type { Method } from '../method.ts'
import type { SplitMixOptions } from './options.ts'

function unitsOf (charter: Charter, options: SplitMixOptions): ReadonlyMap<string, Graph> {
  const one = baseUnits(charter, { ...options, sides: sidesOf(options) })
  return new Map(Array.from({ length: options.bases }, (_, base) => [...one].map(([name, graph]) => [`${prefixOf(base)}${name}`, graph] as const)).flat())
}

export const splitMix: Method<SplitMixOptions> = {
  name: 'split-mix',
  options: parseOptions,
  exchange: (charter, options) => {
    if (options.lambdaTrain > 0) inputsOf(charter).forEach(expectNumbers)
    const units = unitsOf(charter, options)
    return { units, up: new Map([...[...units].map(([name, { parameterCount }]) => [name, parameterCount] as const), [WISH, options.bases]]) }
  },
  site: (init, options) => new SplitMixSite(init, options),
  host: (init, options) => new SplitMixHost(init, options),
  exported: (charter, options, saved, { width, robustness }) => {
    const { model, input } = siteForm(charter, saved, prefixOf(0))
    const form = narrowed(model, options.bases)
    const own = savedTasks(saved, charter.tasks, prefixOf(0))
    const members = Array.from({ length: basesOfWidth(width, options.bases) }, (_, base) => memberIn(saved, { model: form, input, tasks: own, prefix: prefixOf(base), robustness }))
    return { model: form, input, tasks: own, members }
  },
  traffic: (charter, options) => {
    const one = numbersOf(baseUnits(charter, { ...options, sides: sidesOf(options) }))
    const seats = RATIOS.length // one of each group
    const bases = Array.from({ length: seats }, (_, rank) => budgetOf(options.budgets, { rank, of: seats }, options.bases)).reduce((sum, count) => sum + count, 0) / seats
    return { up: bases * one + options.bases, down: bases * one }
  }
}
