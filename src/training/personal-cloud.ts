/**
 * Where sites hold whole models that are never averaged into one: what a host keeps of each, and the anchor that it makes for
 * every site from the models of those that are like it (FedAMP, Huang et al., arXiv 2007.03797):
 *
 *     xi_kj = alphaK exp(-|w_k - w_j|^2 / sigma) / sigma        j not k
 *     xi_kk = 1 - sum_j xi_kj                                    where the sum is above 1 it is scaled to 1: xi_kk is 0
 *     u_k   = sum_j xi_kj w_j
 *
 * Models are kept as their distance from the start values, which all know from the charter's seed: weights that sum to 1
 * leave u_k the same, and what a site sends does not depend on what the host had of it before. Left to itself sigma is the
 * median squared distance of the step, and distances are measured in it: with millions of numbers in a model any fixed sigma
 * makes xi 0 or 1. Weight is given to those who took part in the step; a site that did not is answered from its last model,
 * one that the host has never heard of as if it stood at the start values. What a site has no unit for is no part of a
 * distance to it, and of that unit it gets no weight.
 */
import { difference } from './local-rules.ts'
import { statsOf, weightedMean } from './contributions.ts'
import { vector } from './saved-state.ts'
import type { ConflictStats } from '../projection/index.ts'
import type { Contribution, Contributions } from './contributions.ts'
import type { HostMethod, MethodShare } from '../methods/method.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { SavedState } from './saved-state.ts'

type Model = Pick<Contribution, 'row' | 'units'>
type Places = Contributions['places']

export interface Attention {
  /** Weight of a model at no distance, times sigma. */
  readonly alphaK: number
  readonly sigma: number
}

/** Weights of the others at these squared distances; what is missing to 1 is one's own. */
export function attentionWeights (squares: readonly number[], { alphaK, sigma }: Attention): number[] {
  const weights = squares.map(square => alphaK * Math.exp(-square / sigma) / sigma)
  const sum = weights.reduce((total, weight) => total + weight, 0)
  return sum > 1 ? weights.map(weight => weight / sum) : weights
}

export class PersonalCloud implements HostMethod {
  readonly #places: Places
  readonly #alphaK: number
  readonly #sigma: number | undefined
  readonly #models = new Map<string, Model>()
  /** Who took part in the last step, in order. */
  #fresh: readonly string[] = []
  /** Median squared distance of the last step with two models or more. Single precision, as a checkpoint keeps it. */
  #median = 1
  /** Who has left since the last step; after a restart, everybody. */
  readonly #gone = new Set<string>()

  /** @param sigma - a fixed one; left out: the median squared distance, step by step */
  constructor (places: Places, { alphaK, sigma }: { readonly alphaK: number, readonly sigma?: number | undefined }) {
    this.#places = places
    this.#alphaK = alphaK
    this.#sigma = sigma
  }

  /** A step's models, as changes from the start values. @returns pairs and cosines of what the step changed in them */
  apply (_step: number, from: readonly MethodShare[]): ConflictStats {
    const changes = from.map(({ client, row }) => {
      const before = this.#models.get(client)?.row
      return before === undefined ? row : difference(row, before)
    })
    for (const client of this.#gone) this.#models.delete(client)
    this.#gone.clear()
    for (const { client, row, units } of from) this.#models.set(client, { row, units })
    this.#fresh = from.map(({ client }) => client)
    const squares = from.flatMap((one, i) => from.slice(0, i).map(other => this.#square(one, other))).sort((a, b) => a - b)
    if (squares.length > 0) this.#median = Math.fround(median(squares)) || 1
    const samples = from.map(({ samples }) => samples)
    const total = samples.reduce((sum, count) => sum + count, 0)
    const mean = weightedMean(changes, samples.map(count => count / total), new Float32Array(changes[0]?.length ?? 0))
    return statsOf(this.#fresh, samples, changes, mean)
  }

  /** What a site is pulled to, u_k, as a change from the start values. Nothing before the first step: all stand there. */
  told (client: string): readonly NamedTensor[] {
    if (this.#fresh.length === 0) return []
    const own = this.#models.get(client) ?? this.#newcomer()
    const others = this.#fresh.filter(other => other !== client).map(other => this.#models.get(other) as Model)
    const unit = this.#sigma === undefined ? this.#median : 1
    const weights = attentionWeights(others.map(other => this.#square(own, other) / unit), { alphaK: this.#alphaK, sigma: this.#sigma ?? 1 })
    return [...this.#places].flatMap(([name, { from, size }]) => {
      if (!own.units.has(name)) return []
      const having = others.flatMap(({ row, units }, i) => units.has(name) ? [{ row, weight: weights[i] as number }] : [])
      const mine = 1 - having.reduce((sum, { weight }) => sum + weight, 0)
      return [vector(name, weightedMean(
        [own.row, ...having.map(({ row }) => row)].map(row => row.subarray(from, from + size)),
        [mine, ...having.map(({ weight }) => weight)],
        new Float32Array(size)))]
    })
  }

  /** It left: its model is forgotten with the next step, unless that has it again. */
  drop (client: string): void { this.#gone.add(client) }

  save (): NamedTensor[] {
    const names = [...this.#places.keys()]
    return [
      vector('cloud.median', Float32Array.of(this.#median)),
      ...[...this.#models].sort(([a], [b]) => a < b ? -1 : 1).flatMap(([client, { row, units }]) => [
        vector(`${MODEL}${client}`, row),
        vector(`${HAS}${client}`, Float32Array.from([this.#fresh.includes(client), ...names.map(name => units.has(name))], Number))
      ])
    ]
  }

  /** @throws {InvalidParametersError} the checkpoint is of another model */
  load (saved: SavedState): void {
    const names = [...this.#places.keys()]
    const length = [...this.#places.values()].reduce((sum, { size }) => sum + size, 0)
    const [median] = saved.need('cloud.median', 1)
    const found = saved.names(MODEL).map(name => {
      const client = name.slice(MODEL.length)
      const [fresh, ...has] = saved.need(`${HAS}${client}`, names.length + 1)
      return { client, fresh: fresh === 1, model: { row: saved.need(name, length), units: new Set(names.filter((_, i) => has[i] === 1)) } }
    })
    this.#models.clear()
    for (const { client, model } of found) this.#models.set(client, model)
    for (const { client } of found) this.#gone.add(client) // until they are heard of again
    this.#fresh = found.filter(({ fresh }) => fresh).map(({ client }) => client).sort()
    this.#median = median as number
  }

  #newcomer (): Model {
    const length = [...this.#places.values()].reduce((sum, { size }) => sum + size, 0)
    return { row: new Float32Array(length), units: new Set(this.#places.keys()) }
  }

  #square (one: Model, other: Model): number {
    let sum = 0
    for (const [name, { from, size }] of this.#places) {
      if (!one.units.has(name) || !other.units.has(name)) continue
      for (let i = from; i < from + size; i++) sum += ((one.row[i] as number) - (other.row[i] as number)) ** 2
    }
    return sum
  }
}

const MODEL = 'cloud/'
const HAS = 'cloud-has/'

function median (sorted: readonly number[]): number {
  const middle = sorted.length / 2
  return ((sorted[Math.floor(middle)] as number) + (sorted[Math.ceil(middle) - 1] as number)) / 2
}
