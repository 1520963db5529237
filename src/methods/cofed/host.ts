/** What a host does for CoFED: it counts its sites' proposals, and tells what they amount to. It never sees a weight. */
import { accept, majority, tally } from './labels.ts'
import { labelTasks, packAccepted } from './wire.ts'
import { noConflicts } from '../stats.ts'
import { vector } from '../../training/saved-state.ts'
import type { Accepted, Ballot } from './labels.ts'
import type { CofedOptions } from './cofed.ts'
import type { ConflictStats } from '../../projection/index.ts'
import type { HostMethod, HostInit } from '../method.ts'
import type { NamedTensor } from '../../tensor/tensor.ts'
import type { TaskSpec } from '../../tasks/task.ts'
import type { Weights } from '../../training/unit.ts'

type Contributions = Parameters<HostMethod['apply']>[1]

export class CofedHost implements HostMethod {
  readonly #tasks: readonly TaskSpec[]
  readonly #units: ReadonlyMap<string, Weights>
  readonly #options: CofedOptions

  constructor ({ charter, units }: HostInit, options: CofedOptions) {
    this.#tasks = labelTasks(charter)
    this.#units = units
    this.#options = options
  }

  apply (_step: number, from: Contributions): ConflictStats {
    const { rows } = this.#options.public
    for (const { id, channels } of this.#tasks) {
      const ballots = from.map(({ tensors }): Ballot => {
        const known = [...tensors.get(`classes/${id}`) ?? []].flatMap((value, c) => value > 0.5 ? [c] : [])
        // A codec may have rounded; a label that is no class of the sender's is no label.
        const labels = (tensors.get(`labels/${id}`) ?? new Float32Array(rows).fill(-1)).map(label => known.includes(Math.round(label)) ? Math.round(label) : -1)
        return { labels, classes: known, weight: 1 }
      })
      this.#votes(id).set(tally(ballots, rows, channels))
    }
    return noConflicts(from.length)
  }

  told (): readonly NamedTensor[] {
    return this.#tasks.map(task => vector(`accepted/${task.id}`, packAccepted(this.#accepted(task), this.#options.public.rows, task.channels)))
  }

  #accepted ({ id, channels }: TaskSpec): Accepted {
    const { parameters } = this.#votes(id)
    const { binary, threshold } = this.#options
    return channels === 2 && binary === 'majority' ? majority(parameters) : accept(parameters, channels, threshold)
  }

  #votes (task: string): Weights { return this.#units.get(`votes/${task}`) as Weights }
}
