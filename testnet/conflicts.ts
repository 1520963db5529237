/** The conflict report of a whole run: between the gradients of a step, and between the hosts' deltas of a round. */
import { finite, mean, meanOf, sum } from './figures.ts'
import type { SummaryRound } from './summary.ts'

/** Projection promises a cosine of at least -1e-6 (src/projection/strict.ts). */
const CONFLICT_TOLERANCE = 1e-6

export interface CosineFigures {
  readonly meanCosine: number | null
  readonly minCosine: number | null
  readonly removedShare: number | null
  readonly minDirectionCosine: number | null
  readonly minUpdateCosine: number | null
}

export interface Conflicts extends CosineFigures {
  readonly pairs: number
  readonly conflictPairs: number
  /** Whether no step's gradient, after projection, worked against any task. */
  readonly conflictFree: boolean | null
  /** Steps, and merges between hosts, whose rule found no answer of its own, where there were any. */
  readonly fallbacks?: { readonly steps: number, readonly merges: number }
  /** Between the hosts' deltas, where two or more met. */
  readonly between?: Omit<CosineFigures, 'minUpdateCosine'> & { readonly merges: number, readonly pairs: number, readonly conflictPairs: number }
}

export function conflictsOf (rounds: readonly SummaryRound[]): Conflicts {
  const least = (of: (round: SummaryRound) => number | null): number | null => {
    const values = rounds.map(of).filter(value => value !== null)
    return values.length === 0 ? null : Math.min(...values)
  }
  const minDirectionCosine = least(round => round.minDirectionCosine)
  return {
    pairs: sum(rounds.map(round => round.pairs)),
    conflictPairs: sum(rounds.map(round => round.conflictPairs)),
    meanCosine: mean(rounds.map(round => ({ value: round.meanCosine, weight: round.pairs }))),
    minCosine: least(round => round.minCosine),
    removedShare: mean(rounds.map(round => ({ value: round.removedShare, weight: round.steps }))),
    minDirectionCosine,
    minUpdateCosine: least(round => round.minUpdateCosine),
    conflictFree: minDirectionCosine === null ? null : minDirectionCosine >= -CONFLICT_TOLERANCE,
    ...fallbacksOf(rounds) === undefined ? {} : { fallbacks: fallbacksOf(rounds) as NonNullable<Conflicts['fallbacks']> },
    ...betweenOf(rounds)
  }
}

export function fallbacksOf (rounds: readonly SummaryRound[]): Conflicts['fallbacks'] {
  const steps = sum(rounds.map(round => round.fallbacks ?? 0))
  const merges = rounds.filter(round => round.between?.fallback === true).length
  return steps + merges === 0 ? undefined : { steps, merges }
}

function betweenOf (rounds: readonly SummaryRound[]): Pick<Conflicts, 'between'> {
  const met = rounds.flatMap(({ between }) => between === undefined || between.pairs === 0 ? [] : [between])
  if (met.length === 0) return {}
  return {
    between: {
      merges: met.length,
      pairs: sum(met.map(({ pairs }) => pairs)),
      conflictPairs: sum(met.map(({ conflictPairs }) => conflictPairs)),
      meanCosine: mean(met.map(({ meanCosine, pairs }) => ({ value: finite(meanCosine), weight: pairs }))),
      minCosine: finite(Math.min(...met.map(({ minCosine }) => minCosine))),
      removedShare: meanOf(met.map(({ removedShare }) => removedShare)),
      minDirectionCosine: finite(Math.min(...met.map(({ minDirectionCosine }) => minDirectionCosine)))
    }
  }
}
