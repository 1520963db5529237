/**
 * Matching of hidden units over sites that have different blocks of a layer's inputs. A unit is its row of weights, padded to all
 * blocks, with its bias last; sites are taken one after the other:
 *
 *     cost(i, g) = mean over the coordinates that both have of (row_i - mean row of g)^2,  or newCost for a unit of its own
 *     assignment by least total cost;  global row = mean over the sites that have a coordinate
 *
 * The first site's units are the first global ones, in order. Source: arXiv 2012.12420,
 * whose matching is a Bayesian nonparametric one; the cost and the assignment are this project's.
 */
import { assign } from '../../combinatorics/assignment.ts'

type Numbers = Float32Array | Float64Array

/** A site's layer: [units, coordinates.length] flat. */
export interface SiteLayer {
  readonly units: number
  /** Where each of its columns stands in the padded row. */
  readonly coordinates: readonly number[]
  readonly values: Numbers | readonly number[]
}

/** Sums and counts of what was matched so far, [units, width] flat. */
export class MatchedLayer {
  readonly width: number
  readonly capacity: number
  readonly sums: Float64Array
  readonly counts: Float64Array
  #units = 0

  /** @param capacity - global units there may be */
  constructor (width: number, capacity: number) {
    this.width = width
    this.capacity = capacity
    this.sums = new Float64Array(width * capacity)
    this.counts = new Float64Array(width * capacity)
  }

  /** @returns the global unit of each of the site's; nothing is added yet */
  match (layer: SiteLayer, newCost: number): number[] {
    const { units, coordinates, values } = layer
    if (this.#units === 0) return Array.from({ length: units }, (_, i) => i)
    const fresh = Math.min(units, this.capacity - this.#units)
    const costs = Array.from({ length: units }, (_, i) => {
      const own = Array.from({ length: this.#units }, (_, g) => {
        let [sum, shared] = [0, 0]
        coordinates.forEach((at, c) => {
          const count = this.counts[g * this.width + at] as number
          if (count === 0) return
          sum += ((values[i * coordinates.length + c] as number) - (this.sums[g * this.width + at] as number) / count) ** 2
          shared++
        })
        return shared === 0 ? newCost : sum / shared
      })
      return [...own, ...new Array<number>(fresh).fill(newCost)]
    })
    // Which column stands for a new unit says nothing: new ones follow in the order of the site's units.
    let next = this.#units
    return assign(costs).map(column => column < this.#units ? column : next++)
  }

  add ({ coordinates, values }: SiteLayer, pattern: readonly number[]): void {
    pattern.forEach((g, i) => {
      this.#units = Math.max(this.#units, g + 1)
      coordinates.forEach((at, c) => {
        const place = g * this.width + at
        this.sums[place] = (this.sums[place] as number) + (values[i * coordinates.length + c] as number)
        this.counts[place] = (this.counts[place] as number) + 1
      })
    })
  }

  /** Means over those who have a coordinate; where nobody does, what `otherwise` has, or 0. */
  means (otherwise?: Numbers): Float64Array {
    return this.sums.map((sum, i) => (this.counts[i] as number) > 0 ? sum / (this.counts[i] as number) : otherwise?.[i] ?? 0)
  }
}

/** Adds the gradient of mu |values - anchor|, 0 at the anchor. @returns that penalty */
export function pullToAnchor<T extends Numbers> (gradient: T, values: T, anchor: T, mu: number): number {
  const apart = Float64Array.from(values, (value, i) => value - (anchor[i] as number))
  let squares = 0
  for (const value of apart) squares += value ** 2
  const length = Math.sqrt(squares)
  if (length > 0) for (let i = 0; i < gradient.length; i++) gradient[i] = (gradient[i] as number) + mu * (apart[i] as number) / length
  return mu * length
}
