/**
 * Split-Mix, the host's half: the mean of every base over the sites that trained it, and to each site the bases that it trains
 * next and no others, in the parts that it has. Who has not said what it wants is told everything.
 */
import { meanHost } from '../mean-host.ts'
import { prefixOf } from './bases.ts'
import { totalSteps } from '../../training/spec.ts'
import { vector } from '../../training/saved-state.ts'
import type { ConflictStats } from '../../projection/index.ts'
import type { HostInit, HostMethod, MethodShare } from '../method.ts'
import type { NamedTensor } from '../../tensor/tensor.ts'
import type { SavedState } from '../../training/saved-state.ts'
import type { SplitMixOptions } from './options.ts'

/** Which bases a site trains in the step after: 1 for those, 0 for others. */
export const WISH = 'wish'
const SAVED = 'wish/'

interface Wish {
  readonly step: number
  readonly bases: ReadonlySet<number>
  /** Units of one base that the site sent, by their names without its prefix. */
  readonly parts: ReadonlySet<string>
}

export class SplitMixHost implements HostMethod {
  readonly #init: HostInit
  readonly #bases: number
  readonly #mean: HostMethod
  /** Names of one base's units without its prefix. */
  readonly #parts: readonly string[]
  #wishes: ReadonlyMap<string, Wish> = new Map()

  constructor (init: HostInit, { bases }: SplitMixOptions) {
    this.#init = init
    this.#bases = bases
    this.#mean = meanHost(init)
    this.#parts = [...init.units.keys()].filter(name => name.startsWith(prefixOf(0))).map(name => name.slice(prefixOf(0).length))
  }

  apply (step: number, from: readonly MethodShare[]): ConflictStats {
    // Who did not take part in this step does not hold what came before it either.
    this.#wishes = new Map(from.map(share => [share.client, this.#wishOf(step, share)]))
    return this.#mean.apply(step, from)
  }

  told (client: string, step: number): readonly NamedTensor[] {
    const wish = this.#wishes.get(client)
    if (wish?.step !== step || step >= totalSteps(this.#init.charter.training)) return this.#mean.told(client, step)
    return [...this.#init.units].filter(([name]) => [...wish.bases].some(base => name.startsWith(prefixOf(base)) && wish.parts.has(name.slice(prefixOf(base).length)))).map(([name, { parameters }]) => vector(name, parameters))
  }

  drop (client: string): void { this.#wishes = new Map([...this.#wishes].filter(([name]) => name !== client)) }

  save (): NamedTensor[] {
    return [...this.#wishes].map(([client, { step, bases, parts }]) => vector(`${SAVED}${client}`, Float32Array.of(step, ...this.#flags(bases), ...this.#parts.map(part => parts.has(part) ? 1 : 0))))
  }

  load (saved: SavedState): void {
    this.#wishes = new Map(saved.names(SAVED).map(name => {
      const [step, ...flags] = saved.need(name, 1 + this.#bases + this.#parts.length)
      return [name.slice(SAVED.length), { step: step as number, bases: chosen(flags.slice(0, this.#bases)), parts: new Set(this.#parts.filter((_, i) => flags[this.#bases + i] === 1)) }]
    }))
  }

  #wishOf (step: number, { tensors }: MethodShare): Wish {
    const parts = new Set(this.#parts.filter(part => [...tensors.keys()].some(name => name.endsWith(`/${part}`))))
    return { step: step + 1, bases: chosen(tensors.get(WISH) ?? []), parts }
  }

  #flags (bases: ReadonlySet<number>): number[] { return Array.from({ length: this.#bases }, (_, base) => bases.has(base) ? 1 : 0) }
}

function chosen (flags: ArrayLike<number>): ReadonlySet<number> { return new Set(Array.from(flags).flatMap((flag, base) => flag > 0.5 ? [base] : [])) }
