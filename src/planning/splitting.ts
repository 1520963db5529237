/**
 * What training in groups of tasks would cost, from a run that measured how tasks affect each other. Encoder passes are
 * counted in rounds of one client (Zhuang et al., MAS, arXiv 2307.11285):
 *
 *     all in one   R
 *     one by one   n R
 *     groups       R0 + k (R - R0), and n / rho in each of the rounds in which it is measured
 *
 * n tasks and k groups are those of a client: who has one task of five trains one group.
 */
import { defaultGrouping } from '../federation/grouping.ts'
import { TrafficPlan } from './traffic.ts'
import { measuredRound, siteOf } from './measured.ts'
import type { Charter } from '../federation/charter.ts'
import type { FrameBytes, Traffic } from './traffic.ts'
import type { MeasuredAffinity, MeasuredRun } from './run.ts'

export interface SplitCost {
  readonly plan: 'all in one' | 'groups' | 'one by one'
  /** Mean over clients, in rounds of one client. */
  readonly encoderPasses: number
  /** Mean over clients, both ways; null without a charter. */
  readonly bytes: number | null
  readonly seconds: number | null
}

export interface SplitFindings extends MeasuredAffinity {
  readonly rounds: number
  readonly mergedRounds: number
  readonly costs: readonly SplitCost[]
}

export function splittingOf (run: MeasuredRun, affinity: MeasuredAffinity, sizeOf: FrameBytes): SplitFindings {
  const { charter } = run
  const rounds = charter?.training.rounds ?? 1 + Math.max(...run.rounds.map(({ round }) => round))
  const { mergedRounds, affinityRounds, every } = { ...defaultGrouping(rounds), ...charter?.grouping }
  const { seconds } = measuredRound(run)
  const clients = run.clients.length > 0 ? run.clients.map(({ tasks }) => tasks.filter(task => affinity.tasks.includes(task))) : [affinity.tasks]
  const mean = (of: (tasks: readonly string[]) => number): number => clients.reduce((total, tasks) => total + of(tasks), 0) / clients.length
  const groupsOf = (tasks: readonly string[]): ReadonlyArray<readonly string[]> => affinity.groups.map(group => group.filter(task => tasks.includes(task))).filter(group => group.length > 0)
  const bytesOf = charter === undefined ? undefined : roundBytes(charter, run.hosts - 1, sizeOf)
  const cost = (plan: SplitCost['plan'], passes: (tasks: readonly string[]) => number, bytes: (tasks: readonly string[], of: (tasks: readonly string[]) => number) => number): SplitCost => {
    const encoderPasses = mean(passes)
    return { plan, encoderPasses, bytes: bytesOf === undefined ? null : mean(tasks => bytes(tasks, bytesOf)), seconds: seconds === null ? null : encoderPasses * seconds }
  }
  const rest = rounds - mergedRounds
  return {
    ...affinity,
    rounds,
    mergedRounds,
    costs: [
      cost('all in one', () => rounds, (tasks, of) => rounds * of(tasks)),
      cost('groups',
        tasks => mergedRounds + groupsOf(tasks).length * rest + (tasks.length < 2 ? 0 : affinityRounds * tasks.length / every),
        (tasks, of) => mergedRounds * of(tasks) + rest * groupsOf(tasks).reduce((total, group) => total + of(group), 0)),
      cost('one by one', tasks => tasks.length * rounds, (tasks, of) => rounds * tasks.reduce((total, task) => total + of([task]), 0))
    ]
  }
}

/** Of one client with these tasks and no others, both ways. */
function roundBytes (charter: Charter, otherHosts: number, sizeOf: FrameBytes): (tasks: readonly string[]) => number {
  const known = new Map<string, number>()
  return tasks => {
    const key = tasks.join('\n')
    let bytes = known.get(key)
    if (bytes === undefined) {
      const { up, down } = roundOf(charter, tasks, otherHosts, sizeOf)
      known.set(key, bytes = up + down)
    }
    return bytes
  }
}

function roundOf (charter: Charter, tasks: readonly string[], otherHosts: number, sizeOf: FrameBytes): Traffic {
  const site = siteOf(charter, { tasks, samples: { train: charter.training.batch, holdout: 0, test: 0 } })
  return new TrafficPlan(charter, site, { codec: charter.cutCodec, sizeOf }).round(otherHosts)
}
