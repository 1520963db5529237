/**
 * A site of CoFED. Its model is all its own, of a width of its own, and never leaves; what leaves is which class it takes each
 * public row for, and which classes it knows. From the answer it takes labels, and trains on with those rows beside its own.
 */
import { NONE, classWeights, propose, take } from './labels.ts'
import { Random, deriveSeed } from '../../random.ts'
import { WholeModel } from '../../training/whole-model.ts'
import { concatRows, labelled, pickRows } from '../../data/pool.ts'
import { labelTasks, unpackAccepted } from './wire.ts'
import { localStepsOf, totalSteps } from '../../training/spec.ts'
import { publicRows } from './public-set.ts'
import { restricted } from '../../training/label-scopes.ts'
import { vector } from '../../training/saved-state.ts'
import type { Batch } from '../../training/batches.ts'
import type { SiteInit, SiteMethod } from '../method.ts'
import type { CofedOptions } from './cofed.ts'
import type { NamedTensor, TensorData } from '../../tensor/tensor.ts'
import type { Rows } from '../../data/dataset.ts'
import type { SavedState } from '../../training/saved-state.ts'
import type { TaskLoss } from '../../backbone/frames.ts'
import type { TaskPart } from '../../training/client-layout.ts'
import type { Weights } from '../../training/unit.ts'

/** Public rows in a batch are to local ones as they are in all, up to so many times: more would only fill memory. */
const MOST_PUBLIC = 8

/** A whole model whose classes weigh differently. */
class WeighedModel extends WholeModel {
  /** Task id -> weight per class. */
  readonly weights = new Map<string, readonly number[]>()

  protected override lossOf (part: TaskPart, prediction: TensorData, batch: Batch): { loss: TaskLoss, grad: TensorData } {
    const { loss, grad } = super.lossOf(part, prediction, batch)
    const weights = this.weights.get(loss.task)
    if (weights !== undefined) {
      const { channels } = part.task.spec
      const labels = batch.y[loss.task] as Float32Array
      for (let i = 0; i < grad.data.length; i++) grad.data[i] = (grad.data[i] as number) * (weights[labels[Math.floor(i / channels)] as number] ?? 0)
    }
    return { loss, grad }
  }
}

export class CofedSite implements SiteMethod {
  readonly #init: SiteInit
  readonly #options: CofedOptions
  readonly #model: WeighedModel
  readonly #public: Rows
  /** Of each task that is labelled: classes that this site's training rows have, in order; none where it lacks the task. */
  readonly #classes: ReadonlyMap<string, readonly number[]>
  /** What was taken of the last answer: per task, a label per public row. */
  readonly #taken: Map<string, Float32Array>
  /** Public rows with a label. */
  #pool: Rows

  constructor (init: SiteInit, options: CofedOptions) {
    const { backend, charter, data, seat } = init
    const { model, training, seed } = charter
    const { widths } = options
    const width = widths[seat.rank % widths.length] ?? model.backbone.width
    this.#init = init
    this.#options = options
    // Nothing is averaged: start values of its own make a site's errors its own.
    this.#model = new WeighedModel(backend, data, { ...model, backbone: { ...model.backbone, width } }, { seed: deriveSeed(seed, 'cofed', data.id), training, rate: training.lrLocal })
    this.#public = publicRows(options.public, charter.input)
    this.#classes = new Map(labelTasks(charter).map(({ id }) => [id, [...new Set(data.train.y[id] ?? [])].filter(label => label >= 0).sort((a, b) => a - b)]))
    this.#taken = new Map([...this.#classes.keys()].map(id => [id, this.#nothing()]))
    this.#pool = pickRows(this.#public, [])
  }

  get units (): readonly Weights[] { return this.#model.units }

  async contribute (step: number): Promise<{ sent: readonly NamedTensor[], losses: readonly TaskLoss[] }> {
    const { training } = this.#init.charter
    const steps = localStepsOf(training)
    const losses: TaskLoss[] = []
    for (let local = step * steps; local < (step + 1) * steps; local++) {
      const pass = await this.#model.pass(this.#batch(local))
      this.#init.protect('the pieces of a batch', pass.pieces.data)
      for (const unit of this.#model.units) unit.learn(pass.gradients.get(unit.name) as Float32Array, local)
      losses.push(...pass.losses)
    }
    for (const { name, parameters } of this.#model.units) this.#init.protect(`the weights of ${name}`, parameters)
    const alone = step + 1 < totalSteps(training) * this.#options.alone
    return { sent: alone ? this.#silence() : await this.#proposals(), losses }
  }

  receive (step: number, told: readonly NamedTensor[]): void {
    for (const { id, channels } of labelTasks(this.#init.charter)) {
      const packed = told.find(({ name }) => name === `accepted/${id}`)?.tensor.data
      if (packed !== undefined) this.#taken.set(id, take(unpackAccepted(packed, channels), this.#public.count, this.#classes.get(id) ?? []))
      else if (step === 0) this.#taken.set(id, this.#nothing())
    }
    this.#prepare()
  }

  async predict (rows: Rows): Promise<ReadonlyMap<string, TensorData>> { return await this.#model.predict(rows) }

  save (): NamedTensor[] { return [...this.#taken].map(([id, labels]) => vector(`taken/${id}`, labels)) }

  load (saved: SavedState): void {
    const found = [...this.#taken.keys()].map(id => [id, saved.need(`taken/${id}`, this.#public.count)] as const)
    for (const [id, labels] of found) this.#taken.set(id, labels)
    this.#prepare()
  }

  dispose (): void { this.#model.dispose() }

  #nothing (): Float32Array { return new Float32Array(this.#public.count).fill(NONE) }

  /** Rows and weights of classes that follow from what was taken. */
  #prepare (): void {
    const rows = [...Array(this.#public.count).keys()].filter(row => [...this.#taken.values()].some(labels => (labels[row] as number) >= 0))
    const own = [...this.#taken].filter(([id]) => id in this.#init.data.train.y)
    this.#pool = labelled(pickRows({ ...this.#public, y: Object.fromEntries(own) }, rows), this.#init.data.tasks)
    this.#model.weights.clear()
    for (const [id, labels] of own) {
      if (labels.every(label => label === NONE)) continue
      const { channels } = this.#init.data.tasks.find(task => task.id === id) as { channels: number }
      const counts = new Array<number>(channels).fill(0)
      for (const label of [...this.#init.data.train.y[id] as Float32Array, ...labels]) if (label >= 0) counts[label] = (counts[label] as number) + 1
      this.#model.weights.set(id, classWeights(counts))
    }
  }

  /** The site's rows of a step, and as many public ones as there are of them beside its own. */
  #batch (local: number): Batch {
    const own = this.#init.batch(local)
    const { data, charter: { seed } } = this.#init
    const count = Math.min(this.#pool.count, MOST_PUBLIC * own.count, Math.round(own.count * this.#pool.count / data.train.count))
    if (count === 0) return own
    const drawn = new Random(deriveSeed(seed, 'public batch', data.id, local)).permutation(this.#pool.count).slice(0, count)
    return concatRows([{ ...own, source: new Int32Array(own.count) }, pickRows(this.#pool, drawn)])
  }

  /** Before a model is worth asking: no labels. Every step has the same form, whatever a site has to say. */
  #silence (): NamedTensor[] {
    return labelTasks(this.#init.charter).flatMap(task => [vector(`labels/${task.id}`, this.#nothing()), this.#known(task)])
  }

  async #proposals (): Promise<NamedTensor[]> {
    const predictions = await this.#model.predict(this.#public)
    return labelTasks(this.#init.charter).flatMap(task => {
      const classes = this.#classes.get(task.id) ?? []
      const linked = predictions.get(task.id)
      if (linked === undefined || classes.length === 0) return [vector(`labels/${task.id}`, this.#nothing()), this.#known(task)]
      const own = restricted(linked, new Set(classes)).data.filter((_, i) => classes.includes(i % task.channels))
      const every = task.channels === 2 && this.#options.binary === 'majority'
      return [vector(`labels/${task.id}`, propose(own, classes, every ? -1 : this.#options.margin)), this.#known(task)]
    })
  }

  #known ({ id, channels }: { id: string, channels: number }): NamedTensor {
    const known = new Float32Array(channels)
    for (const c of this.#classes.get(id) ?? []) known[c] = 1
    return vector(`classes/${id}`, known)
  }
}
