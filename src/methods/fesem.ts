/**
 * FeSEM: K common models in place of one, for sites whose data have several meanings. Expectation-maximisation on weights:
 *
 *     E  r_i = argmin_k |w_i - c_k|^2            at the site, from the centres that it is told; ties to the lower index
 *     M  c_k <- c_k + sum_{r_i = k} a_i (w_i - c_k) / sum a_i     at the host; a centre without members keeps its value
 *        w_i <- w_i - eta (grad F_i(w_i) + mu (w_i - c_{r_i}))    E steps from c_{r_i}
 *
 * a_i is the site's rows, or 1 with weights = plain. No host learns more than FedAvg's: a site sends what its training
 * changed in its own centre. All train the first step from one start; the centres begin with the first site's weights and
 * then, again and again, the weights farthest from all centres so far. Hosts choose these each for itself, so they do not
 * meet. One centre is FedAvg, bit for bit. A site is told K |w| numbers a round and sends |w|.
 * Source: Xie et al., Multi-center federated learning, arXiv 2005.01026; the choice of the first centres is this project's.
 */
import { InvalidParametersError, ProtocolError } from '../errors.ts'
import { WholeModel } from '../training/whole-model.ts'
import { checkOptions } from '../options.ts'
import { difference } from '../training/local-rules.ts'
import { initialise } from '../models/parameters.ts'
import { moveByMean, sharesStats } from './mean-host.ts'
import { localSteps } from './local-steps.ts'
import { vector } from '../training/saved-state.ts'
import { wholeUnits } from '../models/units.ts'
import { dataByName } from '../tensor/tensor.ts'
import { numbersOf } from '../graph/graph.ts'
import type { Charter } from '../federation/charter.ts'
import type { HostInit, HostMethod, Method, MethodShare, SiteInit, SiteMethod } from './method.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { TaskLoss } from '../backbone/frames.ts'
import type { Weights } from '../training/unit.ts'

export interface FesemOptions {
  readonly centres: number
  readonly mu: number
  readonly weights: 'samples' | 'plain'
}

type Point = ArrayLike<number>

/** The centre next to a point, and the squared distance to it. */
export function nearest (point: Point, centres: readonly Point[]): { readonly index: number, readonly square: number } {
  let best = { index: 0, square: Infinity }
  centres.forEach((centre, index) => {
    let square = 0
    for (let i = 0; i < point.length; i++) square += ((point[i] as number) - (centre[i] as number)) ** 2
    if (square < best.square) best = { index, square }
  })
  return best
}

/** Indices of at most `count` points: the first, then each time the one farthest from all before it. */
export function farthestFirst (points: readonly Point[], count: number): number[] {
  const chosen = points.length === 0 ? [] : [0]
  while (chosen.length < Math.min(count, points.length)) {
    const squares = points.map(point => nearest(point, chosen.map(index => points[index] as Point)).square)
    chosen.push(squares.indexOf(Math.max(...squares)))
  }
  return chosen
}

const unitOf = (centre: number, unit: string): string => `center/${centre}/${unit}`

class FesemSite implements SiteMethod {
  readonly #init: SiteInit
  readonly #mu: number
  readonly #model: WholeModel
  readonly #shared: readonly Weights[]
  readonly #centres: number
  /** The centre that this site trains from. */
  #own = 0

  constructor (init: SiteInit, { centres, mu }: FesemOptions) {
    const { backend, charter: { model, training, seed }, data, start = [] } = init
    this.#init = init
    this.#mu = mu
    this.#centres = centres
    this.#model = new WholeModel(backend, data, model, { seed, training, rate: training.lrLocal, start })
    this.#shared = this.#model.units.filter(({ name }) => init.charter.shared.includes(unitOf(0, name)))
  }

  get units (): readonly Weights[] { return this.#model.units }

  async contribute (step: number): Promise<{ sent: readonly NamedTensor[], losses: readonly TaskLoss[] }> {
    const anchors = new Map(this.#shared.map(({ name, parameters }) => [name, parameters.slice()]))
    const losses = await localSteps(step, { ...this.#init, model: this.#model, anchors, mu: this.#mu })
    return { sent: this.#shared.map(({ name, parameters }) => vector(unitOf(this.#own, name), difference(parameters, anchors.get(name) as Float32Array))), losses }
  }

  /** @throws {ProtocolError} a centre is missing */
  receive (_step: number, told: readonly NamedTensor[]): void {
    if (told.length === 0) return
    const byName = dataByName(told)
    const centres = Array.from({ length: this.#centres }, (_, k) => this.#shared.map(({ name }) => {
      const values = byName.get(unitOf(k, name))
      if (values === undefined) throw new ProtocolError(`the host did not tell ${unitOf(k, name)}: without all centres there is no nearest one`)
      return values
    }))
    const flat = (parts: readonly Float32Array[]): number[] => parts.flatMap(part => [...part])
    this.#own = nearest(flat(this.#shared.map(({ parameters }) => parameters)), centres.map(flat)).index
    this.#shared.forEach((unit, i) => { unit.set(centres[this.#own]?.[i] as Float32Array) })
  }

  async predict (rows: Parameters<SiteMethod['predict']>[0]): ReturnType<SiteMethod['predict']> { return await this.#model.predict(rows) }

  save (): NamedTensor[] { return [vector('center', Float32Array.of(this.#own))] }

  load (saved: Parameters<NonNullable<SiteMethod['load']>>[0]): void { this.#own = saved.need('center', 1)[0] as number }

  dispose (): void { this.#model.dispose() }
}

class FesemHost implements HostMethod {
  readonly #units: HostInit['units']
  readonly #names: readonly string[]
  readonly #centres: number
  readonly #plain: boolean
  #told = false

  constructor ({ charter, units, start = [] }: HostInit, { centres, weights }: FesemOptions) {
    this.#units = units
    this.#centres = centres
    this.#plain = weights === 'plain'
    const graphs = wholeUnits(charter)
    this.#names = [...graphs.keys()]
    // All train the first step from one start, the one that a site's model has.
    for (const [name, graph] of graphs) {
      const values = start.find(unit => unit.name === name)?.tensor.data ?? initialise(graph, charter.seed, name)
      for (let k = 0; k < centres; k++) this.#unit(k, name).start(values)
    }
  }

  apply (_step: number, from: readonly MethodShare[]): ReturnType<HostMethod['apply']> {
    if (this.#told) for (let k = 0; k < this.#centres; k++) this.#move(k, k, from.filter(({ tensors }) => [...tensors.keys()].some(name => name.startsWith(unitOf(k, '')))))
    else this.#begin(from)
    this.#told = true
    return sharesStats(from)
  }

  told (): readonly NamedTensor[] { return this.#told ? [...this.#units].map(([name, { parameters }]) => vector(name, parameters)) : [] }

  save (): NamedTensor[] { return [vector('centers', Float32Array.of(Number(this.#told)))] }

  load (saved: Parameters<NonNullable<HostMethod['load']>>[0]): void { this.#told = saved.need('centers', 1)[0] === 1 }

  /** Changes from the one start are as far apart as the weights are. */
  #begin (from: readonly MethodShare[]): void {
    const rows = from.map(({ row }) => row)
    const seeds = farthestFirst(rows, this.#centres).map(index => rows[index] as Float32Array)
    const nextTo = rows.map(row => nearest(row, seeds).index)
    seeds.forEach((_, k) => { this.#move(k, 0, from.filter((_, i) => nextTo[i] === k)) })
  }

  /** @param sentAs - the centre under whose names the members sent their changes */
  #move (centre: number, sentAs: number, members: readonly MethodShare[]): void {
    for (const name of this.#names) {
      moveByMean(this.#unit(centre, name), members.flatMap(({ samples, tensors }) => {
        const change = tensors.get(unitOf(sentAs, name))
        return change === undefined ? [] : [{ weight: this.#plain ? 1 : samples, change }]
      }))
    }
  }

  #unit (centre: number, name: string): Weights { return this.#units.get(unitOf(centre, name)) as Weights }
}

export const fesem: Method<FesemOptions> = {
  name: 'fesem',
  foundation: true,
  options: raw => {
    checkOptions('method', 'fesem', raw, {
      centres: { what: 'a whole number from 1 to 64', fits: value => Number.isInteger(value) && value >= 1 && value <= 64 },
      mu: { what: 'a number from 0', fits: value => value >= 0 },
      weights: ['samples', 'plain']
    })
    return { centres: 3, mu: 0, weights: 'samples', ...raw } as FesemOptions
  },
  exchange: (charter: Charter, { centres }) => {
    if (centres > 1 && charter.merge.mode !== 'none') {
      throw new InvalidParametersError(`method fesem: hosts begin with centres of their own, merge.mode ${charter.merge.mode} would mix them`, { next: 'set merge.mode to none' })
    }
    return { units: new Map(Array.from({ length: centres }, (_, k) => [...wholeUnits(charter)].map(([name, graph]) => [unitOf(k, name), graph] as const)).flat()) }
  },
  site: (init, options) => new FesemSite(init, options),
  host: (init, options) => new FesemHost(init, options),
  traffic: charter => {
    const numbers = numbersOf(wholeUnits(charter))
    return { up: numbers, down: numbers * Number(charter.method?.centres ?? 1) }
  }
}
