/**
 * Who trains which bases when. All of it follows from the charter's seed, the step, and a site's seat among all: no counter is
 * shared. Were there one, it would stand at step * seats + rank; every K-th visit begins another permutation of the bases, so
 * that bases are visited evenly even where every site trains one alone.
 * Source: illidanlab/SplitMix, federated/core.py; the counter from seats in place of a shared one is ours.
 */
import { Random, deriveSeed } from '../../random.ts'
import type { Seat } from '../method.ts'

/** Shares of the full width that a site can afford, weakest first: an equal part of the sites each ("8-4-2-1"). */
export const RATIOS = [1 / 8, 1 / 4, 1 / 2, 1] as const

/** groups: by rank, as RATIOS say; weak: one base each; full: all bases each. */
export type Budgets = 'groups' | 'weak' | 'full'

/** Bases that a site trains in a step. */
export function budgetOf (budgets: Budgets, { rank, of }: Seat, bases: number): number {
  if (budgets !== 'groups') return budgets === 'weak' ? 1 : bases
  return Math.max(1, Math.floor((RATIOS[Math.floor(RATIOS.length * rank / of)] as number) * bases))
}

/** The first in turn, then others in a shuffled order. */
export function pickBases (first: number, shuffled: readonly number[], count: number): readonly number[] {
  return [first, ...shuffled.filter(base => base !== first).slice(0, count - 1)]
}

/** Bases of one site in one step, distinct, the one in turn first. */
export function basesAt (step: number, seat: Seat, { seed, bases, count }: { readonly seed: number, readonly bases: number, readonly count: number }): readonly number[] {
  const visit = step * seat.of + seat.rank
  const turn = new Random(deriveSeed(seed, 'bases', Math.floor(visit / bases))).permutation(bases)
  const others = new Random(deriveSeed(seed, 'more bases', step, seat.rank)).permutation(bases)
  return pickBases(turn[visit % bases] as number, others, count)
}

/** Bases from the best on the hold-out down; ties go to the lower index. */
export function orderOf (scores: readonly number[]): readonly number[] {
  return [...scores.keys()].sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b)
}
