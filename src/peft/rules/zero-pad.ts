/**
 * Zero padding: factors of mixed ranks get zero rows and columns up to the largest, then as FedIT does. A baseline, biased
 * twice: by FedIT's cross terms, and since a low-rank client's zeros pull at rows that it never had.
 */
import { fedit } from './fedit.ts'
import { resized } from '../factors.ts'
import type { LoraRule } from './rule.ts'

export const zeroPad: LoraRule = {
  ...fedit,
  name: 'zero-pad',
  mixedRanks: true,
  aggregate: (from, init) => fedit.aggregate(from.map(({ weight, ...factors }) => ({ weight, ...resized(factors, init.rank) })), init)
}
