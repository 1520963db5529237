/**
 * A whole model whose normalisations come in one set or two: for clean rows and for attacked ones (dual batch normalisation,
 * Xie et al., arXiv 1911.09665). The two programs, of training and of inference, are in `DualForm`; models of one form share
 * them. What is trained of one model is in `DualModel`, unit by unit:
 *
 *     embed/<modality>, trunk, head/<task>   the parts, gains and biases for clean rows among them
 *     statistics                             running means and variances for clean rows; batch normalisation only
 *     adversarial/affine                     gains and biases for attacked rows, where they are not those for clean ones
 *     adversarial/statistics                 running means and variances for attacked rows; batch normalisation only
 */
import { MixedModel } from './mixed-model.ts'
import { TRUNK_PREFIX } from '../models/form.ts'
import { affineGraph, asAffine, mixed, normsOf, observedOf, overRows, pairsIn, statisticsGraph, unfoldGradient, updateStatistics, withAffine, withStatistics } from '../models/batch-norm.ts'
import { differentiate } from '../graph/gradients.ts'
import { Weights } from './unit.ts'
import type { Attack } from '../robustness/pgd.ts'
import type { Backend, Model } from '../backend/backend.ts'
import type { Batch } from './batches.ts'
import type { ClientData, Rows } from '../data/dataset.ts'
import type { Graph } from '../graph/graph.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { Norm } from '../models/batch-norm.ts'
import type { Predictions } from './mixed-model.ts'
import type { Random } from '../random.ts'
import type { TaskLoss } from '../backbone/frames.ts'
import type { TensorData } from '../tensor/tensor.ts'
import type { TrainingSpec } from './spec.ts'
import type { WholePass } from './whole-model.ts'

/** Whose normalisations: those for clean rows, or those for attacked ones. */
export type NormSet = 'clean' | 'attacked'

/** What attacked rows have of their own: nothing (one set), statistics, or gains and biases too. */
export type Sides = 'one' | 'statistics' | 'all'

export const STATISTICS = 'statistics'
export const ATTACKED_AFFINE = 'adversarial/affine'
export const ATTACKED_STATISTICS = 'adversarial/statistics'

/** Units beside the parts. @param trunk - the part with the normalisations */
export function normUnits (trunk: Graph, batch: boolean, sides: Sides): ReadonlyArray<readonly [string, Graph]> {
  const norms = normsOf(trunk)
  return [
    ...batch ? [[STATISTICS, statisticsGraph(norms)] as const] : [],
    ...sides === 'all' ? [[ATTACKED_AFFINE, affineGraph(norms)] as const] : [],
    ...batch && sides !== 'one' ? [[ATTACKED_STATISTICS, statisticsGraph(norms)] as const] : []
  ]
}

interface FormPass {
  readonly pieces: TensorData
  readonly losses: readonly TaskLoss[]
  /** Flat, as the parameters. */
  readonly gradient: Float32Array
  readonly outputs: Readonly<Record<string, TensorData>>
}

export class DualForm extends MixedModel {
  readonly batchNorm: boolean
  /** Places are in the flat parameters. */
  readonly norms: readonly Norm[]
  readonly #training: Model
  readonly #backend: Backend
  /** Learns under running statistics; made when it is first needed. */
  #frozen: Model | undefined

  constructor (backend: Backend, site: Pick<ClientData, 'input' | 'tasks'>, model: ModelSpec, smoothing: number) {
    super(backend, site, model, smoothing)
    this.#backend = backend
    this.batchNorm = model.norm === 'batch'
    this.norms = normsOf(this.whole, TRUNK_PREFIX)
    const graph = this.batchNorm ? overRows(this.whole, TRUNK_PREFIX) : this.whole
    this.#training = backend.load(differentiate(graph, [], { observed: observedOf(this.norms) }))
  }

  /** Forward and backward with the statistics of the batch. */
  async pass (flat: Float32Array, batch: Batch): Promise<FormPass> { return await this.#passOn(this.#training, flat, batch) }

  /** The same of the inference graph. @param flat - statistics folded in */
  async passFrozen (flat: Float32Array, batch: Batch): Promise<FormPass> {
    this.#frozen ??= this.#backend.load(differentiate(this.batchNorm ? asAffine(this.whole, TRUNK_PREFIX) : this.whole, []))
    return await this.#passOn(this.#frozen, flat, batch)
  }

  async #passOn (model: Model, flat: Float32Array, batch: Batch): Promise<FormPass> {
    const pieces = this.embedder.unfold(batch.x, batch.count)
    model.setParameters(flat)
    const { outputs, kept } = await model.forward({ pieces })
    const results = this.taskParts.map(part => this.lossOf(part, outputs[part.task.spec.id] as TensorData, batch))
    const { parameters } = await model.backward(kept, Object.fromEntries(results.map(({ loss, grad }) => [loss.task, grad])))
    return { pieces, losses: results.map(({ loss }) => loss), gradient: parameters, outputs }
  }

  override dispose (): void {
    super.dispose()
    this.#training.dispose()
    this.#frozen?.dispose()
  }
}

export interface DualInit {
  readonly seed: number
  readonly training: TrainingSpec
  readonly rate: number
  readonly sides: Sides
  /** Before the name of every unit. Default none. */
  readonly prefix?: string
  /** What start values are drawn from, where it is not the part's own graph. */
  readonly startOf?: (part: string, graph: Graph) => Graph
}

export class DualModel {
  /** All that is trained, and the running statistics. */
  readonly units: readonly Weights[]
  readonly #form: DualForm
  readonly #prefix: string
  readonly #parts: readonly Weights[]
  /** The parts' weights, one after the other. */
  readonly #flat: Float32Array
  readonly #statistics: Readonly<Record<NormSet, Weights | undefined>>
  readonly #affine: Weights | undefined

  constructor (form: DualForm, { sides, prefix = '', startOf = (_, graph) => graph, ...init }: DualInit) {
    this.#form = form
    this.#prefix = prefix
    this.#flat = new Float32Array(form.size)
    const optimiser = init.training.optimiser ?? 'adamw'
    let rest = this.#flat
    this.#parts = form.parts.map(([name, graph]) => {
      const storage = rest.subarray(0, graph.parameterCount)
      rest = rest.subarray(graph.parameterCount)
      return new Weights(`${prefix}${name}`, startOf(name, graph), { ...init, optimiser, storage })
    })
    const trunk = (form.parts.find(([name]) => name === 'trunk') as readonly [string, Graph])[1]
    const beside = new Map(normUnits(trunk, form.batchNorm, sides).map(([name, graph]) => [name, new Weights(`${prefix}${name}`, graph, { ...init, optimiser })]))
    this.#statistics = { clean: beside.get(STATISTICS), attacked: beside.get(ATTACKED_STATISTICS) }
    this.#affine = beside.get(ATTACKED_AFFINE)
    this.units = [...this.#parts, ...beside.values()]
  }

  /**
   * Forward and backward under one set's normalisations, whose running statistics move on.
   * @returns gradients by unit; statistics have none
   */
  async pass (batch: Batch, set: NormSet = 'clean'): Promise<WholePass> {
    const { pieces, losses, gradient, outputs } = await this.#form.pass(this.#under(set), batch)
    const statistics = this.#statistics[set]
    if (statistics !== undefined) statistics.set(updateStatistics(this.#form.norms, statistics.parameters, outputs, batch.count * this.#form.embedder.tokens))
    const gradients = new Map<string, Float32Array>()
    if (set === 'attacked' && this.#affine !== undefined) {
      // The set's own gains and biases stand where the clean ones do: what was found for them goes there, and nothing to those.
      const own = new Float32Array(this.#affine.parameters.length)
      for (const [i, [gain, bias]] of pairsIn(this.#form.norms, own).entries()) {
        const norm = this.#form.norms[i] as Norm
        for (const [into, from] of [[gain, norm.gain], [bias, norm.bias]] as const) {
          into.set(gradient.subarray(from, from + norm.channels))
          gradient.fill(0, from, from + norm.channels)
        }
      }
      gradients.set(this.#affine.name, own)
    }
    this.#cut(gradient, gradients)
    return { pieces, losses, gradients }
  }

  /** Forward and backward under running statistics that stay as they are: those for attacked rows, of a set of statistics alone. */
  async passFrozen (batch: Batch): Promise<WholePass> {
    const { pieces, losses, gradient } = await this.#form.passFrozen(this.#folded('attacked'), batch)
    const statistics = this.#statistics.attacked ?? this.#statistics.clean
    if (statistics !== undefined) unfoldGradient(this.#form.norms, gradient, statistics.parameters)
    return { pieces, losses, gradients: this.#cut(gradient, new Map()) }
  }

  /** (1 - weight) loss of the rows + weight loss of the attacked rows, each under its own normalisations. */
  async passBoth (batch: Batch, weight: number, attack: Attack, random: Random): Promise<WholePass> {
    const x = await this.#form.attacked([this.folded(1)], batch, attack, random)
    const [clean, attacked] = [await this.pass(batch), await this.pass({ ...batch, x }, 'attacked')]
    const gradients = new Map<string, Float32Array>()
    for (const { name, parameters: { length } } of this.units) {
      const [a, b] = [clean.gradients.get(name), attacked.gradients.get(name)]
      if (a !== undefined || b !== undefined) gradients.set(name, Float32Array.from({ length }, (_, i) => (1 - weight) * (a?.[i] ?? 0) + weight * (b?.[i] ?? 0)))
    }
    const losses = clean.losses.map((loss, i) => ({ ...loss, loss: (1 - weight) * loss.loss + weight * (attacked.losses[i] as TaskLoss).loss }))
    return { pieces: clean.pieces, losses, gradients }
  }

  /** One step of every unit that has a gradient. */
  learn (gradients: ReadonlyMap<string, Float32Array>, step: number): void {
    for (const unit of this.units) {
      const gradient = gradients.get(unit.name)
      if (gradient !== undefined) unit.learn(gradient, step)
    }
  }

  /** Parameters for inference between the two sets: 0 is for clean rows, 1 for attacked ones. */
  folded (lambda: number): Float32Array {
    if (lambda === 0) return this.#folded('clean')
    return mixed(this.#folded('clean'), this.#folded('attacked'), lambda)
  }

  /** Linked outputs per task over all rows of a split. */
  async predict (rows: Rows): Promise<Predictions> { return await this.#form.predictWith([this.folded(0)], rows) }

  /** The unit of this name without the prefix. */
  unit (name: string): Weights | undefined { return this.units.find(unit => unit.name === `${this.#prefix}${name}`) }

  /** Adds a flat gradient, part by part. */
  #cut (gradient: Float32Array, into: Map<string, Float32Array>): Map<string, Float32Array> {
    let rest = gradient
    for (const { name, parameters: { length } } of this.#parts) {
      into.set(name, rest.subarray(0, length))
      rest = rest.subarray(length)
    }
    return into
  }

  /** The flat parameters with the gains and biases of a set. */
  #under (set: NormSet): Float32Array {
    return set === 'clean' || this.#affine === undefined ? this.#flat : withAffine(this.#form.norms, this.#flat, this.#affine.parameters)
  }

  #folded (set: NormSet): Float32Array {
    const statistics = this.#statistics[set] ?? this.#statistics.clean
    return statistics === undefined ? this.#under(set).slice() : withStatistics(this.#form.norms, this.#under(set), statistics.parameters)
  }
}

/** A whole model with batch normalisations and one set of them, with a form of its own. */
export function batchNormModel (backend: Backend, data: ClientData, model: ModelSpec, init: Omit<DualInit, 'sides' | 'prefix' | 'startOf'>): Pick<DualModel, 'units' | 'pass' | 'predict'> & { dispose: () => void } {
  const form = new DualForm(backend, data, model, init.training.smoothing)
  const dual = new DualModel(form, { ...init, sides: 'one' })
  return { units: dual.units, pass: async batch => await dual.pass(batch), predict: async rows => await dual.predict(rows), dispose: () => { form.dispose() } }
}
