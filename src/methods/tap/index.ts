/**
 * TAP: sites with other inputs and other tasks hold other parts of one modular model (src/models/modular.ts), and each a
 * personal model beside: see ./site.ts and ./host.ts. In a step a site whose turn it is sends what it is told, 4 bytes for
 * every number of its modules; the others send which modules they must hear of, and nothing else.
 * Source: arXiv 2509.26524 (abstract) and the official code, lee3296/TAP, read and not run. There the shared transformer never
 * reaches the clients, and the experts of a task are not replaced; here both are, as the paper says.
 */
import { InvalidParametersError } from '../../errors.ts'
import { TapHost } from './host.ts'
import { TapSite } from './site.ts'
import { WANTS, modulesOf } from './exchange.ts'
import { inputName, inputOf, inputsOf } from '../../models/inputs.ts'
import { moduleGraphs } from '../../models/modular.ts'
import { tapOptions } from './options.ts'
import { numbersOf } from '../../graph/graph.ts'
import type { InputSpec } from '../../data/dataset.ts'
import type { Method } from '../method.ts'
import type { TapOptions } from './options.ts'

export const tap: Method<TapOptions> = {
  name: 'tap',
  options: tapOptions,
  exchange: charter => {
    if (charter.model.norm === 'batch') throw new InvalidParametersError('method tap: modules have no place for the running statistics of model.norm batch', { next: 'leave model.norm out' })
    const units = modulesOf(charter)
    return { units, up: new Map([...[...units].map(([name, { parameterCount }]) => [name, parameterCount] as const), [WANTS, units.size]]) }
  },
  site: (init, options) => new TapSite(init, options),
  host: init => new TapHost(init),
  exported: () => { throw new InvalidParametersError('method tap trains modules, and an exported file holds a model with one trunk and one head per task', { next: 'serve from the running node instead' }) },
  traffic: (charter, { share }) => {
    // of the largest site there can be: all tasks of one input; in a step that is not its turn it sends its wishes alone
    const ofInput = (input: InputSpec): number => numbersOf(moduleGraphs({ model: charter.model, input, tasks: charter.tasks.filter(task => inputName(inputOf(charter, task)) === inputName(input)) }))
    const modules = share * Math.max(...inputsOf(charter).map(ofInput))
    return { up: modules + modulesOf(charter).size, down: modules }
  }
}
