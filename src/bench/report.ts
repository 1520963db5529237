/** What a site with a bench got out of it, on its test rows: the form of every strategy's report (src/training/committee.ts). */
import { combined } from './choice.ts'
import { createTask } from '../tasks/index.ts'
import { naturalTargets } from './rows.ts'
import type { BenchEntry } from './model-bench.ts'
import type { Choice } from './choice.ts'
import type { ClientData } from '../data/dataset.ts'
import type { ClientReport, TaskReport } from '../training/committee.ts'
import type { Combination } from '../ensemble/index.ts'
import type { Scores } from '../tasks/task.ts'

export interface BenchReportInit {
  readonly data: ClientData
  readonly smoothing: number
  readonly combination: Combination
  readonly entries: readonly BenchEntry[]
  readonly committee: ReadonlyMap<string, Choice>
}

/**
 * Candidates: `local`, the site's own model with the best hold-out, `ownEnsemble`, `bestSingle` by the hold-out, `wholeBench`,
 * and `committee`, which is served and stands as `federated` where strategies are compared.
 */
export function benchReport ({ data, smoothing, combination, entries, committee }: BenchReportInit): ClientReport {
  const tasks = data.tasks.map((spec): TaskReport => {
    const task = createTask({ smoothing, ...spec })
    const { members } = committee.get(spec.id) as Choice
    const able = entries.filter(({ answers }) => answers.get('test')?.has(spec.id) === true)
    const own = able.filter(entry => entry.own)
    const y = naturalTargets(spec, data.test)
    const of = (entries: readonly BenchEntry[]): Scores => task.score(combined(spec, entries, 'test', combination), y)
    const local = of([best(own)])
    const served = of(members)
    const scores = { local, bestLocal: local, ownEnsemble: of(own), bestSingle: of([best(able)]), wholeBench: of(able), committee: served, federated: served, served }
    return { id: spec.id, metric: spec.metric, higherIsBetter: served.higherIsBetter, support: served.support, scores }
  })
  return {
    client: data.id,
    served: 'committee',
    reason: [...committee].map(([task, { explanation: { reason } }]) => `${task}: ${reason}`).join('; '),
    bestLocal: 'local',
    tasks
  }
}

/** By the hold-out, over all tasks in common; the first of equals. */
function best (entries: readonly BenchEntry[]): BenchEntry {
  return entries.reduce((a, b) => b.accuracy > a.accuracy ? b : a)
}
