/** A site's measurements between what the trainer holds (all tasks of the charter) and what travels (the site's own tasks). */
import { charterHash } from '../../src/federation/charter.ts'
import { mergedCharter, partitionOf } from '../../src/federation/groups.ts'
import type { AffinityRow } from '../../protocols/affinity/index.ts'
import type { AffinitySums } from '../../src/affinity/tally.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { SiteSums, TaskPartition } from '../../src/federation/groups.ts'

/** What names a consortium's merge: the hash of the charter under which all tasks train together. */
export function mergeId (charter: Charter): string { return charterHash(mergedCharter(charter)) }

/** @param sums - over all tasks of the charter */
export function rowOf (charter: Charter, site: string, tasks: readonly string[], sums: AffinitySums): AffinityRow {
  const all = charter.tasks.map(({ id }) => id)
  const own = all.filter(id => tasks.includes(id))
  const cells = own.flatMap(source => own.map(target => all.indexOf(source) * all.length + all.indexOf(target)))
  return { site, charter: mergeId(charter), tasks: own, sums: Float32Array.from(cells, at => sums.sums[at] as number), counts: Uint32Array.from(cells, at => sums.counts[at] as number) }
}

export function sumsOf (charter: Charter, { site, tasks, sums, counts }: AffinityRow): SiteSums {
  const all = charter.tasks.map(({ id }) => id)
  const spread = { site, sums: new Float32Array(all.length ** 2), counts: new Uint32Array(all.length ** 2) }
  tasks.forEach((source, row) => tasks.forEach((target, column) => {
    const [from, to] = [row * tasks.length + column, all.indexOf(source) * all.length + all.indexOf(target)]
    spread.sums[to] = sums[from] as number
    spread.counts[to] = counts[from] as number
  }))
  return spread
}

/** The partition that these rows ask for, the same bits in whatever order they came. */
export function partitionOfRows (charter: Charter, rows: readonly AffinityRow[]): TaskPartition {
  return partitionOf(rows.map(row => sumsOf(charter, row)), charter)
}
