/**
 * FedRBN: robustness for sites that cannot afford to train against attacks. All share one model but for its batch
 * normalisations, which are each site's own; each has two sets of running statistics under one gain and bias.
 *
 *     sites that do      (1 - l) loss(x; BNc) + l loss(PGD(x; BNa); BNa)    fill both sets, and show them
 *     sites that do not  loss(x; BNc)                                       take BNa over from those (robustness/propagation.ts)
 *
 * With pnc = p above 0 the second kind learns to work with what it took over, once training is warm:
 * (1 - p) loss(x; BNc) + p loss(x; BNa), BNa as it is, the gradient of the second part clipped to a length of 10.
 * An attack is judged under the set that it was made for. Clean statistics of a site that shows nothing stay there.
 * Source: Hong et al., Federated robustness propagation, arXiv 2106.10196, and its code (illidanlab/FedRBN).
 */
import { DualForm, DualModel } from '../training/dual-model.ts'
import { InvalidParametersError } from '../errors.ts'
import { embedUnit, expectOneInput, sharesEmbedder } from '../models/inputs.ts'
import { Random, deriveSeed } from '../random.ts'
import { difference } from '../training/local-rules.ts'
import { formOf } from '../models/form.ts'
import { isAdversary } from '../robustness/adversaries.ts'
import { localStepsOf, totalSteps } from '../training/spec.ts'
import { meanHost } from './mean-host.ts'
import { memberIn, savedTasks } from '../export/members.ts'
import { norm } from '../kernels/index.ts'
import { normalisationsOf } from '../models/normalisation.ts'
import { normsOf, statisticsGraph } from '../models/batch-norm.ts'
import { expectNumbers, parseAttack } from '../robustness/pgd.ts'
import { propagated } from '../robustness/propagation.ts'
import { refuseUnknown } from '../models/spec.ts'
import { vector } from '../training/saved-state.ts'
import { wholeOf } from './told.ts'
import type { Attack } from '../robustness/pgd.ts'
import type { Batch } from '../training/batches.ts'
import type { Charter } from '../federation/charter.ts'
import type { ConflictStats } from '../projection/index.ts'
import type { Graph } from '../graph/graph.ts'
import type { HostInit, HostMethod, Method, MethodShare, Predictions, SiteInit, SiteMethod } from './method.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { Rows } from '../data/dataset.ts'
import type { SavedState } from '../training/saved-state.ts'
import type { Source } from '../robustness/propagation.ts'
import type { Stretch } from '../models/normalisation.ts'
import type { TaskLoss } from '../backbone/frames.ts'
import type { Weights } from '../training/unit.ts'
import type { WholePass } from '../training/whole-model.ts'

export interface FedrbnOptions {
  /** Share of the sites that train against attacks. */
  readonly adversaries: number
  readonly lambdaTrain: number
  /** How sources are weighted; own: nothing is taken over, BNa is the site's BNc (the control). */
  readonly propagation: 'cosine' | 'equal' | 'own'
  readonly temperature: number
  /** 0: off. */
  readonly pnc: number
  /** Rounds before pnc counts. */
  readonly warmupRounds: number
  /** What the site serves: 0 for clean rows to 1 for attacked ones. */
  readonly lambda: number
  readonly epsilon: number
  readonly attackSteps: number
  readonly low?: number
  readonly high?: number
}

const KNOWN = ['adversaries', 'lambdaTrain', 'propagation', 'temperature', 'pnc', 'warmupRounds', 'lambda', 'epsilon', 'attackSteps', 'low', 'high']
const PROPAGATIONS: readonly unknown[] = ['cosine', 'equal', 'own']
/** Longest gradient of the part that learns under what was taken over. */
const PNC_CLIP = 10
/** Both sets of running statistics of a site that trains against attacks: clean ones, then those of attacked rows. */
const SHOWN = 'statistics'
/** What all of them show, side by side and without a name. */
const SOURCES = 'sources'
/** Before a site's name, in a host's checkpoint. */
const SOURCE = 'source/'

function parse (raw: Readonly<Record<string, unknown>>): FedrbnOptions {
  refuseUnknown('method', raw, KNOWN)
  const { adversaries = 0.5, lambdaTrain = 0.5, propagation = 'cosine', temperature = 0.01, pnc = 0, warmupRounds = 10, lambda = 0, ...attack } = raw
  for (const [key, value] of Object.entries({ adversaries, lambdaTrain, pnc, lambda })) {
    if (typeof value !== 'number' || !(value >= 0 && value <= 1)) throw new InvalidParametersError(`method.${key} must be a number from 0 to 1, got ${String(value)}`)
  }
  if (!PROPAGATIONS.includes(propagation)) throw new InvalidParametersError(`method.propagation must be ${PROPAGATIONS.join(', ')}, got ${String(propagation)}`)
  if (typeof temperature !== 'number' || !(temperature > 0 && Number.isFinite(temperature))) throw new InvalidParametersError(`method.temperature must be a number above 0, got ${String(temperature)}`)
  if (!Number.isInteger(warmupRounds) || (warmupRounds as number) < 0) throw new InvalidParametersError(`method.warmupRounds must be a whole number from 0, got ${String(warmupRounds)}`)
  const { steps: attackSteps, ...ball } = parseAttack('method', attack)
  return { adversaries, lambdaTrain, propagation, temperature, pnc, warmupRounds, lambda, attackSteps, ...ball } as FedrbnOptions
}

function attackOf ({ epsilon, attackSteps: steps, low, high }: FedrbnOptions): Attack { return { epsilon, steps, ...low === undefined || high === undefined ? {} : { low, high } } }

function trunkOf ({ model, input, tasks }: Pick<Charter, 'model' | 'input' | 'tasks'>): Graph {
  return (formOf(model, input, tasks).parts.find(([name]) => name === 'trunk') as readonly [string, Graph])[1]
}

/** Parts that the charter shares; normalisations in the trunk stay at their start values there. */
function sharedUnits (charter: Charter): ReadonlyMap<string, Graph> {
  const { model, input, tasks } = charter
  expectOneInput(charter, 'fedrbn')
  expectNumbers(input)
  if (model.norm !== 'batch') throw new InvalidParametersError('method fedrbn needs batch normalisations to keep apart', { next: 'set model.norm to batch' })
  const shared = new Set(['trunk', ...sharesEmbedder(model, input) ? [embedUnit(input)] : [], ...model.sharedHeads.map(id => `head/${id}`)])
  return new Map(formOf(model, input, tasks).parts.filter(([name]) => shared.has(name)))
}

class FedrbnSite implements SiteMethod {
  readonly #init: SiteInit
  readonly #options: FedrbnOptions
  readonly #form: DualForm
  readonly #model: DualModel
  readonly #shared: ReadonlyMap<string, Weights>
  /** Gains and biases, which stay here. */
  readonly #own: readonly Stretch[]
  readonly #adversary: boolean

  constructor (init: SiteInit, options: FedrbnOptions) {
    const { backend, charter, data, seat } = init
    const { model, training, seed } = charter
    this.#init = init
    this.#options = options
    this.#form = new DualForm(backend, data, model, training.smoothing)
    this.#model = new DualModel(this.#form, { seed, training, rate: training.lrLocal, sides: 'statistics' })
    const shared = sharedUnits(charter)
    this.#shared = new Map(this.#model.units.filter(({ name }) => shared.has(name)).map(unit => [unit.name, unit]))
    this.#own = normalisationsOf(shared.get('trunk') as Graph)
    this.#adversary = isAdversary(options.adversaries, seat)
  }

  get units (): readonly Weights[] { return this.#model.units }

  async contribute (step: number): Promise<{ sent: readonly NamedTensor[], losses: readonly TaskLoss[] }> {
    const { charter: { training }, batch, protect } = this.#init
    const before = new Map([...this.#shared].map(([name, { parameters }]) => [name, parameters.slice()]))
    const steps = localStepsOf(training)
    const losses: TaskLoss[] = []
    for (let local = step * steps; local < (step + 1) * steps; local++) {
      const pass = await this.#pass(batch(local), step, local)
      protect('the pieces of a batch', pass.pieces.data)
      this.#model.learn(pass.gradients, local)
      losses.push(...pass.losses)
      for (const unit of this.units) if (!this.#shared.has(unit.name) && !this.#adversary) protect(`the ${unit.name} of this site`, unit.parameters)
    }
    for (const { offset, size } of this.#own) protect('normalisations of this site', (this.#shared.get('trunk') as Weights).parameters.slice(offset, offset + size))
    const sent = [...this.#shared].map(([name, { parameters }]) => {
      const change = difference(parameters, before.get(name) as Float32Array)
      if (name === 'trunk') for (const { offset, size } of this.#own) change.fill(0, offset, offset + size)
      return vector(name, change)
    })
    return { sent: this.#adversary ? [...sent, vector(SHOWN, Float32Array.of(...this.#statistics('statistics').parameters, ...this.#statistics('adversarial/statistics').parameters))] : sent, losses }
  }

  receive (_step: number, told: readonly NamedTensor[]): void {
    for (const { name, tensor: { data } } of told) {
      const unit = this.#shared.get(name)
      if (unit === undefined) continue
      const values = data.slice()
      if (name === 'trunk') for (const { offset, size } of this.#own) values.set(unit.parameters.subarray(offset, offset + size), offset)
      unit.set(values)
    }
    if (this.#adversary) return
    const shown = told.find(({ name }) => name === SOURCES)?.tensor.data ?? new Float32Array(0)
    const size = this.#statistics('statistics').parameters.length
    const sources = Array.from({ length: shown.length / (2 * size) }, (_, i): Source => ({ clean: shown.subarray(2 * i * size, (2 * i + 1) * size), attacked: shown.subarray((2 * i + 1) * size, (2 * i + 2) * size) }))
    const { propagation, temperature } = this.#options
    const clean = this.#statistics('statistics').parameters
    this.#statistics('adversarial/statistics').set(propagation === 'own' || sources.length === 0 ? clean : propagated(this.#form.norms, sources, clean, { weights: propagation, temperature }))
  }

  async predict (rows: Rows): Promise<Predictions> { return await this.#form.predictWith([this.#model.folded(this.#options.lambda)], rows) }

  variants (): ReadonlyMap<string, (rows: Rows) => Promise<Predictions>> {
    return new Map([['clean', 0], ['robust', 1]].flatMap(([name, lambda]) => [
      [`${name as string}`, async (rows: Rows) => await this.#form.predictWith([this.#model.folded(lambda as number)], rows)],
      [`${name as string} attacked`, async (rows: Rows) => await this.#attacked(lambda as number, rows)]
    ]))
  }

  dispose (): void { this.#form.dispose() }

  async #pass (batch: Batch, step: number, local: number): Promise<WholePass> {
    const { charter: { seed, training }, data } = this.#init
    const { lambdaTrain, pnc, warmupRounds } = this.#options
    if (this.#adversary && lambdaTrain > 0) return await this.#model.passBoth(batch, lambdaTrain, attackOf(this.#options), new Random(deriveSeed(seed, 'attack', data.id, local)))
    const clean = await this.#model.pass(batch)
    if (this.#adversary || pnc === 0 || step < warmupRounds * training.stepsPerRound) return clean
    const frozen = await this.#model.passFrozen(batch)
    const length = Math.hypot(...[...frozen.gradients.values()].map(norm))
    const share = pnc * Math.min(1, PNC_CLIP / (pnc * length))
    const gradients = new Map([...clean.gradients].map(([name, gradient]) => [name, gradient.map((value, i) => (1 - pnc) * value + share * (frozen.gradients.get(name)?.[i] ?? 0))]))
    return { pieces: clean.pieces, gradients, losses: clean.losses.map((loss, i) => ({ ...loss, loss: (1 - pnc) * loss.loss + pnc * (frozen.losses[i] as TaskLoss).loss })) }
  }

  #statistics (name: 'statistics' | 'adversarial/statistics'): Weights { return this.#model.unit(name) as Weights }

  /** With the labels of the rows: for figures only. */
  async #attacked (lambda: number, rows: Rows): Promise<Predictions> {
    const members = [this.#model.folded(lambda)]
    const x = await this.#form.attacked(members, rows, attackOf(this.#options), new Random(deriveSeed(this.#init.charter.seed, 'attacked', this.#init.data.id)))
    return await this.#form.predictWith(members, { x, count: rows.count })
  }
}

class FedrbnHost implements HostMethod {
  readonly #init: HostInit
  readonly #options: FedrbnOptions
  readonly #mean: HostMethod
  /** Of the last step, by site: kept when one leaves, since others may still be told of the end. */
  #sources: ReadonlyMap<string, Float32Array> = new Map()

  constructor (init: HostInit, options: FedrbnOptions) {
    this.#init = init
    this.#options = options
    this.#mean = meanHost(init)
  }

  apply (step: number, from: readonly MethodShare[]): ConflictStats {
    this.#sources = new Map(from.flatMap(({ client, tensors }) => tensors.has(SHOWN) ? [[client, (tensors.get(SHOWN) as Float32Array).slice()] as const] : []))
    return this.#mean.apply(step, from)
  }

  told (client: string, step: number): readonly NamedTensor[] {
    const units = this.#mean.told(client, step)
    // Without pnc nobody computes with what was taken over before the end.
    if (this.#sources.size === 0 || (this.#options.pnc === 0 && step < totalSteps(this.#init.charter.training))) return units
    return [...units, vector(SOURCES, Float32Array.from([...this.#sources.values()].flatMap(statistics => [...statistics])))]
  }

  save (): NamedTensor[] { return [...this.#sources].map(([client, statistics]) => vector(`${SOURCE}${client}`, statistics)) }

  load (saved: SavedState): void {
    const size = shownSize(this.#init.charter)
    this.#sources = new Map(saved.names(SOURCE).map(name => [name.slice(SOURCE.length), saved.need(name, size)]))
  }
}

function shownSize (charter: Charter): number { return 2 * statisticsGraph(normsOf(trunkOf(charter))).parameterCount }

export const fedrbn: Method<FedrbnOptions> = {
  name: 'fedrbn',
  options: parse,
  exchange: charter => {
    const units = sharedUnits(charter)
    const shown = shownSize(charter)
    const whole = wholeOf(units)
    return {
      units,
      up: new Map([...[...units].map(([name, { parameterCount }]) => [name, parameterCount] as const), [SHOWN, shown]]),
      down: (name, numbers) => name === SOURCES ? numbers > 0 && numbers % shown === 0 : whole(name, numbers)
    }
  },
  site: (init, options) => new FedrbnSite(init, options),
  host: (init, options) => new FedrbnHost(init, options),
  exported: ({ model, input, tasks }, _, saved, { width, robustness }) => {
    if (width !== 1) throw new InvalidParametersError('this run trained one model of one width', { next: 'leave --width out, or train with strategy split-mix' })
    const own = savedTasks(saved, tasks, '')
    return { model, input, tasks: own, members: [memberIn(saved, { model, input, tasks: own, prefix: '', robustness })] }
  }
}
