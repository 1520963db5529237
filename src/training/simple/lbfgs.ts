/**
 * Minimises a smooth convex function (limited-memory BFGS: Nocedal and Wright 2006, algorithm 7.5; steps by halving until
 * the function falls by Armijo's share). No randomness: the same function gives the same bits.
 */

export interface Minimum {
  readonly x: Float64Array
  /** Largest absolute component of the gradient there. */
  readonly gradient: number
  readonly iterations: number
}

export interface MinimiseInit {
  /** Stops where no component of the gradient is larger. */
  readonly tolerance: number
  readonly iterations: number
}

/** Pairs of steps and gradient changes that are remembered; 5 to 20 are usual, each costs two vectors. */
const MEMORY = 6
/** Share of the fall that the slope promises which a step must reach. */
const ARMIJO = 1e-4
const HALVINGS = 40
/** Near the minimum the fall drowns in the rounding of the sum: a rise of so many units of it is none. */
const ROUNDING = 16 * Number.EPSILON

/** @param evaluate - writes the gradient at `x` and returns the value there */
export function minimise (size: number, evaluate: (x: Float64Array, gradient: Float64Array) => number, { tolerance, iterations }: MinimiseInit): Minimum {
  let [x, gradient, next, nextGradient] = [new Float64Array(size), new Float64Array(size), new Float64Array(size), new Float64Array(size)]
  let value = evaluate(x, gradient)
  const pairs: Array<{ s: Float64Array, y: Float64Array, rho: number }> = []
  let done = 0
  for (; done < iterations && largest(gradient) > tolerance; done++) {
    const direction = downhill(gradient, pairs)
    const slope = dot(direction, gradient)
    // Without curvature yet, a first step of length 1 at most.
    let step = pairs.length > 0 ? 1 : Math.min(1, 1 / Math.sqrt(dot(gradient, gradient)))
    let found = Infinity
    for (let halving = 0; halving < HALVINGS; halving++, step /= 2) {
      for (let i = 0; i < size; i++) next[i] = (x[i] as number) + step * (direction[i] as number)
      found = evaluate(next, nextGradient)
      if (found <= value + ARMIJO * step * slope + ROUNDING * Math.abs(value)) break
      found = Infinity
    }
    if (found === Infinity) break
    const s = difference(next, x)
    const y = difference(nextGradient, gradient)
    const curvature = dot(s, y)
    if (curvature > 0) pairs.push({ s, y, rho: 1 / curvature })
    if (pairs.length > MEMORY) pairs.shift()
    ;[x, next, gradient, nextGradient, value] = [next, x, nextGradient, gradient, found]
  }
  return { x, gradient: largest(gradient), iterations: done }
}

function downhill (gradient: Float64Array, pairs: ReadonlyArray<{ s: Float64Array, y: Float64Array, rho: number }>): Float64Array {
  const q = new Float64Array(gradient.length)
  for (let i = 0; i < q.length; i++) q[i] = -(gradient[i] as number)
  const alphas: number[] = []
  for (let k = pairs.length - 1; k >= 0; k--) {
    const { s, y, rho } = pairs[k] as typeof pairs[number]
    const alpha = rho * dot(s, q)
    alphas[k] = alpha
    for (let i = 0; i < q.length; i++) q[i] = (q[i] as number) - alpha * (y[i] as number)
  }
  const last = pairs.at(-1)
  if (last !== undefined) {
    const scale = 1 / (last.rho * dot(last.y, last.y))
    for (let i = 0; i < q.length; i++) q[i] = (q[i] as number) * scale
  }
  for (const [k, { s, y, rho }] of pairs.entries()) {
    const beta = rho * dot(y, q)
    for (let i = 0; i < q.length; i++) q[i] = (q[i] as number) + ((alphas[k] as number) - beta) * (s[i] as number)
  }
  return q
}

function difference (to: Float64Array, from: Float64Array): Float64Array {
  const out = new Float64Array(to.length)
  for (let i = 0; i < out.length; i++) out[i] = (to[i] as number) - (from[i] as number)
  return out
}

function dot (a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number)
  return sum
}

function largest (values: Float64Array): number {
  let most = 0
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i] as number))
  return most
}
