/**
 * How a client weighs the losses of its tasks before their gradients become one: a factor per task on its gradient at the
 * cut, chosen from what the steps before showed. The gradient rules (../projection) come after it and work on the sums.
 * Heads keep their own gradients: a factor on them would change nothing but their rate.
 *
 * State is float32 throughout, so that what a checkpoint holds goes on with the same bits.
 */

/** One step of a client, one number per task, in the order of its tasks. */
export interface SeenStep {
  /** Mean loss, unweighted. */
  readonly losses: readonly number[]
  /** Lengths of the tasks' gradients at the cut, unweighted; zero where no row of the batch had a target. */
  readonly norms: readonly number[]
}

export interface LossWeighting {
  /** One per task, >= 0, for the step to come. */
  weights (): Float64Array
  learn (step: SeenStep): void
  save (): Float32Array
  /** What `save` gave, of as many numbers. */
  load (state: Float32Array): void
}

export interface WeightingInit {
  readonly tasks: number
  /** Steps of an epoch, over which losses are averaged; a round's. */
  readonly epochSteps: number
  /** How much more a slow task weighs under gradnorm. Default 1.5, as published. */
  readonly alpha?: number
  /** What dwa divides rates by: the higher, the more alike tasks weigh. Default 2, as published. */
  readonly temperature?: number
}

/** n softmax(x): positive, and 1 on average. */
export function softmaxWeights (x: ArrayLike<number>): Float64Array {
  const values = Array.from(x)
  const top = Math.max(...values)
  const powers = values.map((value) => Math.exp(value - top))
  const total = powers.reduce((sum, value) => sum + value, 0)
  return Float64Array.from(powers, (value) => values.length * value / total)
}

/** a / b, or 1 where that says nothing: a loss that is zero, negative or not known has no rate. */
export function rateOf (a: number, b: number): number {
  const rate = a / b
  return a > 0 && b > 0 && rate < Infinity ? rate : 1
}

/** Whether the step says something about a task: a batch without a target of it has a loss, but no gradient. */
export function shows ({ losses, norms }: SeenStep, task: number): boolean { return (norms[task] as number) > 0 && Number.isFinite(losses[task]) }

/** Mean losses of the epoch under way, in the first 2 n + 1 numbers of a state: steps, sums, counts. */
export class EpochMeans {
  static readonly size = (n: number): number => 2 * n + 1
  readonly #n: number
  readonly #state: Float32Array

  constructor (n: number, state: Float32Array) {
    this.#n = n
    this.#state = state
  }

  /** @returns the means of an epoch that this step ends, NaN for a task that no step had; the next begins */
  add (step: SeenStep, epochSteps: number): Float64Array | undefined {
    const [n, state] = [this.#n, this.#state]
    for (let i = 0; i < n; i++) {
      if (!shows(step, i)) continue
      state[1 + i] = (state[1 + i] as number) + (step.losses[i] as number)
      state[1 + n + i] = (state[1 + n + i] as number) + 1
    }
    state[0] = (state[0] as number) + 1
    if (state[0] < epochSteps) return undefined
    const means = Float64Array.from({ length: n }, (_, i) => (state[1 + i] as number) / (state[1 + n + i] as number))
    state.fill(0, 0, EpochMeans.size(n))
    return means
  }
}
