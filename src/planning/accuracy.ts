/**
 * What codecs at the cut were measured to cost: paired with float32 on the same seeds, everything else equal. Checked
 * against the files it is taken from by test/planning/accuracy.test.ts.
 */
import type { CodecName } from '../compression/index.ts'

export const COST_METRICS = ['federated', 'ensemble', 'served'] as const
export type CostMetric = typeof COST_METRICS[number]

/** Mean over seeds of codec minus f32, each the mean test metric (higher is better) over clients and tasks. */
export interface MeasuredCost {
  readonly codec: Exclude<CodecName, 'f32'>
  readonly data: string
  readonly seeds: number
  readonly difference: Readonly<Record<CostMetric, number>>
  /** Where the runs are, below scripts/bench/results. */
  readonly file: string
}

export interface AccuracyCost {
  /** Largest measured mean loss over data sets and metrics; below 0 where all gained, 0 for f32. */
  readonly loss: number
  readonly worst: { readonly data: string, readonly metric: CostMetric, readonly seeds: number } | undefined
}

export const MEASURED: readonly MeasuredCost[] = [
  { codec: 'f16', data: 'digits', seeds: 3, difference: { federated: -0.0001, ensemble: 0, served: 0 }, file: 'digits-codecs.json' },
  { codec: 'f16', data: 'scenes', seeds: 3, difference: { federated: -0.0016, ensemble: 0.0017, served: 0.0017 }, file: 'scenes-codecs.json' },
  { codec: 'bf16', data: 'digits', seeds: 3, difference: { federated: -0.0003, ensemble: 0.0001, served: 0.0006 }, file: 'digits-codecs.json' },
  { codec: 'bf16', data: 'scenes', seeds: 3, difference: { federated: -0.0005, ensemble: 0.0014, served: 0.0014 }, file: 'scenes-codecs.json' },
  { codec: 'int8', data: 'digits', seeds: 3, difference: { federated: -0.0013, ensemble: -0.0003, served: -0.0003 }, file: 'digits-codecs.json' },
  { codec: 'int8', data: 'scenes', seeds: 3, difference: { federated: -0.0008, ensemble: -0.0005, served: -0.0005 }, file: 'scenes-codecs.json' }
]

export function accuracyCost (codec: CodecName): AccuracyCost {
  return MEASURED.filter(entry => entry.codec === codec)
    .flatMap(({ data, seeds, difference }) => COST_METRICS.map(metric => ({ loss: -difference[metric], worst: { data, metric, seeds } })))
    .reduce<AccuracyCost>((most, cost) => most.worst === undefined || cost.loss > most.loss ? cost : most, { loss: 0, worst: undefined })
}
