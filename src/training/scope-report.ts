/** A task's scores with restricted and with all labels (./label-scopes.ts), where a site's rows lack some of its classes. */
import { ownLabels, restricted, within } from './label-scopes.ts'
import { serve } from '../ensemble/serve.ts'
import type { ClientData } from '../data/dataset.ts'
import type { EvaluationSplit } from './client-trainer.ts'
import type { LabelScopes } from './label-scopes.ts'
import type { Scores, Task } from '../tasks/task.ts'
import type { TensorData } from '../tensor/tensor.ts'

export interface ScopesInit {
  readonly data: ClientData
  /** Candidates with a score in the report. */
  readonly shown: readonly string[]
  readonly bestLocal: string | undefined
  /** Who may serve among the site's own labels, by the hold-out; the first one unless there is evidence for another. */
  readonly amongOwn: readonly string[]
  /** Who serves among all labels, and why: the hold-out has none of the others and cannot judge. */
  readonly amongAll: (others: number) => { readonly served: string, readonly reason: string }
  /** Linked outputs of a candidate for the task, and targets in their order. */
  readonly answers: (split: EvaluationSplit, candidate: string) => TensorData
  readonly targets: (y: Float32Array, rows: number) => TensorData
}

/** @returns undefined where the site's rows have all the labels that there are */
export function labelScopes (task: Task, { data, shown, bestLocal, amongOwn, amongAll, answers, targets }: ScopesInit): LabelScopes | undefined {
  const { spec } = task
  const labels = ownLabels(spec, data)
  if (labels === undefined) return undefined
  const { holdout, test, all = test } = data
  const scored = (served: string, score: (candidate: string) => Scores): Record<string, Scores> => {
    const scores = Object.fromEntries(shown.map(name => [name, withoutClasses(score(name))]))
    return { ...scores, ...bestLocal === undefined ? {} : { bestLocal: scores[bestLocal] as Scores }, served: scores[served] as Scores }
  }
  const holdoutY = targets(within(spec, holdout, labels), holdout.count)
  const decision = serve({
    default: amongOwn[0] as string,
    candidates: amongOwn.map(id => ({ id, losses: holdout.count === 0 ? [] : task.rowLoss(restricted(answers('holdout', id), labels), holdoutY).filter(loss => !Number.isNaN(loss)) }))
  })
  const ownY = targets(within(spec, test, labels), test.count)
  const allY = targets(all.y[spec.id] as Float32Array, all.count)
  const split = data.all === undefined ? 'test' : 'all'
  const { served, reason } = amongAll(spec.channels - labels.size)
  return {
    own: {
      classes: labels.size,
      scores: scored(decision.served, candidate => task.score(restricted(answers('test', candidate), labels), ownY)),
      served: decision.served,
      reason: decision.reason
    },
    all: { classes: spec.channels, scores: scored(served, candidate => task.score(answers(split, candidate), allY)), served, reason }
  }
}

/** @param scores - as a task gives them. A table per class for every candidate and scope would be most of a report. */
function withoutClasses ({ classes, ...scores }: Scores): Scores { return scores }
