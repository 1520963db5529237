/**
 * A site of FlexMod. All its blocks have an encoder; each local step trains one of them, with the hidden layer and the heads. How
 * many of a contribution's steps an encoder gets follows from how far it is from the prototypes that all sites agree on and from
 * what its block gives on the site's hold-out (./allocation.ts). Sums of features per class travel, of classes with enough rows to hide one.
 */
import { ALLOCATIONS, classSums, prototypeLoss, prototypesOf, shapleyValues } from './allocation.ts'
import { BlockModel, columnsOf } from '../../training/block-model.ts'
import { EVALUATION_ROWS } from '../../training/evaluation.ts'
import { blockColumns, encoderGraph, encoderName } from '../../models/blocks.ts'
import { createTask } from '../../tasks/index.ts'
import { difference } from '../../training/local-rules.ts'
import { differentiate } from '../../graph/gradients.ts'
import { dataByName, elements } from '../../tensor/tensor.ts'
import { localStepsOf } from '../../training/spec.ts'
import { prototypeName, prototypeTasks } from './layout.ts'
import { vector } from '../../training/saved-state.ts'
import type { FlexmodOptions } from './flexmod.ts'
import type { Model } from '../../backend/backend.ts'
import type { NamedTensor, TensorData } from '../../tensor/tensor.ts'
import type { Predictions, SiteInit, SiteMethod } from '../method.ts'
import type { Rows } from '../../data/dataset.ts'
import type { SavedState } from '../../training/saved-state.ts'
import type { TaskLoss } from '../../backbone/frames.ts'
import type { TaskSpec } from '../../tasks/task.ts'
import type { Weights } from '../../training/unit.ts'

/** Of a class with fewer rows no sum leaves: it would be nearly a row's features. As many as MuPFL asks for. */
const FEWEST_ROWS = 5

export class FlexmodSite implements SiteMethod {
  readonly #init: SiteInit
  readonly #options: FlexmodOptions
  readonly #columns: ReadonlyArray<readonly number[]>
  readonly #tasks: readonly TaskSpec[]
  readonly #model: BlockModel
  /** Each encoder by itself, for features. */
  readonly #encoders: readonly Model[]
  /** What the host told of prototypes: sums per class, then rows of each, as shares of all rows. */
  readonly #prototypes: Map<string, Float32Array>
  /** By block, of the last contribution: steps, and the Shapley values that they follow from. */
  #steps: readonly number[]
  #shapley: readonly number[]

  constructor (init: SiteInit, options: FlexmodOptions) {
    const { backend, charter: { model: { backbone }, training, seed, input, tasks }, data } = init
    this.#init = init
    this.#options = options
    this.#columns = blockColumns(options.blocks, input)
    this.#tasks = prototypeTasks({ tasks }).filter(({ id }) => id in data.train.y)
    this.#model = new BlockModel(backend, data, backbone, { seed, training, rate: training.lrLocal, columns: this.#columns, held: [...this.#columns.keys()] })
    this.#encoders = this.#columns.map(({ length }) => backend.load(differentiate(encoderGraph(length, backbone.width), [])))
    this.#prototypes = new Map(this.#columns.flatMap((_, v) => prototypeTasks({ tasks }).map(task => [prototypeName(v, task), new Float32Array(task.channels * (backbone.width + 1))] as const)))
    this.#steps = this.#columns.map(() => 0)
    this.#shapley = this.#columns.map(() => 0)
  }

  get units (): readonly Weights[] { return this.#model.units }

  async contribute (step: number): Promise<{ sent: readonly NamedTensor[], losses: readonly TaskLoss[] }> {
    const before = new Map(this.units.map(({ name, parameters }) => [name, parameters.slice()]))
    const budget = localStepsOf(this.#init.charter.training)
    this.#shapley = await this.#importance()
    this.#steps = ALLOCATIONS[this.#options.allocation]({ budget, shapley: this.#shapley, need: await this.#need(), step })
    const losses: TaskLoss[] = []
    const turns = turnsOf(this.#steps)
    for (const [i, block] of turns.entries()) {
      const local = step * budget + i
      const pass = await this.#model.pass(this.#init.batch(local))
      for (const [v, pieces] of pass.pieces) this.#init.protect(`block ${v} of a batch`, pieces)
      losses.push(...pass.losses)
      for (const unit of this.units) {
        if (unit.name.startsWith('encoder/') && unit.name !== encoderName(block)) continue
        unit.learn(pass.gradients.get(unit.name) as Float32Array, local)
      }
    }
    return { sent: [...this.units.map(({ name, parameters }) => vector(name, difference(parameters, before.get(name) as Float32Array))), ...await this.#sums()], losses }
  }

  receive (step: number, told: readonly NamedTensor[]): void {
    const byName = dataByName(told)
    for (const unit of this.units) {
      const values = byName.get(unit.name) ?? (step === 0 ? unit.startValues() : undefined)
      if (values !== undefined) unit.set(values)
    }
    for (const name of this.#prototypes.keys()) {
      const values = byName.get(name)
      if (values !== undefined) this.#prototypes.set(name, values.slice())
    }
  }

  async predict (rows: Rows): Promise<Predictions> { return await this.#model.predict(rows) }

  save (): NamedTensor[] {
    return [...[...this.#prototypes].map(([name, values]) => vector(name, values)), vector('flexmod/steps', Float32Array.from(this.#steps)), vector('flexmod/shapley', Float32Array.from(this.#shapley))]
  }

  load (saved: SavedState): void {
    const found = [...this.#prototypes].map(([name, { length }]) => [name, saved.need(name, length)] as const)
    const [steps, shapley] = ['flexmod/steps', 'flexmod/shapley'].map(name => saved.need(name, this.#columns.length)) as [Float32Array, Float32Array]
    for (const [name, values] of found) this.#prototypes.set(name, values)
    this.#steps = [...steps]
    this.#shapley = [...shapley]
  }

  dispose (): void {
    this.#model.dispose()
    for (const encoder of this.#encoders) encoder.dispose()
  }

  /** Shapley values of the blocks, of the mean accuracy on hold-out rows over the tasks with classes. */
  async #importance (): Promise<number[]> {
    const { data: { train, holdout, input } } = this.#init
    if (this.#tasks.length === 0 || holdout.count === 0) return this.#columns.map(() => 0)
    const size = elements(input.shape)
    const means = columnMeans(train, size)
    const values: number[] = []
    for (let subset = 0; subset < 2 ** this.#columns.length; subset++) {
      const x = holdout.x.slice()
      for (const [v, columns] of this.#columns.entries()) {
        if ((subset >> v) % 2 === 1) continue
        for (let row = 0; row < holdout.count; row++) for (const column of columns) x[row * size + column] = means[column] as number
      }
      const predictions = await this.#model.predict({ ...holdout, x })
      const scores = this.#tasks.map(spec => createTask(spec).score(predictions.get(spec.id) as TensorData, { shape: [holdout.count, 1, spec.targets], data: holdout.y[spec.id] as Float32Array }).all.accuracy as number)
      values.push(scores.reduce((sum, score) => sum + (Number.isFinite(score) ? score : 0), 0) / scores.length)
    }
    return shapleyValues(values)
  }

  /** Prototype loss of each block, meaned over the tasks with classes. */
  async #need (): Promise<number[]> {
    const need: number[] = []
    for (const v of this.#columns.keys()) {
      const features = await this.#features(v)
      const losses = this.#tasks.map(task => {
        const told = this.#prototypes.get(prototypeName(v, task)) as Float32Array
        const counts = told.subarray(told.length - task.channels)
        return prototypeLoss(features, this.#init.data.train.y[task.id] as Float32Array, prototypesOf(told.subarray(0, told.length - task.channels), counts))
      })
      need.push(losses.reduce((sum, loss) => sum + loss, 0) / Math.max(1, losses.length))
    }
    return need
  }

  /**
   * Changes of the prototypes' units. Each site sends its sums over its rows: the host's mean by rows is then all sites' sums over
   * all rows, and the quotient of sums and counts the mean of every class over all of its rows.
   */
  async #sums (): Promise<NamedTensor[]> {
    const { train } = this.#init.data
    const sent: NamedTensor[] = []
    for (const v of this.#columns.keys()) {
      const features = this.#tasks.length === 0 ? new Float32Array(0) : await this.#features(v)
      for (const task of this.#tasks) {
        const name = prototypeName(v, task)
        const { sums, counts } = classSums(features, train.y[task.id] as Float32Array, task.channels)
        const size = sums.length / task.channels
        const shown = counts.map(count => count < FEWEST_ROWS ? 0 : count)
        const values = Float32Array.from([...sums.map((sum, i) => shown[Math.floor(i / size)] === 0 ? 0 : sum), ...shown], value => value / train.count)
        sent.push(vector(name, difference(values, this.#prototypes.get(name) as Float32Array)))
      }
    }
    return sent
  }

  /** Features of the training rows under one encoder as it is. */
  async #features (v: number): Promise<Float32Array> {
    const { data: { train, input }, charter: { model: { backbone: { width } } } } = this.#init
    const encoder = this.#encoders[v] as Model
    encoder.setParameters((this.units[v] as Weights).parameters)
    const size = elements(input.shape)
    const features = new Float32Array(train.count * width)
    for (let start = 0; start < train.count; start += EVALUATION_ROWS) {
      const count = Math.min(EVALUATION_ROWS, train.count - start)
      const columns = columnsOf(train.x.subarray(start * size, (start + count) * size), count, size, this.#columns[v] as number[])
      features.set((await encoder.infer({ columns })).features?.data as Float32Array, start * width)
    }
    return features
  }
}

/** Blocks in the order of the steps: by turns, as long as each has steps left. */
function turnsOf (steps: readonly number[]): number[] {
  const most = Math.max(...steps)
  return Array.from({ length: most }, (_, turn) => steps.flatMap((count, block) => turn < count ? [block] : [])).flat()
}

function columnMeans ({ x, count }: Rows, size: number): Float64Array {
  const means = new Float64Array(size)
  x.forEach((value, i) => { means[i % size] = (means[i % size] as number) + value / count })
  return means
}
