/**
 * Whole models of one form as one predictor: the mean of their raw outputs. Inference only, with the gradient at the input,
 * which is what an attack on the predictor needs. Parameters come with every call, one flat vector per member, batch
 * normalisations folded into them (models/batch-norm.ts).
 */
import { ClientLayout } from './client-layout.ts'
import { EVALUATION_ROWS, joinRows } from './evaluation.ts'
import { asAffine } from '../models/batch-norm.ts'
import { differentiate } from '../graph/gradients.ts'
import { elements, meanTensor } from '../tensor/tensor.ts'
import { TRUNK_PREFIX, formOf } from '../models/form.ts'
import { expectNumbers, pgd } from '../robustness/pgd.ts'
import type { Attack } from '../robustness/pgd.ts'
import type { Backend, Model } from '../backend/backend.ts'
import type { Batch } from './batches.ts'
import type { ClientData, InputSpec, Rows } from '../data/dataset.ts'
import type { Graph } from '../graph/graph.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { Random } from '../random.ts'
import type { TensorData } from '../tensor/tensor.ts'

export type Predictions = ReadonlyMap<string, TensorData>

export class MixedModel extends ClientLayout {
  /** Parts in the order of the flat parameters. */
  readonly parts: ReadonlyArray<readonly [string, Graph]>
  /** Numbers in one member's flat vector. */
  readonly size: number
  /** Embedder, trunk and heads in one, before anything is folded. */
  protected readonly whole: Graph
  readonly #input: InputSpec
  readonly #rowSize: number
  readonly #model: Model
  /** Place of every piece's numbers in a row of input, from 1; 0: none, the piece has a zero there. */
  readonly #origin: Int32Array

  constructor (backend: Backend, site: Pick<ClientData, 'input' | 'tasks'>, model: ModelSpec, smoothing: number) {
    super(site, model, smoothing)
    const { parts, whole } = formOf(model, site.input, site.tasks)
    this.parts = parts
    this.#input = site.input
    this.whole = whole
    this.size = this.whole.parameterCount
    this.#rowSize = elements(site.input.shape)
    this.#model = backend.load(differentiate(model.norm === 'batch' ? asAffine(this.whole, TRUNK_PREFIX) : this.whole, ['pieces'], { frozen: 'all' }))
    // Hashed words are looked up, not copied: they have no origin, and no slope to climb.
    this.#origin = site.input.modality === 'tokens' ? new Int32Array(0) : Int32Array.from(this.embedder.unfold(Float32Array.from({ length: this.#rowSize }, (_, i) => i + 1), 1).data)
  }

  /** Raw outputs per task, the members' mean. */
  async outputs (members: readonly Float32Array[], x: Float32Array, count: number): Promise<Predictions> {
    const pieces = this.embedder.unfold(x, count)
    const all: Array<Readonly<Record<string, TensorData>>> = []
    for (const member of members) {
      this.#model.setParameters(member)
      all.push(await this.#model.infer({ pieces }))
    }
    return this.#mean(all)
  }

  /** Linked outputs per task over all rows of a split, [rows, positions, channels]. */
  async predictWith (members: readonly Float32Array[], { x, count }: Pick<Rows, 'x' | 'count'>): Promise<Predictions> {
    const chunks: Predictions[] = []
    for (let start = 0; start < count; start += EVALUATION_ROWS) {
      const rows = Math.min(EVALUATION_ROWS, count - start)
      const outputs = await this.outputs(members, x.subarray(start * this.#rowSize, (start + rows) * this.#rowSize), rows)
      chunks.push(new Map(this.taskParts.map(({ task }) => [task.spec.id, task.link(outputs.get(task.spec.id) as TensorData)])))
    }
    return joinRows(chunks)
  }

  /**
   * The rows' inputs, moved to where the mixed predictor errs most about their labels.
   * @throws {InvalidParametersError} inputs that are not numbers to move
   */
  async attacked (members: readonly Float32Array[], rows: Batch, attack: Attack, random: Random): Promise<Float32Array> {
    expectNumbers(this.#input)
    const moved = new Float32Array(rows.x.length)
    for (let start = 0; start < rows.count; start += EVALUATION_ROWS) {
      const count = Math.min(EVALUATION_ROWS, rows.count - start)
      const of = (values: Float32Array, each: number): Float32Array => values.subarray(start * each, (start + count) * each)
      const y = Object.fromEntries(Object.entries(rows.y).map(([task, values]) => [task, of(values, values.length / rows.count)]))
      moved.set(await pgd(of(rows.x, this.#rowSize), async x => await this.#slope(members, { count, x, y }), attack, random), start * this.#rowSize)
    }
    return moved
  }

  dispose (): void { this.#model.dispose() }

  /** dloss/dx, times a positive number. */
  async #slope (members: readonly Float32Array[], batch: Batch): Promise<Float32Array> {
    const pieces = this.embedder.unfold(batch.x, batch.count)
    const passes = []
    for (const member of members) {
      this.#model.setParameters(member)
      passes.push(await this.#model.forward({ pieces }))
    }
    const mean = this.#mean(passes.map(({ outputs }) => outputs))
    const seeds = Object.fromEntries(this.taskParts.map(part => [part.task.spec.id, this.lossOf(part, mean.get(part.task.spec.id) as TensorData, batch).grad]))
    const slope = new Float32Array(batch.x.length)
    for (const { kept } of passes) {
      const { inputs } = await this.#model.backward(kept, seeds)
      this.#fold((inputs.pieces as TensorData).data, slope)
    }
    return slope
  }

  /** Adds what was found for pieces to the numbers of the rows that they were cut from. */
  #fold (pieces: Float32Array, into: Float32Array): void {
    const { length } = this.#origin
    for (let i = 0; i < pieces.length; i++) {
      const origin = this.#origin[i % length] as number
      if (origin === 0) continue
      const at = Math.floor(i / length) * this.#rowSize + origin - 1
      into[at] = (into[at] as number) + (pieces[i] as number)
    }
  }

  #mean (all: ReadonlyArray<Readonly<Record<string, TensorData>>>): Predictions {
    return new Map(this.taskParts.map(({ task: { spec: { id } } }) => [id, meanTensor(all.map(outputs => outputs[id] as TensorData))]))
  }
}
