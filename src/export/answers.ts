/** What a predictor said of rows, in words and figures. */
import type { Predictions } from '../training/mixed-model.ts'
import type { Predictor } from './predictor.ts'
import type { Rows } from '../data/dataset.ts'
import type { TensorData } from '../tensor/tensor.ts'

export interface TaskScore {
  readonly id: string
  readonly metric: string
  /** null where the rows have no labels that define it. */
  readonly value: number | null
  readonly higherIsBetter: boolean
  readonly support: number
}

export function scoresOf ({ tasks, targets }: Predictor, predictions: Predictions, { y, count }: Rows): readonly TaskScore[] {
  return tasks.map(task => {
    const { id } = task.spec
    const { metric, value, higherIsBetter, support } = task.score(predictions.get(id) as TensorData, targets(id, y[id] as Float32Array, count))
    return { id, metric, value: Number.isFinite(value) ? value : null, higherIsBetter, support }
  })
}

/** One JSON object a row: its number in the source, and per task the label with its probability, or all numbers. */
export function linesOf ({ tasks, placed }: Predictor, predictions: Predictions, { source, count }: Pick<Rows, 'source' | 'count'>): string {
  const all = tasks.map(({ spec }) => ({ spec, data: placed(spec.id, predictions.get(spec.id) as TensorData).data }))
  return Array.from({ length: count }, (_, row) => {
    const said = all.map(({ spec: { id, kind, channels, classNames }, data }) => {
      const numbers = data.subarray(row * data.length / count, (row + 1) * data.length / count)
      if (kind !== 'classes') return [id, [...numbers]] as const
      const label = numbers.indexOf(Math.max(...numbers))
      return [id, { label: classNames?.[label] ?? label, probability: numbers[label], all: [...numbers.subarray(0, channels)] }] as const
    })
    return JSON.stringify({ row: source[row], ...Object.fromEntries(said) })
  }).map(line => `${line}\n`).join('')
}
