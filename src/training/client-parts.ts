/** The model parts that stay at a client, embedder and heads, and the arithmetic between them and a trunk elsewhere. */
import { createEmbedder } from '../models/embedder.ts'
import { createHead } from '../models/head.ts'
import { createTask } from '../tasks/index.ts'
import { elements } from '../tensor/tensor.ts'
import { Unit } from './unit.ts'
import type { Backend, Kept } from '../backend/backend.ts'
import type { Batch } from './batches.ts'
import type { ClientData, Rows } from '../data/dataset.ts'
import type { Embedder } from '../models/embedder.ts'
import type { Head } from '../models/head.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'
import type { Task } from '../tasks/task.ts'
import type { TaskLoss } from '../backbone/frames.ts'
import type { TrainingSpec } from './spec.ts'

interface TaskPart {
  readonly task: Task
  readonly head: Head
  readonly unit: Unit
}

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

export class ClientParts {
  readonly embedder: Embedder
  readonly embedUnit: Unit
  readonly #tasks: readonly TaskPart[]

  constructor (backend: Backend, data: ClientData, model: ModelSpec, init: { seed: number, training: TrainingSpec, rate: number }) {
    const { width } = model.backbone
    this.embedder = createEmbedder(model.embedder, data.input, width)
    this.embedUnit = new Unit(backend, `embed/${data.input.modality}`, this.embedder.graph, { ...init, wanted: [] })
    this.#tasks = data.tasks.map(spec => {
      const head = createHead(spec, this.embedder, width, model.adapter)
      return {
        task: createTask({ smoothing: init.training.smoothing, ...spec }),
        head,
        unit: new Unit(backend, `head/${spec.id}`, head.graph, { ...init, wanted: ['features'] })
      }
    })
  }

  get units (): readonly Unit[] { return [this.embedUnit, ...this.#tasks.map(part => part.unit)] }
  get tasks (): readonly Task[] { return this.#tasks.map(part => part.task) }

  /** Targets of one task in the order in which its head answers. */
  targets (taskId: string, values: Float32Array, count: number): TensorData {
    const { task, head } = this.#part(taskId)
    const { targets, positions } = task.spec
    const perRow = elements(positions)
    if (head.order === undefined) return { shape: [count, perRow, targets], data: values }
    const data = new Float32Array(values.length)
    for (let row = 0; row < count; row++) {
      head.order.forEach((from, to) => {
        for (let t = 0; t < targets; t++) data[(row * perRow + to) * targets + t] = values[(row * perRow + from) * targets + t] as number
      })
    }
    return { shape: [count, perRow, targets], data }
  }

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
    for (const { task, unit } of this.#tasks) {
      const { id, weight = 1 } = task.spec
      const { outputs, kept } = await unit.model.forward({ features })
      const y = this.targets(id, batch.y[id] as Float32Array, batch.count)
      const { value, grad } = task.loss(outputs.prediction as TensorData, y)
      if (weight !== 1) for (let i = 0; i < grad.data.length; i++) grad.data[i] = (grad.data[i] as number) * weight
      const back = await unit.model.backward(kept, { prediction: grad })
      featureGrads.push({ name: `task/${id}`, tensor: back.inputs.features as TensorData })
      gradients.set(unit.name, back.parameters)
      losses.push({ task: id, loss: value, samples: batch.count })
    }
    return { featureGrads, losses, gradients }
  }

  /** Linked outputs (probabilities, original units) per task for features of some rows. */
  async predict (features: TensorData): Promise<ReadonlyMap<string, TensorData>> {
    const predictions = new Map<string, TensorData>()
    for (const { task, unit } of this.#tasks) {
      predictions.set(task.spec.id, task.link((await unit.model.infer({ features })).prediction as TensorData))
    }
    return predictions
  }

  dispose (): void { for (const unit of this.units) unit.dispose() }

  #part (taskId: string): TaskPart {
    return this.#tasks.find(part => part.task.spec.id === taskId) as TaskPart
  }
}

export function sumTensors (tensors: readonly TensorData[]): TensorData {
  const [first, ...rest] = tensors as [TensorData, ...TensorData[]]
  if (rest.length === 0) return first
  const data = first.data.slice()
  for (const { data: other } of rest) for (let i = 0; i < data.length; i++) data[i] = (data[i] as number) + (other[i] as number)
  return { shape: first.shape, data }
}
