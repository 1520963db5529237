/** What a site with a bench got out of it, on its test rows: the form of every strategy's report (src/training/committee.ts). */
import { combined } from './choice.ts'
import { createTask } from '../tasks/index.ts'
import { labelScopes } from '../training/scope-report.ts'
import { naturalTargets } from './rows.ts'
import { rowLosses } from '../tasks/row-losses.ts'
import { rowsOf } from '../training/own-models.ts'
import { serve } from '../ensemble/index.ts'
import { meanTensor } from '../tensor/tensor.ts'
import type { BenchEntry } from './model-bench.ts'
import type { Choice } from './choice.ts'
import type { ClientData } from '../data/dataset.ts'
import type { ClientReport } from '../training/committee.ts'
import type { Combination } from '../ensemble/index.ts'
import type { EvaluationSplit } from '../training/client-trainer.ts'
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
}

type ByTask = ReadonlyMap<string, TensorData>

/** The same two everywhere: they stand beside the candidates of other strategies. */
const [COMMITTEE, OWN, WITH_OWN, WITH_SIMPLE] = ['committee', 'ownEnsemble', 'ensemble', 'simple+federated'] as const

/**
 * Candidates: `local`, the site's own model with the best hold-out, `simple` where there is one, `bestLocal` of these two,
 * `ownEnsemble`, `bestSingle` by the hold-out, `wholeBench`, `simple+federated`, the mean of simple model and committee,
 * `committee`, which stands as `federated` where strategies are compared, and `ensemble`, the mean of committee and own ones.
 * That is served unless the hold-out gives evidence for another: a committee that 20 rows chose among hundreds fits these
 * rows. Mean over tasks and three seeds, faces and heart: committee .746 and .759, own ensemble .804 and .737, the two
 * averaged .814 and .771.
 */
export function benchReport (init: BenchReportInit): ClientReport {
  const { data, smoothing, combination, entries, committee, simple: { model, line } } = init
  const tasks = data.tasks.map(spec => createTask({ smoothing, ...spec }))
  const own = best(entries.filter(entry => entry.own))
  const answersOf = (split: EvaluationSplit): ReadonlyMap<string, ByTask> => {
    const by = (of: (able: readonly BenchEntry[], task: string) => readonly BenchEntry[]): ByTask => new Map(tasks.map(({ spec }) =>
      [spec.id, combined(spec, of(entries.filter(({ answers }) => answers.get(split)?.has(spec.id) === true), spec.id), split, combination)]))
    const chosen = by((_, task) => (committee.get(task) as Choice).members)
    const rows = rowsOf(data, split)
    const simple = model?.predict(rows)
    return new Map([
      ['local', by(() => [own])],
      [OWN, by(able => able.filter(entry => entry.own))],
      ['bestSingle', by(able => [best(able)])],
      ['wholeBench', by(able => able)],
      [COMMITTEE, chosen],
      [WITH_OWN, halfway(by(able => able.filter(entry => entry.own)), chosen)],
      ['federated', chosen],
      ...simple === undefined || rows.count === 0 ? [] : [['simple', simple] as const, [WITH_SIMPLE, halfway(simple, chosen)] as const]
    ])
  }
  const [holdout, test, all] = [answersOf('holdout'), answersOf('test'), data.all === undefined ? undefined : answersOf('all')]
  const answering = (ids: readonly string[]): string[] => ids.filter(id => holdout.has(id) && test.has(id))
  const among = (ids: readonly string[]): Array<{ id: string, losses: Float64Array }> =>
    ids.map(id => ({ id, losses: rowLosses(tasks.map(task => ({ task, linked: holdout.get(id)?.get(task.spec.id) as TensorData, y: naturalTargets(task.spec, data.holdout) }))) }))
  // Shares of a few votes have no loss that could stand beside that of probabilities.
  const candidates = answering(combination === 'hard' ? [COMMITTEE] : [WITH_OWN, COMMITTEE, OWN, WITH_SIMPLE, 'simple'])
  const decision = serve({ default: candidates[0] as string, candidates: among(candidates) })
  const bestLocal = test.has('simple') && serve({ default: 'simple', candidates: among(answering(['simple', 'local'])), k: 0 }).served === 'simple' ? 'simple' : 'local'
  return {
    client: data.id,
    served: decision.served,
    reason: `${decision.reason}; ${[...committee].map(([task, { explanation: { reason } }]) => `${task}: ${reason}`).join('; ')}`,
    bestLocal,
    simple: line,
    tasks: tasks.map(task => {
      const { id, metric } = task.spec
      const scores: Record<string, Scores> = Object.fromEntries([...test].map(([name, answers]) => [name, task.score(answers.get(id) as TensorData, naturalTargets(task.spec, data.test))]))
      scores.bestLocal = scores[bestLocal] as Scores
      scores.served = scores[decision.served] as Scores
      const { higherIsBetter, support } = scores.served
      const scopes = labelScopes(task, {
        data,
        shown: [...test.keys()],
        bestLocal,
        amongOwn: candidates,
        amongAll: others => ({ served: 'wholeBench', reason: `wholeBench: the committee was chosen by rows that have none of the other ${others} labels` }),
        answers: (split, candidate) => ({ holdout, test, all })[split]?.get(candidate)?.get(id) as TensorData,
        targets: (y, count) => naturalTargets(task.spec, { y: { [id]: y }, count })
      })
      return { id, metric, higherIsBetter, support, scores, ...scopes === undefined ? {} : { scopes } }
    })
  }
}

/** By the hold-out, over all tasks in common; the first of equals. */
function best (entries: readonly BenchEntry[]): BenchEntry {
  return entries.reduce((a, b) => b.accuracy > a.accuracy ? b : a)
}

function halfway (one: ByTask, other: ByTask): ByTask {
  return new Map([...one].map(([task, answers]) => [task, meanTensor([answers, other.get(task) as TensorData])]))
}
