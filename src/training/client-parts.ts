/** The model parts that stay at a client, embedder and heads, and the arithmetic between them and a trunk elsewhere. */
import { ClientLayout } from './client-layout.ts'
import { Unit } from './unit.ts'
import type { Backend, Kept } from '../backend/backend.ts'
import type { Batch } from './batches.ts'
import type { ClientData, Rows } from '../data/dataset.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'
import type { TaskLoss } from '../backbone/frames.ts'
import type { TaskPart } from './client-layout.ts'
import type { TrainingSpec } from './spec.ts'

export interface Embedded {
  /** The rows as the embedder reads them. */
  readonly pieces: TensorData
  readonly activations: TensorData
  readonly kept: Kept
}

/** One forward and backward through the heads. */
export interface HeadPass {
  /** dL/dfeatures of every task, already weighted, named 'task/<id>'. */
  readonly featureGrads: readonly NamedTensor[]
  readonly losses: readonly TaskLoss[]
  /** Head unit name -> gradient. */
  readonly gradients: ReadonlyMap<string, Float32Array>
}

export class ClientParts extends ClientLayout {
  readonly embedUnit: Unit
  readonly #heads: ReadonlyArray<TaskPart & { readonly unit: Unit }>

  constructor (backend: Backend, data: ClientData, model: ModelSpec, init: { seed: number, training: TrainingSpec, rate: number }) {
    super(data, model, init.training.smoothing)
    this.embedUnit = new Unit(backend, this.embedName, this.embedder.graph, { ...init, wanted: [] })
    this.#heads = this.taskParts.map(part => ({ ...part, unit: new Unit(backend, `head/${part.task.spec.id}`, part.head.graph, { ...init, wanted: ['features'] }) }))
  }

  get units (): readonly Unit[] { return [this.embedUnit, ...this.#heads.map(part => part.unit)] }

  async embed (batch: Batch): Promise<Embedded> {
    const pieces = this.embedder.unfold(batch.x, batch.count)
    const { outputs, kept } = await this.embedUnit.model.forward({ pieces })
    return { pieces, activations: outputs.activations as TensorData, kept }
  }

  /** Activations of rows start..start+count, nothing kept. */
  async embedRows (rows: Rows, rowSize: number, start: number, count: number): Promise<Omit<Embedded, 'kept'>> {
    const pieces = this.embedder.unfold(rows.x.subarray(start * rowSize, (start + count) * rowSize), count)
    return { pieces, activations: (await this.embedUnit.model.infer({ pieces })).activations as TensorData }
  }

  async embedGradient (embedded: Embedded, activationGrad: TensorData): Promise<Float32Array> {
    return (await this.embedUnit.model.backward(embedded.kept, { activations: activationGrad })).parameters
  }

  async passHeads (features: TensorData, batch: Batch): Promise<HeadPass> {
    const featureGrads: NamedTensor[] = []
    const losses: TaskLoss[] = []
    const gradients = new Map<string, Float32Array>()
    for (const part of this.#heads) {
      const { unit } = part
      const { outputs, kept } = await unit.model.forward({ features })
      const { loss, grad } = this.lossOf(part, outputs.prediction as TensorData, batch)
      const back = await unit.model.backward(kept, { prediction: grad })
      featureGrads.push({ name: `task/${loss.task}`, tensor: back.inputs.features as TensorData })
      gradients.set(unit.name, back.parameters)
      losses.push(loss)
    }
    return { featureGrads, losses, gradients }
  }

  /** Linked outputs (probabilities, original units) per task for features of some rows. */
  async predict (features: TensorData): Promise<ReadonlyMap<string, TensorData>> {
    const predictions = new Map<string, TensorData>()
    for (const { task, unit } of this.#heads) {
      predictions.set(task.spec.id, task.link((await unit.model.infer({ features })).prediction as TensorData))
    }
    return predictions
  }

  dispose (): void { for (const unit of this.units) unit.dispose() }
}

export function sumTensors (tensors: readonly TensorData[]): TensorData {
  const [first, ...rest] = tensors as [TensorData, ...TensorData[]]
  if (rest.length === 0) return first
  const data = first.data.slice()
  for (const { data: other } of rest) for (let i = 0; i < data.length; i++) data[i] = (data[i] as number) + (other[i] as number)
  return { shape: first.shape, data }
}
