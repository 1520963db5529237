/**
 * Optimisers on a flat parameter vector: AdamW (Loshchilov and Hutter 2019, algorithm 2) and SGD. The step is computed apart from its
 * application, so that a host can make it conflict-free before it is applied (`strict: update`).
 */
import { workspace } from '../kernels/index.ts'

export interface AdamWInit {
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  /** Applied times the learning rate to every parameter. */
  readonly weightDecay: number
}

export interface OptimiserState {
  readonly step: number
  /** First and second moments, where the optimiser has them. */
  readonly first?: Float32Array
  readonly second?: Float32Array
}

export interface Optimiser {
  /** Moves the optimiser's state by `gradient` and returns the descent step before learning rate and decay; valid until the next call. */
  direction (gradient: Float32Array): Float32Array
  /** parameters -= rate * (step + weightDecay * parameters), in place. */
  apply (parameters: Float32Array, step: Float32Array, rate: number): void
  save (): OptimiserState
  load (state: OptimiserState): void
}

export class AdamW implements Optimiser {
  readonly #init: AdamWInit
  #step = 0
  #first: Float32Array
  #second: Float32Array
  /** The last direction. One buffer for all: a fresh one per step is what the garbage collector would run for. */
  readonly #direction: Float32Array

  constructor (size: number, init: AdamWInit) {
    this.#init = init
    this.#first = new Float32Array(size)
    this.#second = new Float32Array(size)
    this.#direction = new Float32Array(size)
  }

  direction (gradient: Float32Array): Float32Array {
    const { beta1, beta2, epsilon } = this.#init
    const [first, second] = [this.#first, this.#second]
    this.#step++
    const [correction1, correction2] = [1 / (1 - beta1 ** this.#step), 1 / (1 - beta2 ** this.#step)]
    workspace.adam({ first, second }, gradient, this.#direction, { beta1, beta2, epsilon, correction1, correction2 })
    return this.#direction
  }

  apply (parameters: Float32Array, step: Float32Array, rate: number): void { workspace.descend(parameters, step, rate, rate * this.#init.weightDecay) }

  save (): Required<OptimiserState> {
    return { step: this.#step, first: this.#first.slice(), second: this.#second.slice() }
  }

  load (state: Required<OptimiserState>): void {
    this.#step = state.step
    this.#first = state.first.slice()
    this.#second = state.second.slice()
  }
}

/** Plain gradient descent: no state but the number of steps. */
export class Sgd implements Optimiser {
  readonly #weightDecay: number
  #step = 0

  constructor (weightDecay: number) { this.#weightDecay = weightDecay }

  direction (gradient: Float32Array): Float32Array {
    this.#step++
    return gradient
  }

  apply (parameters: Float32Array, step: Float32Array, rate: number): void { workspace.descend(parameters, step, rate, rate * this.#weightDecay) }

  save (): OptimiserState { return { step: this.#step } }

  load ({ step }: OptimiserState): void { this.#step = step }
}

/** Linear warm-up, then cosine to zero at `total` (Loshchilov and Hutter 2017, SGDR without restarts). */
export function learningRate (base: number, step: number, schedule: { warmup: number, total: number }): number {
  const warm = Math.min(1, (step + 1) / Math.max(1, schedule.warmup))
  return base * warm * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, step / schedule.total)))
}
