/**
 * The hierarchy of DemLearn, made of a merge tree: its root stands on level K + 1, each of the two halves of a group one level
 * below it, and a group on level 1 takes all its sites at once. A site that a merge took in by itself hangs at that group,
 * on whatever level it is.
 *
 *     up     a group's model is the mean of its sites', each counted once
 *     down   group <- (1 - alpha) group + alpha parent, from the root on; sites last
 */
import { followed } from '../../training/local-rules.ts'
import { leavesOf } from '../../combinatorics/linkage.ts'
import type { Merge } from '../../combinatorics/linkage.ts'

export interface Group {
  /** In the merge tree. */
  readonly node: number
  readonly level: number
  /** Place of the group above in the list; the root has none. */
  readonly parent: number | undefined
  /** All below, by their place among the points. */
  readonly points: readonly number[]
}

/** Groups, each after the one above it; the first is the root. */
export function groupsOf (merges: readonly Merge[], levels: number): Group[] {
  const points = merges.length + 1
  const groups: Group[] = []
  const add = (node: number, level: number, parent: number | undefined): void => {
    const at = groups.push({ node, level, parent, points: leavesOf(merges, node) }) - 1
    if (level > 1) for (const member of merges[node - points]?.members ?? []) if (member >= points) add(member, level - 1, at)
  }
  add(2 * points - 2, levels + 1, undefined)
  return groups
}

/** Per point: place of the group that it hangs at. */
export function parentsOf (groups: readonly Group[]): number[] {
  const parents: number[] = []
  groups.forEach(({ points }, at) => { for (const point of points) parents[point] = at }) // the lowest comes last
  return parents
}

/** Summed in double precision. */
export function meanOf (rows: ReadonlyArray<ArrayLike<number>>): Float64Array {
  const sum = new Float64Array(rows[0]?.length ?? 0)
  for (const row of rows) for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (row[i] as number)
  return sum.map(value => value / rows.length)
}

/** What stands at `at` after the way down from the root. A group without a model of its own has its parent's. */
export function lowered<T extends Float32Array | Float64Array> (groups: ReadonlyArray<Pick<Group, 'parent'>>, models: ReadonlyArray<T | undefined>, at: number, alpha: number): T {
  const parent = groups[at]?.parent
  const own = models[at]
  if (parent === undefined) return own as T
  const above = lowered(groups, models, parent, alpha)
  return own === undefined ? above : followed(own, above, alpha)
}
