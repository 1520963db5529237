/**
 * A learning rate per block from the block's own curvature, so that one stiff block does not slow all the others down. Two
 * gradients of one loss at consecutive iterates say how steep the gradient itself is along the step between them:
 *
 *     L    = |g(t+1) - g(t)| / |theta(t+1) - theta(t)|        moving mean, .9 of the old, at least 1e-6
 *     rate = clip(gamma / L, least, most)                     gamma .9: below 1 / L, where a step along g still descends
 *
 * Both gradients must be of the same rows. Between two mini-batches most of |g(t+1) - g(t)| is the draw, which does not
 * shrink with the step, so that L grows as the rate falls and the rate runs down to `least`; halving gamma does not help
 * (test/shapes/rates.test.ts). That is why no charter offers it: a step of the network draws its own rows.
 * Source: Zheng and Eryilmaz, arXiv 2406.00150, for the rates; the estimate is this library's.
 */
import { InvalidParametersError } from '../errors.ts'

export interface CurvatureRateInit {
  /** Rate until there are two gradients to compare. */
  readonly start: number
  /** Share of 1 / L. Default 0.9. */
  readonly gamma?: number
  /** Bounds of the rate. Default 1e-6 and 1e3. */
  readonly least?: number
  readonly most?: number
}

type Numbers = Float32Array | Float64Array

const KEPT = 0.9
const FLATTEST = 1e-6

export class CurvatureRate {
  readonly #init: Required<CurvatureRateInit>
  #last: { readonly parameters: Numbers, readonly gradient: Numbers } | undefined
  #curvature: number | undefined

  /** @throws {InvalidParametersError} a rate or a share that is not above 0, or bounds the wrong way round */
  constructor (init: CurvatureRateInit) {
    this.#init = { gamma: 0.9, least: 1e-6, most: 1e3, ...init }
    const { start, gamma, least, most } = this.#init
    if (![start, gamma, least, most].every(value => value > 0 && value < Infinity) || least > most) {
      throw new InvalidParametersError(`a rate from curvature needs numbers above 0 and least <= most, got start ${start}, gamma ${gamma}, least ${least}, most ${most}`)
    }
  }

  /** Estimate of L; undefined until the block has moved once between two gradients. */
  get curvature (): number | undefined { return this.#curvature }

  get rate (): number {
    const { start, gamma, least, most } = this.#init
    return Math.min(most, Math.max(least, this.#curvature === undefined ? start : gamma / this.#curvature))
  }

  /** Takes the gradient at `parameters`; both are copied. A gradient that is not finite says nothing and is passed over. */
  observe (parameters: Numbers, gradient: Numbers): void {
    if (!gradient.every(Number.isFinite)) return
    if (this.#last !== undefined) {
      const moved = distance(parameters, this.#last.parameters)
      if (moved > 0) {
        const found = distance(gradient, this.#last.gradient) / moved
        this.#curvature = Math.max(FLATTEST, this.#curvature === undefined ? found : KEPT * this.#curvature + (1 - KEPT) * found)
      }
    }
    this.#last = { parameters: parameters.slice(), gradient: gradient.slice() }
  }
}

function distance (a: Numbers, b: Numbers): number {
  let square = 0
  for (let i = 0; i < a.length; i++) square += ((a[i] as number) - (b[i] as number)) ** 2
  return Math.sqrt(square)
}
