/**
 * A whole model at one site: embedder, trunk and heads as one compiled program, with the weights of every part under the
 * part's own name. The loss sits between the forward and the backward call, in plain numbers, as in the split model.
 */
import { ClientLayout } from './client-layout.ts'
import { EVALUATION_ROWS, joinRows } from './evaluation.ts'
import { InvalidParametersError } from '../errors.ts'
import { buildTrunk } from '../models/trunk.ts'
import { composeModel } from '../models/whole.ts'
import { differentiate } from '../graph/gradients.ts'
import { elements } from '../tensor/tensor.ts'
import { lookAhead } from '../affinity/look-ahead.ts'
import { normalisationsOf } from '../models/normalisation.ts'
import { Weights, weightCount } from './unit.ts'
import type { Backend, Model } from '../backend/backend.ts'
import type { Batch } from './batches.ts'
import type { ClientData, InputSpec, Rows } from '../data/dataset.ts'
import type { Graph } from '../graph/graph.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { Stretch } from '../models/normalisation.ts'
import type { TaskLoss } from '../backbone/frames.ts'
import type { TensorData } from '../tensor/tensor.ts'
import type { Tuned } from '../peft/rewrite.ts'
import type { WeightsInit } from './unit.ts'

/** One forward and one backward over the whole model. */
export interface WholePass {
  /** The rows as the embedder reads them. */
  readonly pieces: TensorData
  readonly losses: readonly TaskLoss[]
  /** Unit name -> gradient. */
  readonly gradients: ReadonlyMap<string, Float32Array>
}

/** Embedder and trunk come first; heads are the tasks' own. */
const ENCODER_UNITS = 2

export class WholeModel extends ClientLayout {
  /** Embedder, trunk, heads. */
  readonly units: readonly Weights[]
  /** Gains and biases of normalisations, by unit. */
  readonly normalisations: ReadonlyMap<string, readonly Stretch[]>
  readonly #backend: Backend
  readonly #input: InputSpec
  readonly #graph: Graph
  #frozen: ReadonlySet<string> = new Set()
  #model: Model
  /** The weights of all units, one after the other. */
  readonly #flat: Float32Array

  /**
   * @param init.tune - puts adapters into the trunk: they become units of their own behind it
   * @throws {InvalidParametersError} batch normalisations, which this model has none of
   */
  constructor (backend: Backend, data: ClientData, model: ModelSpec, init: Pick<WeightsInit, 'seed' | 'training' | 'rate' | 'start'> & { readonly tune?: (trunk: Graph, tokens: number) => Tuned }) {
    super(data, model, init.training.smoothing)
    if (model.norm === 'batch') throw new InvalidParametersError('model.norm batch: nothing says what becomes of running statistics that differ from site to site', { next: 'leave model.norm out, or choose a method that does: strategy split-mix or fedrbn' })
    this.#backend = backend
    this.#input = data.input
    const trunk = buildTrunk(model.backbone)
    const tuned = init.tune?.(trunk, this.embedder.tokens)
    const heads = new Map(this.taskParts.map(({ task, head }) => [task.spec.id, head.graph]))
    const whole = composeModel({ embedder: this.embedder.graph, trunk: tuned?.graph ?? trunk, heads, tokens: this.embedder.tokens })
    this.#graph = whole
    this.#flat = new Float32Array(whole.parameterCount)
    const parts: Array<[string, Graph]> = [[this.embedName, this.embedder.graph], ['trunk', trunk], ...tuned?.units ?? [], ...[...heads].map(([task, graph]): [string, Graph] => [`head/${task}`, graph])]
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
  moves (unit: string): boolean { return !this.#frozen.has(unit) }

  /** From here on these units are read and nothing is computed for them on the way back: their gradients read as zeros. */
  freeze (units: ReadonlySet<string>): void {
    if (units.size === this.#frozen.size && [...units].every(unit => this.#frozen.has(unit))) return
    this.#frozen = units
    const starts = this.units.map(({ parameters }) => parameters.byteOffset / Float32Array.BYTES_PER_ELEMENT)
    const unitAt = (offset: number): string => this.units[starts.findLastIndex(start => start <= offset)]?.name as string
    this.#model.dispose()
    this.#model = this.#backend.load(differentiate(this.#graph, [], { frozen: new Set(this.#graph.parameters.filter(({ offset }) => units.has(unitAt(offset))).map(({ name }) => name)) }))
    this.#model.setParameters(this.#flat)
  }

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

  /**
   * What a plain step on each task alone, with the rate of this step, would do to every task's loss on the batch: embedder
   * and trunk move, heads do not (src/affinity). Nothing of the model changes.
   */
  async lookAhead (batch: Batch, { step, weightDecay }: { step: number, weightDecay: number }): Promise<number[][]> {
    const encoder = this.units.slice(0, ENCODER_UNITS)
    const shared = this.#flat.subarray(0, weightCount(encoder))
    const pieces = this.embedder.unfold(batch.x, batch.count)
    const lossesOf = (outputs: Readonly<Record<string, TensorData>>): ReadonlyArray<{ loss: TaskLoss, grad: TensorData }> =>
      this.taskParts.map(part => this.lossOf(part, outputs[part.task.spec.id] as TensorData, batch))
    this.#model.setParameters(this.#flat)
    const { outputs, kept } = await this.#model.forward({ pieces })
    const gradients: Float32Array[] = []
    const before = lossesOf(outputs)
    try {
      for (const source of before) {
        const seeds = before.map(({ loss, grad }) => [loss.task, loss === source.loss ? grad : { shape: grad.shape, data: new Float32Array(grad.data.length) }])
        gradients.push((await this.#model.backwardKeep(kept, Object.fromEntries(seeds))).parameters.slice(0, shared.length))
      }
    } finally {
      kept.release()
    }
    const moved = this.#flat.slice()
    try {
      return await lookAhead({ shared, losses: before.map(({ loss }) => loss.loss), gradients, rate: (encoder[0] as Weights).rateAt(step), weightDecay }, async values => {
        moved.set(values)
        this.#model.setParameters(moved)
        return lossesOf(await this.#model.infer({ pieces })).map(({ loss }) => loss.loss)
      })
    } finally {
      this.#model.setParameters(this.#flat)
    }
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
