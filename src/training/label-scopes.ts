/**
 * Sites that lack some of a task's classes have two questions to ask, and each has its own answer:
 *
 *     own    which of the labels that I know is it?     the other classes' outputs are left out, and rows of other labels
 *     all    which of all members' labels is it?        nothing is left out
 *
 * A site's hold-out has its own labels alone: it is evidence for `own`, with the same labels left out, and blind for `all`.
 * Serving `all` by it gave .34 where the federated model has .85 (snips, all intents, seed 1), so there the federated model
 * answers, whose head all members taught.
 */
import { elements } from '../tensor/tensor.ts'
import type { ClientData, Rows } from '../data/dataset.ts'
import type { Scores, TaskSpec } from '../tasks/task.ts'
import type { TensorData } from '../tensor/tensor.ts'

export interface LabelScope {
  /** Classes that an answer is chosen from. */
  readonly classes: number
  /** Score by candidate, as in the report of the task, without the table per class. */
  readonly scores: Readonly<Record<string, Scores>>
  readonly served: string
  readonly reason: string
}

export interface LabelScopes {
  readonly own: LabelScope
  readonly all: LabelScope
}

/** Classes that a site's training and hold-out rows have, or undefined where these are all there are or the task has none. */
export function ownLabels (task: TaskSpec, { train, holdout }: Pick<ClientData, 'train' | 'holdout'>): ReadonlySet<number> | undefined {
  if (!['classes', 'token-classes', 'dense-classes'].includes(task.kind)) return undefined
  const labels = new Set<number>()
  for (const { y } of [train, holdout]) for (const label of y[task.id] as Float32Array) if (label >= 0) labels.add(label)
  return labels.size === 0 || labels.size === task.channels ? undefined : labels
}

/** Probabilities of these classes alone, summing to 1 again. */
export function restricted ({ shape, data }: TensorData, labels: ReadonlySet<number>): TensorData {
  const channels = shape.at(-1) as number
  const out = new Float32Array(data.length)
  for (let start = 0; start < data.length; start += channels) {
    let sum = 0
    for (const label of labels) sum += data[start + label] as number
    for (const label of labels) out[start + label] = sum > 0 ? (data[start + label] as number) / sum : 1 / labels.size
  }
  return { shape, data: out }
}

/** The same targets without the rows that have a label which is none of these. */
export function within (task: TaskSpec, { y, count }: Rows, labels: ReadonlySet<number>): Float32Array {
  const targets = (y[task.id] as Float32Array).slice()
  const size = elements(task.positions) * task.targets
  for (let row = 0; row < count; row++) {
    const own = targets.subarray(row * size, (row + 1) * size)
    if (own.some(label => label >= 0 && !labels.has(label))) own.fill(-1)
  }
  return targets
}
