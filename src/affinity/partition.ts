/**
 * What a partition of the tasks is worth:
 *
 *     score(j in g) = sum over i in g, i != j of Z[i][j] / (|g| - 1)
 *     score(j alone) = sum over k != j of (Z[j][k] + Z[k][j]) / (2 (n - 1))      0 where there is one task
 *     value(P) = mean of all tasks' scores
 */
import { cell } from './matrix.ts'
import type { Affinity } from './matrix.ts'

/** Groups of task indices, each sorted, in the order of their first tasks. */
export type Partition = ReadonlyArray<readonly number[]>

export interface Valued {
  readonly groups: Partition
  readonly value: number
}

export function canonical (groups: Partition): Partition {
  return groups.map(group => group.toSorted((a, b) => a - b)).sort(([a = 0], [b = 0]) => a - b)
}

/** Score of a task that trains alone. */
export function aloneScore (affinity: Affinity, task: number): number {
  const { length } = affinity
  if (length === 1) return 0
  let sum = 0
  for (let other = 0; other < length; other++) if (other !== task) sum += cell(affinity, task, other) + cell(affinity, other, task)
  return sum / (2 * (length - 1))
}

export function valueOf (affinity: Affinity, groups: Partition): number {
  const score = (task: number, group: readonly number[]): number =>
    group.length === 1 ? aloneScore(affinity, task) : group.reduce((sum, other) => other === task ? sum : sum + cell(affinity, other, task), 0) / (group.length - 1)
  return groups.reduce((sum, group) => group.reduce((sum, task) => sum + score(task, group), sum), 0) / affinity.length
}

/** Above rounding: two sums of the same numbers in another order must not differ. */
export function roundingOf (affinity: Affinity): number {
  return 1e-12 * affinity.reduce((most, row, i) => row.reduce((most, value, j) => i === j ? most : Math.max(most, Math.abs(value)), most), 0)
}

/** The larger value comes first; of equals the first in the order of the groups' tasks. */
export function isBetter (a: Valued, b: Valued | undefined, rounding: number): boolean {
  if (b === undefined) return true
  if (Math.abs(a.value - b.value) > rounding) return a.value > b.value
  return before(a.groups, b.groups)
}

function before (a: Partition, b: Partition): boolean {
  for (let group = 0; group < Math.min(a.length, b.length); group++) {
    const [left, right] = [a[group], b[group]] as [readonly number[], readonly number[]]
    for (let i = 0; i < Math.min(left.length, right.length); i++) if (left[i] !== right[i]) return (left[i] as number) < (right[i] as number)
    if (left.length !== right.length) return left.length < right.length
  }
  return a.length < b.length
}
