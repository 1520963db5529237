/**
 * Whether to split the tasks, and how. Several groups cost several trainings, so without evidence they stay one: where a
 * pair of tasks was never measured, or where the best partition is not worth more than one group by more than the margin.
 */
import { InvalidParametersError } from '../errors.ts'
import { branchAndBound, exhaustive } from './search.ts'
import { expectSquare } from './matrix.ts'
import { roundingOf, valueOf } from './partition.ts'
import type { Affinity } from './matrix.ts'
import type { Partition, Valued } from './partition.ts'

export interface SplitInit {
  /** Groups at most, k. */
  readonly groups: number
  /** k groups, no fewer. Default false. */
  readonly exact?: boolean
  /** What a split must be worth more than one group. Default 0. */
  readonly margin?: number
  /** The same as a share of the larger of the two, which does not depend on how affinities are scaled. Default 0. */
  readonly gain?: number
  /** What the tasks are called in the reason. Default: their places. */
  readonly names?: readonly string[]
}

export interface Split {
  readonly groups: Partition
  /** In one line. */
  readonly reason: string
  readonly best?: Valued
  readonly runnerUp?: Valued
  /** Value of one group of all tasks. */
  readonly allInOne: number
}

/** Up to here every partition is looked at, in some 100 ms for four groups; and so the second best is known. */
const EXHAUSTIVE_TASKS = 10
/** Branch and bound of a random matrix takes 1.3 s here for four groups, with two tasks more 33 s. */
export const MAX_TASKS = 14

/** @throws {InvalidParametersError} a number of groups or tasks that cannot be */
export function chooseSplit (affinity: Affinity, { groups, exact = false, margin = 0, gain = 0, names = [] }: SplitInit): Split {
  expectSquare(affinity)
  const { length } = affinity
  if (!Number.isInteger(groups) || groups < 1 || (exact && groups > length)) throw new InvalidParametersError(`${length} tasks cannot be split into ${groups} groups`, { next: `take 1 to ${length} groups` })
  if (!(margin >= 0)) throw new InvalidParametersError(`the margin of a split must be a number from 0, got ${margin}`)
  if (!(gain >= 0)) throw new InvalidParametersError(`the gain of a split must be a number from 0, got ${gain}`)
  if (length > MAX_TASKS) throw new InvalidParametersError(`the best split of ${length} tasks takes too long to find`, { next: `split ${MAX_TASKS} tasks or fewer` })
  const all = [affinity.map((_, task) => task)]
  const allInOne = valueOf(affinity, all)
  const missing = affinity.flatMap((row, source) => row.flatMap((value, target) => source === target || Number.isFinite(value) ? [] : [`${names[source] ?? source} on ${names[target] ?? target}`]))
  if (missing.length > 0) return { groups: all, allInOne, reason: `one group: the effect of ${missing.slice(0, 3).join(', ')}${missing.length > 3 ? ` and ${missing.length - 3} more` : ''} was not measured` }
  const { best, runnerUp } = (length <= EXHAUSTIVE_TASKS ? exhaustive : branchAndBound)(affinity, { groups: Math.min(groups, length), exact })
  const found = { allInOne, best, ...runnerUp === undefined ? {} : { runnerUp } }
  if (best.groups.length === 1) return { ...found, groups: all, reason: `one group: no split is worth more than its ${allInOne.toPrecision(4)}` }
  const worth = `${best.groups.length} groups are worth ${best.value.toPrecision(4)}, one ${allInOne.toPrecision(4)}`
  if (best.value - allInOne <= margin + roundingOf(affinity)) return { ...found, groups: all, reason: `one group: ${worth}, which is not ${margin} more` }
  const share = (best.value - allInOne) / Math.max(Math.abs(best.value), Math.abs(allInOne))
  if (share < gain) return { ...found, groups: all, reason: `one group: ${worth}, ${Math.round(100 * share)} % more, which is less than ${Math.round(100 * gain)} %` }
  return { ...found, groups: best.groups, reason: worth }
}
