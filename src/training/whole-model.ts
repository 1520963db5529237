/**
 * A whole model at one site: embedder, trunk and heads as one compiled program, with the weights of every part under the
 * part's own name. The loss sits between the forward and the backward call, in plain numbers, as in the split model.
 */
import { ClientLayout } from './client-layout.ts'
import { EVALUATION_ROWS, joinRows } from './evaluation.ts'
import { buildTrunk } from '../models/trunk.ts'
import { composeModel } from '../models/whole.ts'
import { differentiate } from '../graph/gradients.ts'
import { elements } from '../tensor/tensor.ts'
import { normalisationsOf } from '../models/normalisation.ts'
import { Weights } from './unit.ts'
import type { Backend, Model } from '../backend/backend.ts'
import type { Batch } from './batches.ts'
import type { ClientData, InputSpec, Rows } from '../data/dataset.ts'
import type { Graph } from '../graph/graph.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { Stretch } from '../models/normalisation.ts'
import type { TaskLoss } from '../backbone/frames.ts'
import type { TensorData } from '../tensor/tensor.ts'
import type { TrainingSpec } from './spec.ts'

/** One forward and one backward over the whole model. */
export interface WholePass {
  /** The rows as the embedder reads them. */
  readonly pieces: TensorData
  readonly losses: readonly TaskLoss[]
  /** Unit name -> gradient. */
  readonly gradients: ReadonlyMap<string, Float32Array>
}

export class WholeModel extends ClientLayout {
  /** Embedder, trunk, heads. */
  readonly units: readonly Weights[]
  /** Gains and biases of normalisations, by unit. */
  readonly normalisations: ReadonlyMap<string, readonly Stretch[]>
  readonly #input: InputSpec
  readonly #model: Model
  /** The weights of all units, one after the other. */
  readonly #flat: Float32Array

  constructor (backend: Backend, data: ClientData, model: ModelSpec, init: { seed: number, training: TrainingSpec, rate: number }) {
    super(data, model, init.training.smoothing)
    this.#input = data.input
    const trunk = buildTrunk(model.backbone)
    const heads = new Map(this.taskParts.map(({ task, head }) => [task.spec.id, head.graph]))
    const whole = composeModel({ embedder: this.embedder.graph, trunk, heads, tokens: this.embedder.tokens })
    this.#flat = new Float32Array(whole.parameterCount)
    const parts: Array<[string, Graph]> = [[this.embedName, this.embedder.graph], ['trunk', trunk], ...[...heads].map(([task, graph]): [string, Graph] => [`head/${task}`, graph])]
    let rest = this.#flat
    this.units = parts.map(([name, graph]) => {
      const storage = rest.subarray(0, graph.parameterCount)
      rest = rest.subarray(graph.parameterCount)
      return new Weights(name, graph, { ...init, optimiser: init.training.optimiser ?? 'adamw', storage })
    })
    this.normalisations = new Map(parts.map(([name, graph]) => [name, normalisationsOf(graph)]))
    this.#model = backend.load(differentiate(whole, []))
    this.#model.setParameters(this.#flat)
  }

  /** Whether the next pass has a gradient of this unit. */
  moves (_unit: string): boolean { return true }

  async pass (batch: Batch): Promise<WholePass> {
    const pieces = this.embedder.unfold(batch.x, batch.count)
    this.#model.setParameters(this.#flat)
    const { outputs, kept } = await this.#model.forward({ pieces })
    const results = this.taskParts.map(part => this.lossOf(part, outputs[part.task.spec.id] as TensorData, batch))
    const { parameters } = await this.#model.backward(kept, Object.fromEntries(results.map(({ loss, grad }) => [loss.task, grad])))
    const gradients = new Map<string, Float32Array>()
    let rest = parameters
    for (const { name, parameters: { length } } of this.units) {
      gradients.set(name, rest.subarray(0, length))
      rest = rest.subarray(length)
    }
    return { pieces, losses: results.map(({ loss }) => loss), gradients }
  }

  /** Linked outputs per task over all rows of a split, [rows, positions, channels]. */
  async predict (rows: Rows): Promise<ReadonlyMap<string, TensorData>> {
    const chunks: Array<ReadonlyMap<string, TensorData>> = []
    const size = elements(this.#input.shape)
    this.#model.setParameters(this.#flat)
    for (let start = 0; start < rows.count; start += EVALUATION_ROWS) {
      const count = Math.min(EVALUATION_ROWS, rows.count - start)
      const outputs = await this.#model.infer({ pieces: this.embedder.unfold(rows.x.subarray(start * size, (start + count) * size), count) })
      chunks.push(new Map(this.taskParts.map(({ task }) => [task.spec.id, task.link(outputs[task.spec.id] as TensorData)])))
    }
    return joinRows(chunks)
  }

  dispose (): void { this.#model.dispose() }
}
