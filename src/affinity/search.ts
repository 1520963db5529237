/**
 * The best partition into at most, or exactly, k groups. Tasks are placed one after the other, each into a group that is
 * there or into a new one, which visits every partition once. Branch and bound leaves out what cannot become the best: a
 * task's score is a mean over its group, so the most it can become is the mean with the best of those still to be placed.
 */
import { aloneScore, canonical, isBetter, roundingOf, valueOf } from './partition.ts'
import { cell } from './matrix.ts'
import type { Affinity } from './matrix.ts'
import type { Partition, Valued } from './partition.ts'

export interface SearchInit {
  /** k. */
  readonly groups: number
  /** k groups, no fewer. */
  readonly exact: boolean
}

export interface SearchResult {
  readonly best: Valued
  /** The second best; undefined where there is one partition, or where branches were left out. */
  readonly runnerUp: Valued | undefined
  /** Partitions that were valued. */
  readonly tried: number
}

export function exhaustive (affinity: Affinity, init: SearchInit): SearchResult {
  const rounding = roundingOf(affinity)
  let [best, runnerUp]: Array<Valued | undefined> = []
  let tried = 0
  visit(affinity.length, init, () => true, groups => {
    const found = { groups: canonical(groups), value: valueOf(affinity, groups) }
    tried++
    if (isBetter(found, best, rounding)) [best, runnerUp] = [found, best]
    else if (isBetter(found, runnerUp, rounding)) runnerUp = found
  })
  return { best: best as unknown as Valued, runnerUp, tried }
}

/** The same best partition as `exhaustive`, ties included. */
export function branchAndBound (affinity: Affinity, init: SearchInit): SearchResult {
  const rounding = roundingOf(affinity)
  const bound = boundsOf(affinity)
  let best: Valued | undefined
  let tried = 0
  // A partition as good as the best may still come before it in order.
  visit(affinity.length, init, (groups, placed) => best === undefined || bound(groups, placed) >= best.value - rounding, groups => {
    const found = { groups: canonical(groups), value: valueOf(affinity, groups) }
    tried++
    if (isBetter(found, best, rounding)) best = found
  })
  return { best: best as unknown as Valued, runnerUp: undefined, tried }
}

/** @param enter - whether to go on from these groups of the first `placed` tasks */
function visit (size: number, { groups: most, exact }: SearchInit, enter: (groups: Partition, placed: number) => boolean, leaf: (groups: Partition) => void): void {
  const groups: number[][] = []
  const place = (task: number): void => {
    if (exact && groups.length + size - task < most) return
    if (task === size) return leaf(groups)
    if (!enter(groups, task)) return
    for (const group of groups) {
      group.push(task)
      place(task + 1)
      group.pop()
    }
    if (groups.length === most) return
    groups.push([task])
    place(task + 1)
    groups.pop()
  }
  place(0)
}

/** @returns the most that the value can become once the first tasks are placed */
function boundsOf (affinity: Affinity): (groups: Partition, placed: number) => number {
  const tasks = affinity.map((_, task) => task)
  const alone = tasks.map(task => aloneScore(affinity, task))
  // Sources of every target, the most helpful first.
  const sources = tasks.map(target => tasks.filter(source => source !== target).sort((a, b) => cell(affinity, b, target) - cell(affinity, a, target)))
  const best = tasks.map(target => Math.max(alone[target] as number, ...(sources[target] as number[]).slice(0, 1).map(source => cell(affinity, source, target))))
  const grown = (target: number, group: readonly number[], placed: number): number => {
    let [sum, count] = [0, group.length - 1]
    for (const source of group) if (source !== target) sum += cell(affinity, source, target)
    let most = count === 0 ? alone[target] as number : sum / count
    for (const source of sources[target] as number[]) {
      if (source < placed) continue
      sum += cell(affinity, source, target)
      const mean = sum / ++count
      if (mean <= most && count > 1) break
      most = Math.max(most, mean)
    }
    return most
  }
  return (groups, placed) => {
    let total = 0
    for (const group of groups) for (const task of group) total += grown(task, group, placed)
    for (let task = placed; task < tasks.length; task++) total += best[task] as number
    return total / tasks.length
  }
}
