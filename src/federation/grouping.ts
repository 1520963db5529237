/**
 * The `grouping` section of a charter: train all tasks merged for some rounds, measure on the way what they do to each
 * other, and train the rest of the rounds in groups that help each other (./groups.ts).
 */
import { InvalidParametersError } from '../errors.ts'
import { MAX_TASKS } from '../affinity/split.ts'
import { refuseUnknown } from '../models/spec.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { TaskSpec } from '../tasks/task.ts'
import type { TrainingSpec } from '../training/spec.ts'

export interface GroupingSpec {
  /** Rounds in which all tasks train as one model, R0. Default: 30 % of all. */
  readonly mergedRounds: number
  /** The first rounds of those, in which clients measure. Default: a third of them. */
  readonly affinityRounds: number
  /** Gradient steps from one measurement to the next. Default 10. */
  readonly every: number
  /** Groups at most, k. Default 2. */
  readonly groups: number
  /** k groups, no fewer. Default false. */
  readonly exact: boolean
  /** What a split must be worth more than one group. Default 0. */
  readonly margin: number
  /** The same as a share of the larger of the two values, 0 to 2. Default .25. */
  readonly gain: number
}

/** As the authors split: of 100 rounds 30 merged, of those 10 measured, every tenth batch. */
const MERGED_SHARE = 0.3
const AFFINITY_SHARE = 1 / 3
/**
 * Defaults that do not follow from the charter's rounds. The best split is nearly always worth a little more than one group: where
 * tasks share one direction it was worth up to 11 % more in 16 of 20 seeds, where they have nothing in common 77 % and more
 * (the toys of test/affinity/toy.test.ts).
 */
export const GROUPING = { every: 10, groups: 2, exact: false, margin: 0, gain: 0.25 } as const

/** @throws {InvalidParametersError} a setting that is unknown, cannot be, or does not fit the rest of the charter */
export function parseGrouping (raw: unknown, { tasks, model, training }: { tasks: readonly TaskSpec[], model: ModelSpec, training: TrainingSpec }): GroupingSpec {
  if (raw === null || typeof raw !== 'object' || Array.isArray(raw)) throw new InvalidParametersError(`grouping must be a section of settings, got ${String(raw)}`)
  refuseUnknown('grouping', raw, ['mergedRounds', 'affinityRounds', ...Object.keys(GROUPING)])
  const { rounds, personal, attention } = training
  if (model.trunk !== 'client') throw new InvalidParametersError('grouping needs the whole model at the client', { next: 'set model.trunk to client, or leave grouping out' })
  if (model.kind === 'linear') throw new InvalidParametersError('grouping splits a trunk, and a linear model has none', { next: 'leave grouping or model.kind out' })
  if (attention !== undefined) throw new InvalidParametersError('grouping splits the agreed model, and training.attention leaves none', { next: 'leave either out' })
  if (personal !== undefined) throw new InvalidParametersError(`grouping splits the agreed model, and training.personal ${personal} serves another one`, { next: 'leave either out' })
  if (tasks.length > MAX_TASKS) throw new InvalidParametersError(`grouping can split ${MAX_TASKS} tasks at most, these are ${tasks.length}`, { next: 'choose fewer tasks, or leave grouping out' })
  if (rounds < 2) throw new InvalidParametersError('grouping takes two rounds or more: some merged, the rest in groups', { next: 'set training.rounds to 2 or more' })
  const { mergedRounds = defaultGrouping(rounds).mergedRounds, ...rest } = raw as Partial<GroupingSpec>
  const { affinityRounds = share(AFFINITY_SHARE, mergedRounds), every, groups, exact, margin, gain } = { ...GROUPING, ...rest }
  whole('mergedRounds', mergedRounds)
  if (mergedRounds >= rounds) throw new InvalidParametersError(`grouping.mergedRounds ${mergedRounds} leaves none of ${rounds} rounds to train in groups`, { next: `take 1 to ${rounds - 1}` })
  whole('affinityRounds', affinityRounds)
  if (affinityRounds > mergedRounds) throw new InvalidParametersError(`grouping.affinityRounds ${affinityRounds} is more than the ${mergedRounds} merged rounds`, { next: `take 1 to ${mergedRounds}` })
  whole('every', every)
  whole('groups', groups)
  if (typeof exact !== 'boolean') throw new InvalidParametersError(`grouping.exact must be true or false, got ${String(exact)}`)
  if (exact && tasks.length > 1 && groups > tasks.length) throw new InvalidParametersError(`grouping.groups ${groups} is more than the ${tasks.length} tasks`, { next: `take 1 to ${tasks.length}, or set grouping.exact to false` })
  if (typeof margin !== 'number' || !(margin >= 0 && margin < Infinity)) throw new InvalidParametersError(`grouping.margin must be a number from 0, got ${String(margin)}`)
  if (typeof gain !== 'number' || !(gain >= 0 && gain <= 2)) throw new InvalidParametersError(`grouping.gain must be a number from 0 to 2, got ${String(gain)}`)
  return { mergedRounds, affinityRounds, every, groups, exact, margin, gain }
}

/** What a charter of so many rounds gets where it says no more. */
export function defaultGrouping (rounds: number): GroupingSpec {
  const mergedRounds = share(MERGED_SHARE, rounds)
  return { ...GROUPING, mergedRounds, affinityRounds: share(AFFINITY_SHARE, mergedRounds) }
}

function share (of: number, rounds: number): number { return Math.max(1, Math.round(of * rounds)) }

function whole (key: string, value: unknown): void {
  if (!Number.isInteger(value) || (value as number) < 1) throw new InvalidParametersError(`grouping.${key} must be a whole number from 1, got ${String(value)}`)
}
