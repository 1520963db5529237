/** One site's modules as a program, and sets of weights that it is run with: the agreed model and the personal one differ in nothing else. */
import { ClientLayout } from '../../training/client-layout.ts'
import { EVALUATION_ROWS, joinRows } from '../../training/evaluation.ts'
import { Weights } from '../../training/unit.ts'
import { composeModular, moduleGraphs } from '../../models/modular.ts'
import { differentiate } from '../../graph/gradients.ts'
import { distil } from './distil.ts'
import { elements } from '../../tensor/tensor.ts'
import { initialise } from '../../models/parameters.ts'
import { numbersOf } from '../../graph/graph.ts'
import type { Backend, Model } from '../../backend/backend.ts'
import type { Batch } from '../../training/batches.ts'
import type { Charter } from '../../federation/charter.ts'
import type { ClientData, InputSpec, Rows } from '../../data/dataset.ts'
import type { Graph } from '../../graph/graph.ts'
import type { Predictions } from '../method.ts'
import type { TaskLoss } from '../../backbone/frames.ts'
import type { TensorData } from '../../tensor/tensor.ts'

/** All modules of a site, side by side. */
export interface WeightSet {
  readonly flat: Float32Array
  /** In the order of the graphs; a prefix before their names where it is not the agreed model. */
  readonly units: readonly Weights[]
}

/** Another model's outputs to come near to. */
export interface Teaching {
  readonly teacher: WeightSet
  readonly weightOf: (task: string) => number
  readonly temperature: number
}

export interface ModularPass {
  readonly pieces: TensorData
  readonly losses: readonly TaskLoss[]
  /** By task: its loss times its share of the batch's labels. */
  readonly shares: ReadonlyMap<string, number>
  /** In the order of the units. Of the last pass: valid until the next. */
  readonly gradients: readonly Float32Array[]
}

export class ModularModel extends ClientLayout {
  readonly graphs: ReadonlyMap<string, Graph>
  readonly #charter: Charter
  readonly #input: InputSpec
  readonly #model: Model

  constructor (backend: Backend, charter: Charter, data: ClientData) {
    super(data, charter.model, charter.training.smoothing)
    const { input, tasks } = data
    this.#charter = charter
    this.#input = input
    this.graphs = moduleGraphs({ model: charter.model, input, tasks })
    this.#model = backend.load(differentiate(composeModular(this.graphs, { input, tasks, tokens: this.embedder.tokens }), []))
  }

  /** Weights that start as the agreed model does. */
  weights (prefix: string, rateAt: (step: number) => number): WeightSet {
    const { seed, training } = this.#charter
    const flat = new Float32Array(numbersOf(this.graphs))
    let rest = flat
    const units = [...this.graphs].map(([name, graph]) => {
      const storage = rest.subarray(0, graph.parameterCount)
      rest = rest.subarray(graph.parameterCount)
      const init = { seed, training, rate: training.lrLocal, optimiser: training.optimiser ?? 'adamw', rateAt } as const
      const unit = new Weights(`${prefix}${name}`, graph, { ...init, storage })
      if (prefix !== '') unit.start(initialise(graph, seed, name))
      return unit
    })
    return { flat, units }
  }

  async pass ({ flat, units }: WeightSet, batch: Batch, teaching?: Teaching): Promise<ModularPass> {
    const pieces = this.embedder.unfold(batch.x, batch.count)
    const taught = teaching === undefined ? undefined : await this.#outputs(teaching.teacher, pieces)
    this.#model.setParameters(flat)
    const { outputs, kept } = await this.#model.forward({ pieces })
    const of = (task: string): TensorData => outputs[task] as TensorData
    const labelled = this.taskParts.map(({ task }) => task.rowLoss(task.link(of(task.spec.id)), this.targets(task.spec.id, batch.y[task.spec.id] as Float32Array, batch.count)).reduce((count, loss) => Number.isNaN(loss) ? count : count + 1, 0))
    const all = Math.max(1, labelled.reduce((sum, count) => sum + count, 0))
    const results = this.taskParts.map((part, i) => {
      const { spec } = part.task
      const share = (labelled[i] as number) / all
      const { loss, grad } = this.lossOf(part, of(spec.id), batch)
      const pull = teaching === undefined || taught === undefined ? undefined : distil(spec, taught[spec.id] as TensorData, of(spec.id), teaching.temperature)
      const weight = teaching?.weightOf(spec.id) ?? 0
      return { loss, share, grad: { shape: grad.shape, data: grad.data.map((value, j) => share * value + weight * (pull?.grad[j] ?? 0)) } }
    })
    const { parameters } = await this.#model.backward(kept, Object.fromEntries(results.map(({ loss, grad }) => [loss.task, grad])))
    let rest = parameters
    const gradients = units.map(({ parameters: { length } }) => {
      const gradient = rest.subarray(0, length)
      rest = rest.subarray(length)
      return gradient
    })
    return { pieces, losses: results.map(({ loss }) => loss), shares: new Map(results.map(({ loss, share }) => [loss.task, share * loss.loss])), gradients }
  }

  /** Linked outputs per task over all rows of a split, [rows, positions, channels]. */
  async predict (set: WeightSet, rows: Rows): Promise<Predictions> {
    const chunks: Predictions[] = []
    const size = elements(this.#input.shape)
    for (let start = 0; start < rows.count; start += EVALUATION_ROWS) {
      const count = Math.min(EVALUATION_ROWS, rows.count - start)
      const outputs = await this.#outputs(set, this.embedder.unfold(rows.x.subarray(start * size, (start + count) * size), count))
      chunks.push(new Map(this.taskParts.map(({ task }) => [task.spec.id, task.link(outputs[task.spec.id] as TensorData)])))
    }
    return joinRows(chunks)
  }

  dispose (): void { this.#model.dispose() }

  async #outputs ({ flat }: WeightSet, pieces: TensorData): Promise<Readonly<Record<string, TensorData>>> {
    this.#model.setParameters(flat)
    return await this.#model.infer({ pieces })
  }
}
