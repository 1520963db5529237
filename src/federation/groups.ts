/**
 * MAS as phases of one charter, each a charter of its own with a learning-rate schedule of its own:
 *
 *     merged   all tasks, R0 rounds; clients measure what a step on one task does to the others
 *     groups   partitionOf(rows of all clients), the same at everybody who has the same rows
 *     group g  its tasks, R - R0 rounds from the merged weights; groups share nothing any more
 *
 * Pure functions: the simulator and the network run the same phases.
 * Source: Zhuang et al., MAS, arXiv 2307.11285.
 */
import { createHash } from 'node:crypto'
import { InvalidParametersError } from '../errors.ts'
import { affinityOf, meanOverSites } from '../affinity/tally.ts'
import { canonicalJson } from '../models/spec.ts'
import { charterHash } from './charter.ts'
import { chooseSplit } from '../affinity/split.ts'
import { deriveSeed } from '../random.ts'
import { localStepsOf } from '../training/spec.ts'
import type { Affinity } from '../affinity/matrix.ts'
import type { AffinitySums } from '../affinity/tally.ts'
import type { Charter } from './charter.ts'
import type { GroupingSpec } from './grouping.ts'
import type { Partition, Valued } from '../affinity/partition.ts'

/** Tasks that train together after the split. */
export interface TaskGroup {
  readonly index: number
  /** In the charter's order. */
  readonly tasks: readonly string[]
}

/** What one site has measured over the charter's tasks. */
export interface SiteSums extends AffinitySums {
  readonly site: string
}

/** A way to group the tasks, and what it is worth by the affinities. */
export interface ValuedGroups {
  readonly groups: ReadonlyArray<readonly string[]>
  readonly value: number
}

export interface TaskPartition {
  /** Order of rows and columns of the affinities. */
  readonly tasks: readonly string[]
  /** Row: the task that steps; column: the task that is watched; NaN where nobody has measured. */
  readonly affinity: Affinity
  readonly groups: readonly TaskGroup[]
  /** Why these groups, in one line. */
  readonly reason: string
  /** Absent where nothing was searched: tasks that were not measured, or a single task. */
  readonly best?: ValuedGroups
  readonly runnerUp?: ValuedGroups
  /** Value of one group of all tasks; NaN where a pair was not measured. */
  readonly allInOne: number
  /** sha-256 of charter and groups, hex: two peers that have the same one train the same groups. */
  readonly hash: string
}

/** Gradient steps through the encoder, summed over clients. */
export interface EncoderSteps {
  readonly merged: number
  /** Extra passes while measuring: one per probed batch and task. */
  readonly probes: number
  readonly groups: readonly number[]
  readonly total: number
  /** What training all tasks as one model for all rounds, and every task alone, would take. */
  readonly allInOne: number
  readonly oneByOne: number
}

/** @throws {InvalidParametersError} a charter without a `grouping` section */
export function groupingOf ({ name, grouping }: Charter): GroupingSpec {
  if (grouping === undefined) throw new InvalidParametersError(`the charter of ${name} has no grouping section`, { next: 'make it with --strategy mas' })
  return grouping
}

/** Rounds of phase one and of phase two. */
export function phaseRounds (charter: Charter): { merged: number, group: number } {
  const { mergedRounds } = groupingOf(charter)
  return { merged: mergedRounds, group: charter.training.rounds - mergedRounds }
}

/** All tasks as one model. Keeps the grouping section: who trains under it measures. */
export function mergedCharter (charter: Charter): Charter {
  return { ...charter, name: `${charter.name}.merged`, training: { ...charter.training, rounds: phaseRounds(charter).merged } }
}

/**
 * The rest of the rounds for one group's tasks. Batches are drawn anew: steps count from 0 again, and would repeat those of
 * the merged phase.
 */
export function groupCharter (charter: Charter, { index, tasks }: TaskGroup): Charter {
  const { grouping, ...rest } = charter
  const { model, training, seed, name, shared } = rest
  return {
    ...rest,
    name: `${name}.${index}`,
    seed: deriveSeed(seed, 'group', ...tasks),
    tasks: charter.tasks.filter(({ id }) => tasks.includes(id)),
    model: { ...model, sharedHeads: model.sharedHeads.filter(id => tasks.includes(id)) },
    training: { ...training, rounds: phaseRounds(charter).group },
    shared: shared.filter(unit => !unit.startsWith('head/') || tasks.includes(unit.slice('head/'.length)))
  }
}

/**
 * The groups that the sites' measurements ask for; the same bits in whatever order the sites come.
 * @throws {InvalidParametersError} a site twice, or sums and counts of another number of tasks
 */
export function partitionOf (sites: readonly SiteSums[], charter: Charter): TaskPartition {
  const grouping = groupingOf(charter)
  const tasks = charter.tasks.map(({ id }) => id)
  if (new Set(sites.map(({ site }) => site)).size < sites.length) throw new InvalidParametersError('a site has sent its affinities twice')
  for (const { site, sums, counts } of sites) {
    if (sums.length !== tasks.length ** 2 || counts.length !== sums.length) throw new InvalidParametersError(`${site} sent ${sums.length} sums and ${counts.length} counts, ${tasks.length} tasks have ${tasks.length ** 2}`)
  }
  const affinity = meanOverSites(sites.map(row => ({ site: row.site, affinity: affinityOf(row, tasks.length) })), tasks.length)
  const all = [tasks.map((_, task) => task)]
  const split = tasks.length < 2
    ? { groups: all, allInOne: 0, reason: 'one group: there is one task' }
    : sites.every(({ counts }) => counts.every(count => count === 0))
      ? { groups: all, allInOne: Number.NaN, reason: 'one group: nobody has measured, which takes a client with two tasks or more' }
      : chooseSplit(affinity, { ...grouping, names: tasks })
  const named = (groups: Partition): ReadonlyArray<readonly string[]> => groups.map(group => group.map(task => tasks[task] as string))
  const valued = (found: Valued | undefined): ValuedGroups | undefined => found === undefined ? undefined : { groups: named(found.groups), value: found.value }
  const [best, runnerUp] = 'best' in split ? [valued(split.best), valued(split.runnerUp)] : []
  const groups = named(split.groups)
  return {
    tasks,
    affinity,
    groups: groups.map((tasks, index) => ({ index, tasks })),
    reason: split.reason,
    ...best === undefined ? {} : { best },
    ...runnerUp === undefined ? {} : { runnerUp },
    allInOne: split.allInOne,
    hash: createHash('sha256').update(canonicalJson({ charter: charterHash(charter), groups })).digest('hex')
  }
}

/**
 * What a run takes if every client takes part in every step.
 * @param sites - tasks of each client
 */
export function encoderSteps (charter: Charter, { groups }: Pick<TaskPartition, 'groups'>, sites: ReadonlyArray<readonly string[]>): EncoderSteps {
  const { affinityRounds, every } = groupingOf(charter)
  const rounds = phaseRounds(charter)
  const perRound = charter.training.stepsPerRound * localStepsOf(charter.training)
  const perSite = (of: (tasks: readonly string[]) => number): number => sites.reduce((sum, tasks) => sum + of(tasks), 0)
  const merged = perSite(() => rounds.merged * perRound)
  const probes = perSite(tasks => tasks.length < 2 ? 0 : Math.ceil(affinityRounds * perRound / every) * tasks.length)
  const inGroups = groups.map(group => perSite(tasks => tasks.some(task => group.tasks.includes(task)) ? rounds.group * perRound : 0))
  const all = charter.training.rounds * perRound
  return {
    merged,
    probes,
    groups: inGroups,
    total: merged + probes + inGroups.reduce((sum, steps) => sum + steps, 0),
    allInOne: perSite(() => all),
    oneByOne: perSite(tasks => tasks.length * all)
  }
}
