/**
 * Metrics of the label kinds. All are NaN where the rows at hand do not define them (no labelled row; AUROC with
 * one class only), never 0 or 1 by convention.
 */
import { isLabel } from './cross-entropy.ts'
import { InvalidParametersError } from '../errors.ts'
import type { TensorData } from '../tensor/tensor.ts'
import type { Scores, TaskKind, TaskSpec } from './task.ts'

/** Every metric of a kind, and whether more is better. */
export const METRICS: Readonly<Record<TaskKind, Readonly<Record<string, boolean>>>> = {
  classes: { accuracy: true, macroF1: true, auroc: true, loss: false },
  regression: { mae: false, rmse: false, loss: false },
  direction: { angle: false, loss: false },
  'token-classes': { accuracy: true, macroF1: true, nonO: true, loss: false },
  'dense-classes': { meanIoU: true, pixelAccuracy: true, loss: false },
  'dense-regression': { mae: false, rmse: false, loss: false },
  'dense-direction': { angle: false, loss: false },
  'dense-binary': { f1: true, precision: true, recall: true, loss: false }
}

/** Puts the metric that tables show in front of the others. */
export function scores (spec: TaskSpec, support: number, all: Readonly<Record<string, number>>, classes?: Scores['classes']): Scores {
  const value = all[spec.metric]
  const higherIsBetter = METRICS[spec.kind][spec.metric]
  if (value === undefined || higherIsBetter === undefined) {
    throw new InvalidParametersError(`task ${spec.id}: no metric '${spec.metric}', there are ${Object.keys(all).join(', ')}`)
  }
  return { metric: spec.metric, value, higherIsBetter, support, all, ...(classes === undefined ? {} : { classes }) }
}

/** counts[truth * channels + prediction] over the labelled positions; the prediction is the first largest channel. */
export function confusion (linked: TensorData, y: TensorData, channels: number): { counts: Float64Array, support: number } {
  const counts = new Float64Array(channels * channels)
  let support = 0
  for (let p = 0; p < y.data.length; p++) {
    const label = y.data[p] as number
    if (!isLabel(label)) continue
    const cell = label * channels + argmax(linked.data, p * channels, channels)
    counts[cell] = (counts[cell] as number) + 1
    support++
  }
  return { counts, support }
}

function argmax (data: Float32Array, start: number, length: number): number {
  let best = 0
  for (let c = 1; c < length; c++) if ((data[start + c] as number) > (data[start + best] as number)) best = c
  return best
}

export interface ClassTable {
  readonly accuracy: number
  /** Mean over the classes that occur among the labels or the predictions. */
  readonly macroF1: number
  readonly meanIoU: number
  readonly classes: NonNullable<Scores['classes']>
}

export function classTable (counts: Float64Array, spec: TaskSpec): ClassTable {
  const channels = spec.channels
  const classes: Array<NonNullable<Scores['classes']>[number]> = []
  let total = 0
  let hits = 0
  let present = 0
  let f1Sum = 0
  let iouSum = 0
  for (let c = 0; c < channels; c++) {
    const hit = counts[c * channels + c] as number
    let support = 0
    let predicted = 0
    for (let other = 0; other < channels; other++) {
      support += counts[c * channels + other] as number
      predicted += counts[other * channels + c] as number
    }
    total += support
    hits += hit
    const f1 = ratio(2 * hit, support + predicted)
    if (support + predicted > 0) {
      present++
      f1Sum += f1
      iouSum += hit / (support + predicted - hit)
    }
    classes.push({ name: spec.classNames?.[c] ?? String(c), support, recall: ratio(hit, support), precision: ratio(hit, predicted), f1 })
  }
  return { accuracy: ratio(hits, total), macroF1: ratio(f1Sum, present), meanIoU: ratio(iouSum, present), classes }
}

export function ratio (part: number, whole: number): number { return whole === 0 ? NaN : part / whole }

/**
 * Area under the ROC curve by ranks (Mann-Whitney U, ties share their mean rank). Two classes: of the second
 * class's probability; more: the mean of one-vs-rest over the classes that have rows on both sides.
 */
export function auroc (linked: TensorData, y: TensorData, channels: number): number {
  const labelled: number[] = []
  for (let p = 0; p < y.data.length; p++) if (isLabel(y.data[p] as number)) labelled.push(p)
  let sum = 0
  let n = 0
  for (let c = channels === 2 ? 1 : 0; c < channels; c++) {
    const area = rankArea(
      labelled.map((p) => linked.data[p * channels + c] as number),
      labelled.map((p) => y.data[p] === c)
    )
    if (Number.isNaN(area)) continue
    sum += area
    n++
  }
  return ratio(sum, n)
}

function rankArea (values: readonly number[], positive: readonly boolean[]): number {
  const order = values.map((_, i) => i).sort((a, b) => (values[a] as number) - (values[b] as number))
  let positives = 0
  let rankSum = 0
  for (let i = 0; i < order.length;) {
    let end = i + 1
    while (end < order.length && values[order[end] as number] === values[order[i] as number]) end++
    const rank = (i + 1 + end) / 2
    for (; i < end; i++) {
      if (positive[order[i] as number] !== true) continue
      positives++
      rankSum += rank
    }
  }
  const pairs = positives * (order.length - positives)
  return ratio(rankSum - positives * (positives + 1) / 2, pairs)
}
