/**
 * A host's half of TAP: a mean for every module, over the sites that have it and whose turn it was, weighted by all rows of a
 * site. It tells a site those of its modules that it has asked for; to whom it has not listened in the step before, all.
 */
import { WANTS } from './exchange.ts'
import { meanHost } from '../mean-host.ts'
import { noConflicts } from '../stats.ts'
import type { HostInit, HostMethod, MethodShare } from '../method.ts'

export class TapHost implements HostMethod {
  readonly #mean: HostMethod
  readonly #names: readonly string[]
  readonly #wishes = new Map<string, { readonly step: number, readonly names: ReadonlySet<string> }>()

  constructor (init: HostInit) {
    this.#mean = meanHost(init)
    this.#names = [...init.units.keys()]
  }

  apply (step: number, from: readonly MethodShare[]): ReturnType<HostMethod['apply']> {
    for (const { client, tensors } of from) {
      const wants = tensors.get(WANTS)
      this.#wishes.set(client, { step: step + 1, names: new Set(this.#names.filter((_, i) => wants?.[i] !== 0)) })
    }
    const training = from.flatMap(({ row, tensors, ...share }) => {
      const changes = new Map([...tensors].filter(([name]) => name !== WANTS))
      // the wishes stand last in a row
      return changes.size === 0 ? [] : [{ ...share, tensors: changes, row: row.subarray(0, row.length - this.#names.length) }]
    })
    return training.length === 0 ? noConflicts(0) : this.#mean.apply(step, training)
  }

  told (client: string, step: number): ReturnType<HostMethod['told']> {
    const wish = this.#wishes.get(client)
    const all = this.#mean.told(client, step)
    return wish?.step === step ? all.filter(({ name }) => wish.names.has(name)) : all
  }

  drop (client: string): void { this.#wishes.delete(client) }
}
