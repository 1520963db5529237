/** The model parts that stay at a client, embedder and heads, and the arithmetic between them and a trunk elsewhere. */
import { ClientLayout } from './client-layout.ts'
import { createCorrection } from '../models/head.ts'
import { Unit } from './unit.ts'
import type { Backend, Kept } from '../backend/backend.ts'
import type { Batch } from './batches.ts'
import type { ClientData, Rows } from '../data/dataset.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'
import type { TaskLoss } from '../backbone/frames.ts'
import type { TaskPart } from './client-layout.ts'
import type { WeightsInit } from './unit.ts'

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

/** Weight decay of a private correction over a head's: it is to leave the shared head only where its rows insist (slots: +.04). */
const CORRECTION_DECAY = 10

/** A task's head, and what this client alone adds to its outputs. */
interface HeadPart extends TaskPart {
  readonly unit: Unit
  readonly correction: Unit | undefined
}

export class ClientParts extends ClientLayout {
  readonly embedUnit: Unit
  readonly #heads: readonly HeadPart[]

  constructor (backend: Backend, data: ClientData, model: ModelSpec, init: Pick<WeightsInit, 'seed' | 'training' | 'rate' | 'start'>) {
    super(data, model, init.training.smoothing)
    this.embedUnit = new Unit(backend, this.embedName, this.embedder.graph, { ...init, wanted: [] })
    const { training } = init
    const decaying = { ...init, training: { ...training, weightDecay: CORRECTION_DECAY * training.weightDecay } }
    this.#heads = this.taskParts.map(part => {
      const { id } = part.task.spec
      const corrected = model.correctedHeads?.includes(id) === true
      return {
        ...part,
        unit: new Unit(backend, `head/${id}`, part.head.graph, { ...init, wanted: ['features'] }),
        correction: corrected ? new Unit(backend, `correction/${id}`, createCorrection(part.task.spec, this.embedder, model.backbone.width).graph, { ...decaying, wanted: ['features'] }) : undefined
      }
    })
  }

  /** The embedder, then heads and corrections. */
  get units (): readonly Unit[] { return [this.embedUnit, ...this.#heads.flatMap(unitsOf)] }

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
      const passes = await Promise.all(unitsOf(part).map(async unit => ({ unit, ...await unit.model.forward({ features }) })))
      const { loss, grad } = this.lossOf(part, sumTensors(passes.map(({ outputs }) => outputs.prediction as TensorData)), batch)
      const backs = await Promise.all(passes.map(async ({ unit, kept }) => ({ unit, ...await unit.model.backward(kept, { prediction: grad }) })))
      featureGrads.push({ name: `task/${loss.task}`, tensor: sumTensors(backs.map(({ inputs }) => inputs.features as TensorData)) })
      for (const { unit, parameters } of backs) gradients.set(unit.name, parameters)
      losses.push(loss)
    }
    return { featureGrads, losses, gradients }
  }

  /** Linked outputs (probabilities, original units) per task for features of some rows. */
  async predict (features: TensorData): Promise<ReadonlyMap<string, TensorData>> {
    const predictions = new Map<string, TensorData>()
    for (const part of this.#heads) {
      const outputs = await Promise.all(unitsOf(part).map(async unit => (await unit.model.infer({ features })).prediction as TensorData))
      predictions.set(part.task.spec.id, part.task.link(sumTensors(outputs)))
    }
    return predictions
  }

  dispose (): void { for (const unit of this.units) unit.dispose() }
}

function unitsOf ({ unit, correction }: HeadPart): Unit[] { return correction === undefined ? [unit] : [unit, correction] }

export function sumTensors (tensors: readonly TensorData[]): TensorData {
  const [first, ...rest] = tensors as [TensorData, ...TensorData[]]
  if (rest.length === 0) return first
  const data = first.data.slice()
  for (const { data: other } of rest) for (let i = 0; i < data.length; i++) data[i] = (data[i] as number) + (other[i] as number)
  return { shape: first.shape, data }
}
