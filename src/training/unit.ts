import { AdamW, Sgd, learningRate } from './optimiser.ts'
import { InvalidParametersError } from '../errors.ts'
import { localStepsOf, totalSteps } from './spec.ts'
import { initialise } from '../models/parameters.ts'
import { differentiate } from '../graph/gradients.ts'
import type { Backend, Model } from '../backend/backend.ts'
import type { Graph } from '../graph/graph.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { Program } from '../graph/gradients.ts'
import type { Optimiser, OptimiserState } from './optimiser.ts'
import type { TrainingSpec } from './spec.ts'

export interface WeightsInit {
  readonly seed: number
  readonly training: TrainingSpec
  /** Peak learning rate. */
  readonly rate: number
  readonly optimiser: 'adamw' | 'sgd'
  /** Start values of units by name, in place of the seed's: those of a foundation model. */
  readonly start?: readonly NamedTensor[]
  /** Learning rate by step, in place of warm-up and cosine. */
  readonly rateAt?: (step: number) => number
  /** Where the weights shall live, as one stretch of a longer vector; default: an array of their own. */
  readonly storage?: Float32Array
}

/** One named part of a model with its weights and its optimiser: 'trunk', 'embed/image', 'head/digit'. */
export class Weights {
  readonly name: string
  /** The weights, flat. Owned by the part: copy before keeping. */
  readonly parameters: Float32Array
  /** Whether the optimiser keeps moments of the gradients. */
  readonly moments: boolean
  #startValues: () => Float32Array
  readonly #rateAt: (step: number) => number
  readonly #optimiser: Optimiser

  constructor (name: string, graph: Graph, { seed, training, rate, optimiser, start, storage, rateAt }: WeightsInit) {
    const { beta1, beta2, weightDecay, warmup } = training
    this.name = name
    const schedule = { warmup, total: totalSteps(training) * localStepsOf(training) }
    this.#rateAt = rateAt ?? (step => learningRate(rate, step, schedule))
    this.moments = optimiser === 'adamw'
    this.#optimiser = this.moments ? new AdamW(graph.parameterCount, { beta1, beta2, epsilon: 1e-8, weightDecay }) : new Sgd(weightDecay)
    this.parameters = storage ?? new Float32Array(graph.parameterCount)
    const given = start?.find(unit => unit.name === name)?.tensor.data
    if (given !== undefined && given.length !== graph.parameterCount) throw new InvalidParametersError(`${name} to start from has ${given.length} numbers, the model ${graph.parameterCount}`)
    this.#startValues = given === undefined ? () => initialise(graph, seed, name) : () => given.slice()
    this.parameters.set(this.startValues())
  }

  /** The weights that training starts from, anew: those that the seed gives, or what `start` was given. */
  startValues (): Float32Array { return this.#startValues() }

  /** Starts from these weights in place of the seed's. */
  start (parameters: Float32Array): void {
    const held = parameters.slice()
    this.#startValues = () => held.slice()
    this.set(held)
  }

  set (parameters: Float32Array): void {
    this.parameters.set(parameters)
    this.changed()
  }

  /** Adds a change to the weights. */
  move (change: Float32Array): void { this.set(this.parameters.map((value, i) => value + (change[i] as number))) }

  /** Peak rate under warm-up and cosine at `step`, unless it was made with a schedule of its own. */
  rateAt (step: number): number { return this.#rateAt(step) }

  /** What the optimiser would do with this gradient; moves its moments. Valid, and the caller's to change, until the next call. */
  direction (gradient: Float32Array): Float32Array { return this.#optimiser.direction(gradient) }

  apply (direction: Float32Array, step: number): void {
    this.#optimiser.apply(this.parameters, direction, this.rateAt(step))
    this.changed()
  }

  learn (gradient: Float32Array, step: number): void { this.apply(this.direction(gradient), step) }

  save (): { parameters: Float32Array, optimiser: OptimiserState } {
    return { parameters: this.parameters.slice(), optimiser: this.#optimiser.save() }
  }

  load (state: { parameters: Float32Array, optimiser: OptimiserState }): void {
    this.set(state.parameters)
    this.#optimiser.load(state.optimiser)
  }

  /** After every change of the weights. */
  protected changed (): void {}
}

/** Numbers in all of them. */
export function weightCount (units: ReadonlyArray<Pick<Weights, 'parameters'>>): number { return units.reduce((sum, { parameters }) => sum + parameters.length, 0) }

/** A copy of all of them, one after the other. */
export function joinedWeights (units: ReadonlyArray<Pick<Weights, 'parameters'>>): Float32Array {
  const joined = new Float32Array(weightCount(units))
  let at = 0
  for (const { parameters } of units) {
    joined.set(parameters, at)
    at += parameters.length
  }
  return joined
}

/** Weights with a compiled form of their own: a part that runs apart from the others. */
export class Unit extends Weights {
  readonly program: Program
  readonly model: Model

  /**
   * @param init.wanted - inputs that need a gradient of their own
   * @param init.grouped - parameter gradients per group of rows
   * @param init.optimiser - default AdamW
   */
  constructor (backend: Backend, name: string, graph: Graph, init: Omit<WeightsInit, 'optimiser' | 'storage'> & { wanted: readonly string[], grouped?: boolean, optimiser?: WeightsInit['optimiser'] }) {
    super(name, graph, { optimiser: 'adamw', ...init })
    this.program = differentiate(graph, init.wanted, { grouped: init.grouped === true })
    this.model = backend.load(this.program)
    this.model.setParameters(this.parameters)
  }

  dispose (): void { this.model.dispose() }

  protected override changed (): void { this.model.setParameters(this.parameters) }
}
