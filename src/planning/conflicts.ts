/** Whether projection did anything in a run: how many pairs of gradients conflicted, how far apart they were, what was removed. */
import type { MeasuredRun } from './run.ts'

export interface ConflictFindings {
  readonly pairs: number
  readonly conflictPairs: number
  /** Over all pairs; null where there was none. */
  readonly meanCosine: number | null
  readonly minCosine: number | null
  /** Mean over steps of what the rule took from the plain mean's length. */
  readonly removedShare: number | null
  readonly finding: 'no pairs' | 'no interaction' | 'no effect' | 'active'
  readonly reason: string
}

/**
 * Mean cosines this near to 0 are those of gradients that have nothing to do with each other: 16 clients whose private parts
 * had begun from different seeds had .001, the same pairs with equal private parts .4 to .99 (specification of FedBone,
 * section 9).
 */
const INTERACTION = 0.05
/** Below this a step with projection and one without differ by less than two seeds of a run. */
const EFFECT = 0.01

export function conflictsOf ({ rounds }: Pick<MeasuredRun, 'rounds'>): ConflictFindings {
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
  const mean = (of: 'meanCosine' | 'removedShare', weight: 'pairs' | 'steps'): number | null => {
    const known = rounds.filter(round => round[of] !== null && round[weight] > 0)
    const total = sum(known.map(round => round[weight]))
    return total === 0 ? null : sum(known.map(round => (round[of] as number) * round[weight])) / total
  }
  const withPairs = rounds.filter(round => round.pairs > 0 && round.meanCosine !== null)
  const pairs = sum(rounds.map(round => round.pairs))
  const figures = {
    pairs,
    conflictPairs: sum(rounds.map(round => round.conflictPairs)),
    meanCosine: mean('meanCosine', 'pairs'),
    minCosine: withPairs.length === 0 ? null : Math.min(...withPairs.map(round => round.minCosine ?? Infinity)),
    removedShare: mean('removedShare', 'steps')
  }
  if (pairs === 0 || withPairs.length === 0) {
    return { ...figures, finding: 'no pairs', reason: 'no host compared two gradients: with one gradient a step there is nothing to project' }
  }
  const share = figures.removedShare ?? 0
  // attention and balance may make the step longer than the plain mean
  const removed = share < 0
    ? `the step is ${(-100 * share).toFixed(1)} % longer than the plain mean`
    : `${(100 * share).toFixed(1)} % of the plain mean's length was removed`
  if (withPairs.every(round => Math.abs(round.meanCosine as number) < INTERACTION)) {
    return {
      ...figures,
      finding: 'no interaction',
      reason: `the mean cosine stays within ${INTERACTION} of 0 in every round: these gradients do not conflict, they do not meet; averaging only shortens them and projection has nothing to do (${removed}). ` +
        'Begin private parts from one seed, share the embedder, or train apart'
    }
  }
  if (Math.abs(share) < EFFECT) return { ...figures, finding: 'no effect', reason: `${removed}: the rule 'mean' would have done the same at less cost` }
  return { ...figures, finding: 'active', reason: `${removed}: projection is at work` }
}
