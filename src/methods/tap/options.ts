import { checkOptions } from '../../options.ts'
import type { InputSpec } from '../../data/dataset.ts'
import type { NumberRange } from '../../options.ts'
import type { TaskSpec } from '../../tasks/task.ts'

export interface TapOptions {
  /** By how much the agreed model must be better on a task before it replaces the personal one; small: text classes, pictures as output. */
  readonly margin: number
  readonly smallMargin: number
  /** What is replaced: all modules on the task's path, or those that no other task passes through. */
  readonly copies: 'path' | 'own'
  /** Share of the sites that trains in a step. */
  readonly share: number
  /** Steps over which the rate rises, from `lowRate` times the peak; stage 2 goes at that rate. */
  readonly warmupRounds: number
  readonly lowRate: number
  /** Weight of the distillation; of text classes the second one. */
  readonly kdWeight: number
  readonly kdWeightText: number
  readonly temperature: number
  /** Gradient steps of stage 2, once for the teacher and once for the personal model. */
  readonly tuneSteps: number
  /** Longest gradient; 0: any. */
  readonly clip: number
  /** A site is done with stage 1 when no module moved by more than this share for `patience` of its steps; 0: when the run is. */
  readonly tolerance: number
  readonly patience: number
}

/**
 * Margins are the original's; it warms up over 20 of 200 rounds, and recipes here have 10. The weights and steps of stage 2 are
 * those of small models: at .002 its effect was not to be seen.
 */
const DEFAULTS: TapOptions = {
  margin: 0.01,
  smallMargin: 0.005,
  copies: 'path',
  share: 1,
  warmupRounds: 2,
  lowRate: 1 / 3,
  kdWeight: 0.5,
  kdWeightText: 1,
  temperature: 1,
  tuneSteps: 40,
  clip: 1,
  tolerance: 0,
  patience: 3
}

const FROM_ZERO: NumberRange = { what: 'a number from 0', fits: value => value >= 0 && Number.isFinite(value) }
const SHARE: NumberRange = { what: 'a number above 0 and up to 1', fits: value => value > 0 && value <= 1 }
const COUNT: NumberRange = { what: 'a whole number from 0 to 65536', fits: value => Number.isInteger(value) && value >= 0 && value <= 65536 }

/** @throws {InvalidParametersError} */
export function tapOptions (raw: Readonly<Record<string, unknown>>): TapOptions {
  checkOptions('method', 'tap', raw, {
    margin: FROM_ZERO,
    smallMargin: FROM_ZERO,
    copies: ['path', 'own'],
    share: SHARE,
    warmupRounds: COUNT,
    lowRate: SHARE,
    kdWeight: FROM_ZERO,
    kdWeightText: FROM_ZERO,
    temperature: { what: 'a number above 0', fits: value => value > 0 && Number.isFinite(value) },
    tuneSteps: COUNT,
    clip: FROM_ZERO,
    tolerance: FROM_ZERO,
    patience: { what: 'a whole number from 1 to 65536', fits: value => Number.isInteger(value) && value >= 1 && value <= 65536 }
  })
  return { ...DEFAULTS, ...raw }
}

export function marginOf ({ kind }: TaskSpec, { modality }: InputSpec, { margin, smallMargin }: TapOptions): number {
  return (modality === 'tokens' && kind === 'classes') || (modality === 'image' && kind === 'dense-regression') ? smallMargin : margin
}

export function kdWeightOf ({ kind }: TaskSpec, { modality }: InputSpec, { kdWeight, kdWeightText }: TapOptions): number {
  return modality === 'tokens' && kind === 'classes' ? kdWeightText : kdWeight
}
