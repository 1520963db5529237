/**
 * A second whole model at a site: it never leaves, and it is what the site serves. It starts as the agreed model does.
 *
 *     ditto    v <- v - eta (grad F(v) + lambda (v - w))              w: the agreed values as the round began with them
 *     pfedme   theta <- theta - eta (grad F(theta) + lambda (theta - w))   K times a batch, then
 *              w <- w - lambda eta (w - theta)                         w: the site's copy, which is what it contributes
 *
 * theta starts each round at w, v goes on from round to round. Sources: Li et al., arXiv 2012.04221; Dinh et al.,
 * arXiv 2006.08848.
 */
import { WholeModel } from './whole-model.ts'
import { followed, pulled } from './local-rules.ts'
import type { Backend } from '../backend/backend.ts'
import type { Batch } from './batches.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientData, Rows } from '../data/dataset.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'
import type { WholePass } from './whole-model.ts'
import type { Weights } from './unit.ts'

export class PersonalModel {
  readonly #model: WholeModel
  readonly #pull: number
  readonly #innerSteps: number

  constructor (backend: Backend, data: ClientData, { model, training, seed }: Charter, start: readonly NamedTensor[]) {
    const { lrPersonal, lrLocal } = training
    this.#model = new WholeModel(backend, data, model, lrPersonal === undefined
      ? { seed, training, rate: lrLocal, start }
      : { seed, start, training: { ...training, optimiser: 'sgd', weightDecay: 0 }, rate: lrPersonal })
    this.#pull = training.pull ?? 0
    this.#innerSteps = training.innerSteps ?? 1
  }

  get units (): readonly Weights[] { return this.#model.units }

  /** Starts from a site's weights. */
  copy (site: readonly Weights[]): void {
    for (const [i, unit] of this.units.entries()) unit.set((site[i] as Weights).parameters)
  }

  /** Ditto: one step, units without an anchor are not pulled. */
  async step (batch: Batch, step: number, anchors: ReadonlyMap<string, Float32Array>): Promise<WholePass> {
    const pass = await this.#model.pass(batch)
    for (const unit of this.units) {
      const gradient = pass.gradients.get(unit.name) as Float32Array
      unit.learn(pulled(gradient, unit.parameters, anchors.get(unit.name) ?? unit.parameters, this.#pull), step)
    }
    return pass
  }

  /** pFedMe: K steps on one batch, after which the site's own weights follow. @returns the first pass, before any of them */
  async lead (batch: Batch, step: number, site: readonly Weights[]): Promise<WholePass> {
    const anchors = new Map(site.map(unit => [unit.name, unit.parameters]))
    const first = await this.step(batch, step, anchors)
    for (let inner = 1; inner < this.#innerSteps; inner++) await this.step(batch, step, anchors)
    for (const [i, unit] of site.entries()) {
      const leader = this.units[i] as Weights
      unit.set(followed(unit.parameters, leader.parameters, this.#pull * leader.rateAt(step)))
    }
    return first
  }

  /** Linked outputs per task over all rows of a split, [rows, positions, channels]. */
  async predict (rows: Rows): Promise<ReadonlyMap<string, TensorData>> { return await this.#model.predict(rows) }

  dispose (): void { this.#model.dispose() }
}
