/** How clients' factors of one layer become one pair. A rule is a function of the set: clients come sorted, their order changes no product. */
import type { Factors, Share } from '../factors.ts'

/** A: r x in, B: out x r. The role is in a tensor's name, since its shape does not tell: r may equal either side of the layer. */
export type Role = 'A' | 'B'

export interface RuleInit {
  /** Of the pair that comes out, where the rule keeps a rank at all. */
  readonly rank: number
  /** Most rows that a stack may have. Left out: as many as come together. */
  readonly rankMax?: number
}

export interface LoraRule {
  readonly name: 'fedit' | 'ffa' | 'flora' | 'zero-pad' | 'svd'
  /** What clients train and send; the rest stays at the start values of the common seed. */
  readonly trains: readonly Role[]
  /** Whether clients may have different ranks. */
  readonly mixedRanks: boolean
  /** factors: the pair is what all go on from; base: it is added to the frozen weights, and all start again with fresh factors. */
  readonly into: 'factors' | 'base'
  aggregate (from: readonly Share[], init: RuleInit): Factors
}
