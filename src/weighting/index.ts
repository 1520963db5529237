/** The loss weightings by name: what a charter's `projection.weighting` may say. A new one is one file and one line here. */
import { dwa } from './dwa.ts'
import { gradnorm } from './gradnorm.ts'
import { uncertainty } from './uncertainty.ts'
import type { OptionRanges } from '../options.ts'
import type { LossWeighting, WeightingInit } from './weighting.ts'

export type { LossWeighting, SeenStep, WeightingInit } from './weighting.ts'

interface Entry {
  readonly source: string
  readonly options: OptionRanges
  readonly make: (init: WeightingInit) => LossWeighting
}

const WEIGHTINGS = {
  dwa: { source: 'Liu et al., CVPR 2019', options: { temperature: { what: 'a number above 0', fits: (v) => v > 0 && v < Infinity } }, make: dwa },
  gradnorm: { source: 'Chen et al., ICML 2018', options: { alpha: { what: 'a number from 0 to 10', fits: (v) => v >= 0 && v <= 10 } }, make: gradnorm },
  uncertainty: { source: 'Kendall et al., CVPR 2018', options: {}, make: uncertainty }
} as const satisfies Readonly<Record<string, Entry>>

export type WeightingName = keyof typeof WEIGHTINGS

export const weightingNames = Object.keys(WEIGHTINGS) as readonly WeightingName[]

export function createWeighting (name: WeightingName, init: WeightingInit): LossWeighting { return WEIGHTINGS[name].make(init) }

/** What each option of a weighting may be. */
export function weightingOptions (name: WeightingName): OptionRanges { return WEIGHTINGS[name].options }

/** Where a weighting was published. */
export function weightingSource (name: WeightingName): string { return WEIGHTINGS[name].source }
