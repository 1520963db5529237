/** The decisions of TAP, each a function of numbers that every site has: when to replace, how fast to go, whose turn it is. */
import { Random, deriveSeed } from '../../random.ts'
import type { Seat } from '../method.ts'

/** Whether the agreed model, as it was trained here, takes the personal one's place: better by more than the margin. */
export function replaces (agreedLoss: number, personalLoss: number, margin: number): boolean { return agreedLoss + margin < personalLoss }

/** Linear from `low` to `peak`. */
export function warmedRate (round: number, { low, peak, rounds }: { readonly low: number, readonly peak: number, readonly rounds: number }): number {
  return round < rounds ? low + (peak - low) * round / rounds : peak
}

/** Whether it is the turn of the site in this seat. Everybody draws the same order, and so many go as are the share of all. */
export function itsTurn (seed: number, round: number, { rank, of }: Seat, share: number): boolean {
  if (share >= 1) return true
  return new Random(deriveSeed(seed, 'tap', 'turn', round)).permutation(of).indexOf(rank) < Math.max(1, Math.round(share * of))
}

/** Scales gradients down together, in place, to a length of at most `longest`. */
export function clipped (gradients: Iterable<Float32Array>, longest: number): void {
  const all = [...gradients]
  const length = Math.sqrt(all.reduce((sum, gradient) => gradient.reduce((square, value) => square + value * value, sum), 0))
  if (length <= longest) return
  for (const gradient of all) for (let i = 0; i < gradient.length; i++) gradient[i] = (gradient[i] as number) * longest / length
}

/** How far apart the two are, as a share of the first one's length; without bounds where there was none. */
export function moved (from: Float32Array, to: Float32Array): number {
  if (from.length !== to.length) return Infinity
  let [change, length] = [0, 0]
  for (let i = 0; i < from.length; i++) {
    change += ((to[i] as number) - (from[i] as number)) ** 2
    length += (from[i] as number) ** 2
  }
  return change === 0 ? 0 : Math.sqrt(change / length)
}
