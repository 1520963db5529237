/**
 * The same model trained at one site alone: the baseline that a federated model has to beat, a candidate of the site's
 * committee, and (with another seed) the control that tells collaboration from mere averaging of two models.
 */
import { batchNormModel } from './dual-model.ts'
import { drawBatch } from './batches.ts'
import { deriveSeed } from '../random.ts'
import { WholeModel } from './whole-model.ts'
import type { Backend } from '../backend/backend.ts'
import type { ClientData, Rows } from '../data/dataset.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { TaskLoss } from '../backbone/frames.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'
import type { TrainingSpec } from './spec.ts'
import type { Weights } from './unit.ts'

export class LocalTrainer {
  readonly #model: Pick<WholeModel, 'units' | 'pass' | 'predict' | 'dispose'>
  readonly #data: ClientData
  readonly #training: TrainingSpec
  readonly #seed: number

  /** @param start - where embedder and trunk start in place of the seed's values */
  constructor (backend: Backend, data: ClientData, model: ModelSpec, training: TrainingSpec, seed: number, start: readonly NamedTensor[] = []) {
    this.#data = data
    this.#training = training
    this.#seed = deriveSeed(seed, 'rows', data.id)
    const init = { seed, training, rate: training.lrLocal, start }
    this.#model = model.norm === 'batch' ? batchNormModel(backend, data, model, init) : new WholeModel(backend, data, model, init)
  }

  get units (): readonly Weights[] { return this.#model.units }

  /** @returns the losses of the batch before the step */
  async step (step: number): Promise<readonly TaskLoss[]> {
    const { batch: size, shift } = this.#training
    const batch = drawBatch(this.#data.train, this.#data.input, { size, seed: this.#seed, step, shift })
    const { gradients, losses } = await this.#model.pass(batch)
    for (const unit of this.units) {
      const gradient = gradients.get(unit.name)
      if (gradient !== undefined) unit.learn(gradient, step) // running statistics have none
    }
    return losses
  }

  /** Linked outputs per task over all rows of a split, [rows, positions, channels]. */
  async predict (rows: Rows): Promise<ReadonlyMap<string, TensorData>> { return await this.#model.predict(rows) }

  dispose (): void { this.#model.dispose() }
}
