import { AdamW, learningRate } from './optimiser.ts'
import { totalSteps } from './spec.ts'
import { initialise } from '../models/parameters.ts'
import { differentiate } from '../graph/gradients.ts'
import type { Backend, Model } from '../backend/backend.ts'
import type { Graph } from '../graph/graph.ts'
import type { Program } from '../graph/gradients.ts'
import type { OptimiserState } from './optimiser.ts'
import type { TrainingSpec } from './spec.ts'

/** One named part of a model with its weights, its optimiser and its compiled form: 'trunk', 'embed/image', 'head/digit'. */
export class Unit {
  readonly name: string
  readonly program: Program
  readonly model: Model
  readonly #training: TrainingSpec
  readonly #rate: number
  readonly #optimiser: AdamW
  #parameters: Float32Array

  /**
   * @param wanted - inputs that need a gradient of their own
   * @param rate - peak learning rate
   * @param grouped - parameter gradients per group of rows
   */
  constructor (backend: Backend, name: string, graph: Graph, init: { seed: number, training: TrainingSpec, rate: number, wanted: readonly string[], grouped?: boolean }) {
    this.name = name
    this.#training = init.training
    this.#rate = init.rate
    this.program = differentiate(graph, init.wanted, { grouped: init.grouped === true })
    this.model = backend.load(this.program)
    this.#optimiser = new AdamW(graph.parameterCount, { beta1: init.training.beta1, beta2: init.training.beta2, epsilon: 1e-8, weightDecay: init.training.weightDecay })
    this.#parameters = initialise(graph, init.seed, name)
    this.model.setParameters(this.#parameters)
  }

  /** The weights, flat. Owned by the unit: copy before keeping. */
  get parameters (): Float32Array { return this.#parameters }

  set (parameters: Float32Array): void {
    this.model.setParameters(parameters)
    this.#parameters = parameters.slice()
  }

  /** Peak rate under warm-up and cosine at `step`. */
  rateAt (step: number): number {
    return learningRate(this.#rate, step, { warmup: this.#training.warmup, total: totalSteps(this.#training) })
  }

  /** What the optimiser would do with this gradient; moves its moments. Valid, and the caller's to change, until the next call. */
  direction (gradient: Float32Array): Float32Array { return this.#optimiser.direction(gradient) }

  apply (direction: Float32Array, step: number): void {
    this.#optimiser.apply(this.#parameters, direction, this.rateAt(step))
    this.model.setParameters(this.#parameters)
  }

  learn (gradient: Float32Array, step: number): void { this.apply(this.direction(gradient), step) }

  save (): { parameters: Float32Array, optimiser: OptimiserState } {
    return { parameters: this.#parameters.slice(), optimiser: this.#optimiser.save() }
  }

  load (state: { parameters: Float32Array, optimiser: OptimiserState }): void {
    this.set(state.parameters)
    this.#optimiser.load(state.optimiser)
  }

  dispose (): void { this.model.dispose() }
}
