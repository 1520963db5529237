/**
 * What clients that train whole models send a host for one step: how much the shared units changed, and from how many rows.
 * A host makes the mean of it, weighted by rows (McMahan et al. 2017, algorithm 1, in changes instead of weights: the same
 * numbers where all start from the same values):
 *
 *     change of a unit = sum_k n_k change_k / sum_k n_k        over the clients k that have the unit
 */
import { ProtocolError } from '../errors.ts'
import { Random } from '../random.ts'
import { combined, over } from '../kernels/index.ts'
import { createRule, minDirectionCosine } from '../projection/index.ts'
import type { ConflictStats } from '../projection/index.ts'
import type { NamedTensor } from '../tensor/tensor.ts'

/** What one client sent. */
export interface Contribution {
  readonly samples: number
  /** All shared units side by side, zero where the client has none. */
  readonly row: Float32Array
  readonly units: ReadonlySet<string>
  /** The same by name, as parts of the row. */
  readonly tensors: ReadonlyMap<string, Float32Array>
}

export interface MeanChange {
  /** Unit name -> change. Units that nobody sent are not there. */
  readonly changes: ReadonlyMap<string, Float32Array>
  readonly stats: ConflictStats
}

/** Products of all pairs up to this many multiplications, some 20 ms; beyond, the report counts no pairs. */
const MAX_PAIR_PRODUCTS = 2 ** 24

export class Contributions {
  /** Where each shared unit stands in a row. */
  readonly places: ReadonlyMap<string, { readonly from: number, readonly size: number }>
  readonly #length: number
  readonly #received = new Map<string, Contribution & { readonly step: number }>()

  /** @param sizes - numbers per shared unit */
  constructor (sizes: Readonly<Record<string, number>>) {
    let at = 0
    this.places = new Map(Object.entries(sizes).map(([name, size]) => [name, { from: (at += size) - size, size }]))
    this.#length = at
  }

  /** @throws {ProtocolError} units that the charter does not share, of other sizes, or numbers that are not finite */
  add (client: string, step: number, samples: number, changes: readonly NamedTensor[]): void {
    const units = new Set(changes.map(({ name }) => name))
    if (changes.length === 0 || units.size < changes.length) throw new ProtocolError(`${client} sent no changes, or those of a unit twice`)
    const row = new Float32Array(this.#length)
    const tensors = new Map<string, Float32Array>()
    for (const { name, tensor: { data } } of changes) {
      const place = this.places.get(name)
      if (place?.size !== data.length) throw new ProtocolError(`${client} sent changes of ${name} with ${data.length} numbers, which the charter does not share`)
      if (!data.every(Number.isFinite)) throw new ProtocolError(`${client} sent changes of ${name} that are not finite`)
      row.set(data, place.from)
      tensors.set(name, row.subarray(place.from, place.from + place.size))
    }
    // A site without a row of its own has nothing to say, but it must not divide by zero.
    this.#received.set(client, { step, samples: Math.max(1, samples), row, units, tensors })
  }

  drop (client: string): void { this.#received.delete(client) }

  /** @throws {ProtocolError} one of the clients has sent nothing for this step */
  take (step: number, clients: readonly string[]): ReadonlyArray<Contribution & { readonly client: string }> {
    const from = [...clients].sort().map(client => {
      const contribution = this.#received.get(client)
      if (contribution?.step !== step) throw new ProtocolError(`${client} has no contribution to step ${step}`, { code: 'ERR_LATE' })
      return { client, ...contribution }
    })
    this.#received.clear()
    return from
  }

  /** @throws {ProtocolError} one of the clients has sent nothing for this step */
  mean (step: number, clients: readonly string[]): MeanChange {
    const from = this.take(step, clients)
    const mean = new Float32Array(this.#length)
    const changes = new Map<string, Float32Array>()
    for (const [name, { from: start, size }] of this.places) {
      const having = from.filter(each => each.units.has(name))
      if (having.length === 0) continue
      const samples = having.reduce((sum, each) => sum + each.samples, 0)
      const place = mean.subarray(start, start + size)
      weightedMean(having.map(each => each.row.subarray(start, start + size)), having.map(each => each.samples / samples), place)
      changes.set(name, place)
    }
    return { changes, stats: statsOf(from.map(({ client }) => client), from.map(({ samples }) => samples), from.map(({ row }) => row), mean) }
  }
}

/** Writes sum_i weights[i] rows[i] to `into`, summed in float64. */
export function weightedMean (rows: readonly Float32Array[], weights: readonly number[], into: Float32Array): Float32Array {
  over(rows, combined(Float64Array.from(weights), into.length, (values, from) => { into.set(values, from) }))
  return into
}

/** Changes are descent directions, as gradients are: pairs of them conflict in the same sense. */
export function statsOf (ids: readonly string[], weights: readonly number[], rows: readonly Float32Array[], mean: Float32Array): ConflictStats {
  if (rows.length ** 2 / 2 * mean.length <= MAX_PAIR_PRODUCTS) return createRule('mean').aggregate(rows, { ids, weights, random: new Random(0) }).stats
  return { rows: rows.length, dropped: 0, pairs: 0, conflictPairs: 0, meanCosine: 0, minCosine: 0, minDirectionCosine: minDirectionCosine(mean, rows), removedShare: 0, norms: [] }
}
