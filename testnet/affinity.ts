/** How a run split its tasks, as the summary has it. Numbers that do not exist are null, as everywhere there. */
import type { EncoderSteps, TaskPartition, ValuedGroups } from '../src/federation/groups.ts'
import type { NodeEvent } from '../node/events.ts'

export interface SummaryAffinity {
  readonly tasks: readonly string[]
  /** Row: the task that steps; column: the task that is watched; above 0 it helps. null: not measured. */
  readonly matrix: ReadonlyArray<ReadonlyArray<number | null>>
  readonly groups: ReadonlyArray<readonly string[]>
  readonly reason: string
  readonly best: ValuedGroups | null
  readonly runnerUp: ValuedGroups | null
  /** Value of one group of all tasks. */
  readonly allInOne: number | null
  readonly hash: string
  readonly encoderSteps: EncoderSteps
}

export function affinityOf ({ partition, encoderSteps }: Extract<NodeEvent, { type: 'affinity' }>): SummaryAffinity {
  const { tasks, affinity, groups, reason, best, runnerUp, allInOne, hash }: TaskPartition = partition
  return {
    tasks,
    matrix: affinity.map(row => row.map(finite)),
    groups: groups.map(group => group.tasks),
    reason,
    best: best ?? null,
    runnerUp: runnerUp ?? null,
    allInOne: finite(allInOne),
    hash,
    encoderSteps
  }
}

/** What a child process says arrives as JSON: NaN is null by then. */
function finite (value: number | null): number | null { return value === null || !Number.isFinite(value) ? null : value }
