/**
 * The same model trained at one site alone: the baseline that a federated model has to beat, a candidate of the site's
 * committee, and (with another seed) the control that tells collaboration from mere averaging of two models.
 */
import { drawBatch } from './batches.ts'
import { ClientParts, sumTensors } from './client-parts.ts'
import { buildTrunk } from '../models/trunk.ts'
import { deriveSeed } from '../random.ts'
import { elements } from '../tensor/tensor.ts'
import { Unit } from './unit.ts'
import type { Backend } from '../backend/backend.ts'
import type { ClientData, Rows } from '../data/dataset.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { TensorData } from '../tensor/tensor.ts'
import type { TrainingSpec } from './spec.ts'

/** Rows a prediction pass handles at once; bounds memory, not results. */
export const EVALUATION_ROWS = 128

export class LocalTrainer {
  readonly parts: ClientParts
  readonly #data: ClientData
  readonly #training: TrainingSpec
  readonly #trunk: Unit
  readonly #seed: number

  constructor (backend: Backend, data: ClientData, model: ModelSpec, training: TrainingSpec, seed: number) {
    this.#data = data
    this.#training = training
    this.#seed = deriveSeed(seed, 'rows', data.id)
    const init = { seed, training, rate: training.lrLocal }
    this.parts = new ClientParts(backend, data, model, init)
    this.#trunk = new Unit(backend, 'trunk', buildTrunk(model.backbone), { ...init, wanted: ['activations'] })
  }

  get units (): readonly Unit[] { return [this.#trunk, ...this.parts.units] }

  async step (step: number): Promise<void> {
    const { batch: size, shift } = this.#training
    const batch = drawBatch(this.#data.train, this.#data.input, { size, seed: this.#seed, step, shift })
    const embedded = await this.parts.embed(batch)
    const { outputs, kept } = await this.#trunk.model.forward({ activations: embedded.activations })
    const pass = await this.parts.passHeads(outputs.features as TensorData, batch)
    const back = await this.#trunk.model.backward(kept, { features: sumTensors(pass.featureGrads.map(grad => grad.tensor)) })
    const embedGradient = await this.parts.embedGradient(embedded, back.inputs.activations as TensorData)
    this.#trunk.learn(back.parameters, step)
    this.parts.embedUnit.learn(embedGradient, step)
    for (const unit of this.parts.units.slice(1)) unit.learn(pass.gradients.get(unit.name) as Float32Array, step)
  }

  /** Linked outputs per task over all rows of a split, [rows, positions, channels]. */
  async predict (rows: Rows): Promise<ReadonlyMap<string, TensorData>> {
    const chunks: Array<ReadonlyMap<string, TensorData>> = []
    const rowSize = elements(this.#data.input.shape)
    for (let start = 0; start < rows.count; start += EVALUATION_ROWS) {
      const count = Math.min(EVALUATION_ROWS, rows.count - start)
      const { activations } = await this.parts.embedRows(rows, rowSize, start, count)
      const { features } = await this.#trunk.model.infer({ activations })
      chunks.push(await this.parts.predict(features as TensorData))
    }
    return joinRows(chunks)
  }

  dispose (): void {
    this.parts.dispose()
    this.#trunk.dispose()
  }
}

/** Stacks the row chunks of several predictions. */
export function joinRows (chunks: ReadonlyArray<ReadonlyMap<string, TensorData>>): ReadonlyMap<string, TensorData> {
  const joined = new Map<string, TensorData>()
  for (const task of chunks[0]?.keys() ?? []) {
    const pieces = chunks.map(chunk => chunk.get(task) as TensorData)
    const data = new Float32Array(pieces.reduce((sum, piece) => sum + piece.data.length, 0))
    let at = 0
    for (const piece of pieces) {
      data.set(piece.data, at)
      at += piece.data.length
    }
    const rows = pieces.reduce((sum, piece) => sum + (piece.shape[0] as number), 0)
    joined.set(task, { shape: [rows, ...(pieces[0] as TensorData).shape.slice(1)], data })
  }
  return joined
}
