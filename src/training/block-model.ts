/** A model over blocks of columns at one site: src/models/blocks.ts as one compiled program, its units side by side in one vector. */
import { EVALUATION_ROWS, joinRows } from './evaluation.ts'
import { Weights } from './unit.ts'
import { blockModel, blockUnits } from '../models/blocks.ts'
import { createTask } from '../tasks/index.ts'
import { differentiate } from '../graph/gradients.ts'
import { elements } from '../tensor/tensor.ts'
import type { Backend, Model } from '../backend/backend.ts'
import type { BackboneSpec } from '../models/spec.ts'
import type { Batch } from './batches.ts'
import type { ClientData, Rows } from '../data/dataset.ts'
import type { Task } from '../tasks/task.ts'
import type { TaskLoss } from '../backbone/frames.ts'
import type { TensorData } from '../tensor/tensor.ts'
import type { TrainingSpec } from './spec.ts'

export interface BlockModelInit {
  readonly seed: number
  readonly training: TrainingSpec
  readonly rate: number
  /** Columns of all blocks. */
  readonly columns: ReadonlyArray<readonly number[]>
  /** The blocks that this site has, in order. */
  readonly held: readonly number[]
}

export interface BlockPass {
  /** The blocks as the encoders read them. */
  readonly pieces: ReadonlyMap<number, Float32Array>
  readonly losses: readonly TaskLoss[]
  /** Unit name -> gradient. */
  readonly gradients: ReadonlyMap<string, Float32Array>
}

export class BlockModel {
  /** Encoders, the hidden layer, heads. */
  readonly units: readonly Weights[]
  readonly #init: BlockModelInit
  readonly #rowSize: number
  readonly #tasks: readonly Task[]
  readonly #model: Model
  readonly #flat: Float32Array

  constructor (backend: Backend, data: ClientData, backbone: BackboneSpec, init: BlockModelInit) {
    const { columns, held, training } = init
    this.#init = init
    this.#rowSize = elements(data.input.shape)
    this.#tasks = data.tasks.map(spec => createTask({ smoothing: training.smoothing, ...spec }))
    const whole = blockModel(columns, held, data.tasks, backbone)
    this.#flat = new Float32Array(whole.parameterCount)
    let rest = this.#flat
    this.units = [...blockUnits(columns, held, data.tasks, backbone)].map(([name, graph]) => {
      const storage = rest.subarray(0, graph.parameterCount)
      rest = rest.subarray(graph.parameterCount)
      return new Weights(name, graph, { ...init, optimiser: training.optimiser ?? 'adamw', storage })
    })
    this.#model = backend.load(differentiate(whole, []))
  }

  async pass (batch: Batch): Promise<BlockPass> {
    const pieces = this.#pieces(batch.x, batch.count)
    this.#model.setParameters(this.#flat)
    const { outputs, kept } = await this.#model.forward(named(pieces))
    const losses: TaskLoss[] = []
    const seeds = this.#tasks.map(({ loss, spec: { id, positions, targets, weight = 1 } }) => {
      const { value, grad } = loss(outputs[id] as TensorData, { shape: [batch.count, elements(positions), targets], data: batch.y[id] as Float32Array })
      losses.push({ task: id, loss: value, samples: batch.count })
      return [id, weight === 1 ? grad : { shape: grad.shape, data: grad.data.map(x => x * weight) }] as const
    })
    const { parameters } = await this.#model.backward(kept, Object.fromEntries(seeds))
    let rest = parameters
    const gradients = new Map(this.units.map(({ name, parameters: { length } }) => {
      const own = rest.subarray(0, length)
      rest = rest.subarray(length)
      return [name, own]
    }))
    return { pieces: new Map([...pieces].map(([v, { data }]) => [v, data])), losses, gradients }
  }

  /** Linked outputs per task over all rows of a split, [rows, positions, channels]. */
  async predict (rows: Rows): Promise<ReadonlyMap<string, TensorData>> {
    const chunks: Array<ReadonlyMap<string, TensorData>> = []
    this.#model.setParameters(this.#flat)
    for (let start = 0; start < rows.count; start += EVALUATION_ROWS) {
      const count = Math.min(EVALUATION_ROWS, rows.count - start)
      const outputs = await this.#model.infer(named(this.#pieces(rows.x.subarray(start * this.#rowSize, (start + count) * this.#rowSize), count)))
      chunks.push(new Map(this.#tasks.map(task => [task.spec.id, task.link(outputs[task.spec.id] as TensorData)])))
    }
    return joinRows(chunks)
  }

  dispose (): void { this.#model.dispose() }

  #pieces (x: Float32Array, count: number): ReadonlyMap<number, TensorData> {
    return new Map(this.#init.held.map(v => [v, columnsOf(x, count, this.#rowSize, this.#init.columns[v] as number[])]))
  }
}

/** Some columns of rows, [count, columns]. */
export function columnsOf (x: Float32Array, count: number, rowSize: number, columns: readonly number[]): TensorData {
  const data = new Float32Array(count * columns.length)
  for (let row = 0; row < count; row++) columns.forEach((column, i) => { data[row * columns.length + i] = x[row * rowSize + column] as number })
  return { shape: [count, columns.length], data }
}

function named (pieces: ReadonlyMap<number, TensorData>): Readonly<Record<string, TensorData>> {
  return Object.fromEntries([...pieces].map(([v, tensor]) => [`block${v}`, tensor]))
}
