/**
 * Adversarial inputs by projected gradient ascent within an L-infinity ball, inside the range that inputs have:
 *
 *     d = clip(x + eps u) - x                      u ~ U(-1, 1), or 0
 *     S times:  d = clip_eps(d + alpha sign(dloss/dx at x + d));  d = clip(x + d) - x        sign(0) = 0
 *
 * eps is in the scale of the data as the model reads them. An input that lies outside of the range already stays where it is.
 * Source: Madry et al., Towards deep learning models resistant to adversarial attacks, arXiv 1706.06083, as advertorch 0.2.3 does it.
 */
import { InvalidParametersError } from '../errors.ts'
import type { InputSpec } from '../data/dataset.ts'
import type { Random } from '../random.ts'

export interface Attack {
  readonly epsilon: number
  readonly steps: number
  /** Range of the data. Left out: as far as epsilon goes. */
  readonly low?: number
  readonly high?: number
}

/** Alpha: the ball is crossed in the steps there are, with a quarter to spare. */
export function stepSize ({ epsilon, steps, low = 0, high = 1 }: Attack): number {
  return Math.min(1.25 * epsilon, epsilon + 4 / 255 * (high - low)) / steps
}

/**
 * @param gradient - dloss/dx at the given inputs; any positive factor will do
 * @param start - u, one number per input, or what draws it
 */
export async function pgd (x: Float32Array, gradient: (x: Float32Array) => Promise<Float32Array>, attack: Attack, start: Float32Array | Random): Promise<Float32Array> {
  const { epsilon, steps, low = -Infinity, high = Infinity } = attack
  const alpha = stepSize(attack)
  const within = (value: number, from: number): number => Math.min(Math.max(high, from), Math.max(Math.min(low, from), value))
  const moved = x.map((from, i) => within(from + epsilon * (start instanceof Float32Array ? start[i] as number : 2 * start.next() - 1), from))
  for (let step = 0; step < steps; step++) {
    const slope = await gradient(moved)
    for (let i = 0; i < moved.length; i++) {
      const from = x[i] as number
      const by = (moved[i] as number) - from + alpha * Math.sign(slope[i] as number)
      moved[i] = within(from + Math.min(epsilon, Math.max(-epsilon, by)), from)
    }
  }
  return moved
}

/** @throws {InvalidParametersError} words cannot be moved by a little */
export function expectNumbers ({ modality }: Pick<InputSpec, 'modality'>): void {
  if (modality === 'tokens') throw new InvalidParametersError('words cannot be moved by a little: there is no attack on texts', { next: 'leave robustness out, or choose another strategy' })
}

/** Reads `epsilon`, `attackSteps`, `low` and `high` of a method's options. @throws {InvalidParametersError} */
export function parseAttack (method: string, { epsilon = 8 / 255, attackSteps = 7, low, high }: Readonly<Record<string, unknown>>): Attack {
  const number = (key: string, value: unknown, fits: (value: number) => boolean, what: string): number => {
    if (typeof value !== 'number' || !Number.isFinite(value) || !fits(value)) throw new InvalidParametersError(`${method}: ${key} must be ${what}, got ${String(value)}`)
    return value
  }
  if ((low === undefined) !== (high === undefined)) throw new InvalidParametersError(`${method}: low and high are the two ends of one range`, { next: 'set both, or neither' })
  return {
    epsilon: number('epsilon', epsilon, value => value > 0, 'a number above 0, in the scale of the data'),
    steps: number('attackSteps', attackSteps, value => Number.isInteger(value) && value >= 1 && value <= 1000, 'a whole number from 1 to 1000'),
    ...low === undefined ? {} : { low: number('low', low, () => true, 'a number') },
    ...high === undefined ? {} : { high: number('high', high, value => value > (low as number), 'a number above low') }
  }
}
