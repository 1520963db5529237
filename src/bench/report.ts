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
import type { SimpleFit } from '../training/simple/index.ts'
import type { TensorData } from '../tensor/tensor.ts'

export interface BenchReportInit {
  readonly data: ClientData
  readonly smoothing: number
  readonly combination: Combination
  readonly entries: readonly BenchEntry[]
  readonly committee: ReadonlyMap<string, Choice>
  /** The site's linear model, and the line on it. */
  readonly simple: SimpleFit
  /** On the hold-out, mean over the tasks. */
  readonly accuracyOf: (answers: ReadonlyMap<string, TensorData>) => number
}

/**
 * Candidates: `local`, the site's own model with the best hold-out, `simple` where there is one, `bestLocal` of these two,
 * `ownEnsemble`, `bestSingle` by the hold-out, `wholeBench`, and `committee`, which is served and stands as `federated` where
 * strategies are compared.
 */
export function benchReport ({ data, smoothing, combination, entries, committee, simple, accuracyOf }: BenchReportInit): ClientReport {
  const { model, line } = simple
  const simpleAnswers = model?.predict(data.test)
  const own = best(entries.filter(entry => entry.own))
  const bestLocal = model === undefined || accuracyOf(model.predict(data.holdout)) < own.accuracy ? 'local' : 'simple'
  const tasks = data.tasks.map((spec): TaskReport => {
    const task = createTask({ smoothing, ...spec })
    const { members } = committee.get(spec.id) as Choice
    const able = entries.filter(({ answers }) => answers.get('test')?.has(spec.id) === true)
    const y = naturalTargets(spec, data.test)
    const of = (entries: readonly BenchEntry[]): Scores => task.score(combined(spec, entries, 'test', combination), y)
    const local = of([own])
    const simple = simpleAnswers === undefined ? undefined : task.score(simpleAnswers.get(spec.id) as TensorData, y)
    const served = of(members)
    const scores = {
      local,
      ...simple === undefined ? {} : { simple },
      bestLocal: bestLocal === 'simple' && simple !== undefined ? simple : local,
      ownEnsemble: of(able.filter(entry => entry.own)),
      bestSingle: of([best(able)]),
      wholeBench: of(able),
      committee: served,
      federated: served,
      served
    }
    return { id: spec.id, metric: spec.metric, higherIsBetter: served.higherIsBetter, support: served.support, scores }
  })
  return {
    client: data.id,
    served: 'committee',
    reason: [...committee].map(([task, { explanation: { reason } }]) => `${task}: ${reason}`).join('; '),
    bestLocal,
    simple: line,
    tasks
  }
}

/** By the hold-out, over all tasks in common; the first of equals. */
function best (entries: readonly BenchEntry[]): BenchEntry {
  return entries.reduce((a, b) => b.accuracy > a.accuracy ? b : a)
}
