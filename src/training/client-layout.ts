/** What a client's rows pass through, weights apart: an embedder, and per task a head, an order of targets and a loss. */
import { createHead } from '../models/head.ts'
import { embedUnit, embedderOf } from '../models/inputs.ts'
import { createTask } from '../tasks/index.ts'
import { elements } from '../tensor/tensor.ts'
import type { Batch } from './batches.ts'
import type { ClientData } from '../data/dataset.ts'
import type { Embedder } from '../models/embedder.ts'
import type { Head } from '../models/head.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { Task } from '../tasks/task.ts'
import type { TaskLoss } from '../backbone/frames.ts'
import type { TensorData } from '../tensor/tensor.ts'

export interface TaskPart {
  readonly task: Task
  readonly head: Head
}

export class ClientLayout {
  readonly embedder: Embedder
  /** Unit of the embedder: 'embed/<input>'. */
  readonly embedName: string
  protected readonly taskParts: readonly TaskPart[]

  constructor (data: Pick<ClientData, 'input' | 'tasks'>, model: ModelSpec, smoothing: number) {
    const { width } = model.backbone
    this.embedder = embedderOf(model, data.input)
    this.embedName = embedUnit(data.input)
    this.taskParts = data.tasks.map(spec => ({ task: createTask({ smoothing, ...spec }), head: createHead(spec, this.embedder, width, model.adapter) }))
  }

  get tasks (): readonly Task[] { return this.taskParts.map(part => part.task) }

  /** Targets of one task in the order in which its head answers. */
  targets (taskId: string, values: Float32Array, count: number): TensorData {
    const { task, head } = this.taskParts.find(part => part.task.spec.id === taskId) as TaskPart
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

  /** Answers of one task in the order of its targets, whatever order its head gives them in: [rows, positions, channels]. */
  natural (taskId: string, { shape, data: given }: TensorData): TensorData {
    const { task, head } = this.taskParts.find(part => part.task.spec.id === taskId) as TaskPart
    const { order } = head
    if (order === undefined) return { shape, data: given }
    const { channels } = task.spec
    const data = new Float32Array(given.length)
    for (let row = 0; row < (shape[0] as number); row++) {
      order.forEach((to, from) => { data.set(given.subarray((row * order.length + from) * channels, (row * order.length + from + 1) * channels), (row * order.length + to) * channels) })
    }
    return { shape, data }
  }

  /** Loss of one task on a batch, and dL/dprediction times the task's weight. */
  protected lossOf ({ task }: TaskPart, prediction: TensorData, batch: Batch): { loss: TaskLoss, grad: TensorData } {
    const { id, weight = 1 } = task.spec
    const { value, grad } = task.loss(prediction, this.targets(id, batch.y[id] as Float32Array, batch.count))
    if (weight !== 1) for (let i = 0; i < grad.data.length; i++) grad.data[i] = (grad.data[i] as number) * weight
    return { loss: { task: id, loss: value, samples: batch.count }, grad }
  }
}
