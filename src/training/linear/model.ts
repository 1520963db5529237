/**
 * The shared linear model at one site, in plain numbers: rows of text have a dozen columns of thousands. What all sites
 * together minimise, with n rows over all of them, is the mean loss and a penalty on all weights but the intercepts:
 *
 *     F(W) = 1/n sum over rows of loss(W x + b, y)  +  lambda / 2 |W|^2        lambda = training.weightDecay
 *
 * which for classes is n times smaller than the objective of simple/logistic.ts with C = 1 / (lambda n), and for numbers ridge
 * regression within one deviation. A site's part is the gradient over all of its rows; weighted by rows, the parts' mean is
 * the gradient of F, so that a step of all sites is the step that one site with all rows would take. Rows without a label
 * count among the n. Source of the averaging: McMahan et al., arXiv 1602.05629, its FedSGD.
 */
import { SHARES, linearUnits } from '../../models/linear.ts'
import { EVALUATION_ROWS, joinRows } from '../evaluation.ts'
import { Weights } from '../unit.ts'
import { createTask } from '../../tasks/index.ts'
import { documentShares, linearRows } from './rows.ts'
import { elements } from '../../tensor/tensor.ts'
import { entriesOf } from '../simple/rows.ts'
import type { Batch } from '../batches.ts'
import type { ClientData, Rows } from '../../data/dataset.ts'
import type { SparseRows } from '../simple/rows.ts'
import type { Stretch } from '../../models/normalisation.ts'
import type { Task } from '../../tasks/task.ts'
import type { TaskLoss } from '../../backbone/frames.ts'
import type { TensorData } from '../../tensor/tensor.ts'
import type { TrainingSpec } from '../spec.ts'
import type { WholePass } from '../whole-model.ts'

/**
 * Largest step along the gradient that surely descends, by kind. With an intercept a row has a length of at most 2^.5; a
 * softmax bends by 1/2 of its square at most, a squared error by all of it.
 */
const STEP_OF_CLASSES = 1
const STEP_OF_NUMBERS = 0.5

interface Part {
  readonly task: Task
  readonly unit: Weights
}

export class LinearModel {
  /** Document shares for texts, then the heads. */
  readonly units: readonly Weights[]
  readonly normalisations: ReadonlyMap<string, readonly Stretch[]> = new Map()
  readonly #data: ClientData
  readonly #penalty: number
  readonly #parts: readonly Part[]
  readonly #shares: Weights | undefined
  /** Training rows are read again only where other shares are agreed on. */
  #read: { readonly x: Float32Array, readonly shares: Float32Array | undefined, readonly rows: SparseRows } | undefined

  constructor (data: ClientData, init: { seed: number, training: TrainingSpec }) {
    const { training, seed } = init
    this.#data = data
    this.#penalty = training.weightDecay
    const tasks = new Map(data.tasks.map(spec => [`head/${spec.id}`, createTask({ smoothing: training.smoothing, ...spec })]))
    const parts: Part[] = []
    const units = [...linearUnits(data.input, data.tasks)].map(([name, graph]) => {
      const task = tasks.get(name)
      const rate = task === undefined ? 1 : training.lrLocal * (task.spec.kind === 'classes' ? STEP_OF_CLASSES : STEP_OF_NUMBERS)
      // A convex problem needs no cooling: the rate stays. The penalty is part of the gradient, since intercepts have none.
      const unit = new Weights(name, graph, { seed, training: { ...training, rounds: Infinity, warmup: 0, weightDecay: 0 }, rate, optimiser: 'sgd' })
      if (task !== undefined) parts.push({ task, unit })
      return unit
    })
    this.units = units
    this.#parts = parts
    this.#shares = units.find(({ name }) => name === SHARES)
  }

  get tasks (): readonly Task[] { return this.#parts.map(part => part.task) }

  /** Whether the next pass has a gradient of this unit: the shares come first and alone, then they stay. */
  moves (unit: string): boolean { return (unit === SHARES) !== this.#agreed }

  targets (taskId: string, values: Float32Array, count: number): TensorData {
    const { targets } = (this.#parts.find(({ task }) => task.spec.id === taskId) as Part).task.spec
    return { shape: [count, 1, targets], data: values }
  }

  /** One gradient over all of these rows, of the units that move. */
  pass (batch: Batch): WholePass {
    const rows = this.#rowsOf(batch.x, batch.count)
    const gradients = new Map<string, Float32Array>()
    // A step of 1 against this is the shares themselves.
    if (!this.#agreed) gradients.set(SHARES, documentShares(this.#data.input, this.#data.train).map(share => -share))
    const losses = this.#parts.map(({ task, unit }): TaskLoss => {
      const { id } = task.spec
      const prediction = outputs(rows, unit.parameters, task.spec.channels)
      const y = this.targets(id, batch.y[id] as Float32Array, batch.count)
      const { value, grad } = task.loss(prediction, y)
      const labelled = task.rowLoss(task.link(prediction), y).filter(loss => !Number.isNaN(loss)).length
      if (this.#agreed) gradients.set(unit.name, this.#gradient(rows, unit.parameters, grad.data, labelled / Math.max(1, batch.count)))
      return { task: id, loss: value, samples: batch.count }
    })
    return { pieces: { shape: [rows.value.length], data: Float32Array.from(rows.value) }, losses, gradients }
  }

  /** Linked outputs per task over all rows of a split, [rows, 1, channels]. */
  predict (rows: Rows): ReadonlyMap<string, TensorData> {
    const size = elements(this.#data.input.shape)
    const chunks: Array<ReadonlyMap<string, TensorData>> = []
    for (let start = 0; start < rows.count; start += EVALUATION_ROWS) {
      const count = Math.min(EVALUATION_ROWS, rows.count - start)
      const part = linearRows(this.#data.input, rows.x.subarray(start * size, (start + count) * size), count, this.#shares?.parameters)
      chunks.push(new Map(this.#parts.map(({ task, unit }) => [task.spec.id, task.link(outputs(part, unit.parameters, task.spec.channels))])))
    }
    return joinRows(chunks)
  }

  dispose (): void { this.#read = undefined }

  get #agreed (): boolean { return this.#shares === undefined || (this.#shares.parameters.at(-1) as number) > 0 }

  #rowsOf (x: Float32Array, count: number): SparseRows {
    const shares = this.#shares?.parameters
    const known = this.#read
    if (known?.x === x && (shares === undefined || shares.every((share, i) => share === known.shares?.[i]))) return known.rows
    const rows = linearRows(this.#data.input, x, count, shares)
    this.#read = { x, shares: shares?.slice(), rows }
    return rows
  }

  #gradient (rows: SparseRows, parameters: Float32Array, outputGradient: Float32Array, share: number): Float32Array {
    const channels = parameters.length / (rows.columns + 1)
    const intercepts = rows.columns * channels
    const gradient = parameters.map((weight, i) => i < intercepts ? this.#penalty * weight : 0)
    for (let row = 0; row < rows.count; row++) {
      for (let c = 0; c < channels; c++) {
        const slope = share * (outputGradient[row * channels + c] as number)
        gradient[intercepts + c] = (gradient[intercepts + c] as number) + slope
        for (const [column, value] of entriesOf(rows, row)) gradient[column * channels + c] = (gradient[column * channels + c] as number) + slope * value
      }
    }
    return gradient
  }
}

/** W x + b, [rows, 1, channels]. */
function outputs (rows: SparseRows, parameters: Float32Array, channels: number): TensorData {
  const data = new Float32Array(rows.count * channels)
  for (let row = 0; row < rows.count; row++) {
    for (let c = 0; c < channels; c++) {
      let sum = parameters[rows.columns * channels + c] as number
      for (const [column, value] of entriesOf(rows, row)) sum += value * (parameters[column * channels + c] as number)
      data[row * channels + c] = sum
    }
  }
  return { shape: [rows.count, 1, channels], data }
}
