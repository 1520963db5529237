/** The gradient rules by name: what a charter's `rule` may say. A new rule is one file and one line here. */
import { InvalidParametersError } from '../errors.ts'
import { checkOptions } from '../options.ts'
import { cagrad } from './cagrad.ts'
import { graddrop } from './graddrop.ts'
import { ATTENTIONS, gp } from './gp.ts'
import { imtlG } from './imtl-g.ts'
import { mean } from './mean.ts'
import { NORMALISATIONS, mgda } from './mgda.ts'
import { nashMtl } from './nash-mtl.ts'
import { pcgrad } from './pcgrad.ts'
import { withStrict } from './rule.ts'
import { upgrad } from './upgrad.ts'
import type { CagradInit } from './cagrad.ts'
import type { GraddropInit } from './graddrop.ts'
import type { GpInit } from './gp.ts'
import type { MeanInit } from './mean.ts'
import type { MgdaInit } from './mgda.ts'
import type { NashMtlInit } from './nash-mtl.ts'
import type { NumberRange, OptionRanges } from '../options.ts'
import type { PcgradInit } from './pcgrad.ts'
import type { GradientRule, SolvedRule } from './rule.ts'
import type { UpgradInit } from './upgrad.ts'

export { minDirectionCosine, coneProject } from './strict.ts'
export { gradientRule, withStrict } from './rule.ts'
export { cagrad, gp, graddrop, imtlG, mean, mgda, nashMtl, pcgrad, upgrad }
export type { ConeProjection } from './strict.ts'
export type { Row, RowSource } from '../kernels/index.ts'
export type { Aggregate, ConflictStats, GradientRule, RuleContext, RuleInput, RuleSolution, SolvedRule, SolverReport } from './rule.ts'
export type { Attention, GpInit } from './gp.ts'

export interface RuleOptions {
  /** End with one cone projection. Default: true for rules that are to avoid conflicts and may leave some; not for the mean, the control. */
  strict?: boolean
  reduce?: 'sum' | 'mean'
  attention?: 'none' | 'softmax-cos' | 'softmax-dot'
  tau?: number
  order?: 'ids' | 'round'
  weighting?: 'given' | 'uniform'
  c?: number
  rescale?: 0 | 1 | 2
  normalisation?: 'none' | 'l2'
  maxNorm?: number
  leak?: number
}

interface Entry {
  readonly strict: boolean
  readonly source: string
  readonly options: OptionRanges
  /** Whether it looks at the update before. */
  readonly history?: (options: RuleOptions) => boolean
  readonly make: (options: RuleOptions) => SolvedRule
}

const WEIGHTING = ['given', 'uniform'] as const
const REDUCE = ['sum', 'mean'] as const

const number = (what: string, fits: (value: number) => boolean): NumberRange => ({ what, fits })

const RULES: Readonly<Record<string, Entry>> = {
  cagrad: {
    strict: true,
    source: 'Liu et al., NeurIPS 2021',
    options: { c: number('a number from 0', (v) => v >= 0 && v < Infinity), rescale: number('0, 1 or 2', (v) => [0, 1, 2].includes(v)), weighting: WEIGHTING },
    make: (options) => cagrad(options satisfies CagradInit)
  },
  gp: {
    strict: true,
    source: 'Chen et al., arXiv 2306.17465 (FedBone)',
    options: { attention: ATTENTIONS, tau: number('a number above 0', (v) => v > 0 && v < Infinity), order: ['ids', 'round'], weighting: WEIGHTING },
    history: ({ attention }) => attention !== 'none',
    make: (options) => gp(options satisfies GpInit)
  },
  graddrop: {
    strict: true,
    source: 'Chen et al., NeurIPS 2020 (Just Pick a Sign)',
    options: { leak: number('a number from 0 to 1', (v) => v >= 0 && v <= 1), reduce: REDUCE },
    make: (options) => graddrop(options satisfies GraddropInit)
  },
  'imtl-g': { strict: true, source: 'Liu et al., ICLR 2021 (Impartial MTL)', options: {}, make: () => imtlG() },
  mean: { strict: false, source: 'the weighted mean, the control', options: { weighting: WEIGHTING }, make: (options) => mean(options satisfies MeanInit) },
  mgda: { strict: false, source: 'Sener and Koltun, NeurIPS 2018', options: { normalisation: NORMALISATIONS }, make: (options) => mgda(options satisfies MgdaInit) },
  'nash-mtl': { strict: false, source: 'Navon et al., ICML 2022', options: { maxNorm: number('a number above 0', (v) => v > 0) }, make: (options) => nashMtl(options satisfies NashMtlInit) },
  pcgrad: {
    strict: true,
    source: 'Yu et al., NeurIPS 2020',
    options: { reduce: REDUCE },
    make: ({ reduce }) => pcgrad((reduce === undefined ? {} : { reduce }) satisfies PcgradInit)
  },
  upgrad: { strict: false, source: 'Quinton and Rey, arXiv 2406.16232', options: { weighting: WEIGHTING }, make: (options) => upgrad(options satisfies UpgradInit) }
}

export const ruleNames: readonly string[] = Object.keys(RULES)

/** Where a rule was published. */
export function ruleSource (name: string): string { return RULES[name]?.source ?? '' }

/** What each option of a rule may be. @throws {InvalidParametersError} no rule of this name */
export function ruleOptions (name: string): OptionRanges { return entryOf(name).options }

/** Whether a rule looks at the update before. @throws {InvalidParametersError} no rule of this name */
export function readsHistory (name: string, options: RuleOptions = {}): boolean { return entryOf(name).history?.(options) ?? false }

/** @throws {InvalidParametersError} unknown name, option or value */
export function createRule (name: string, options: RuleOptions = {}): GradientRule {
  const entry = entryOf(name)
  const { strict = entry.strict, ...own } = options
  if (typeof strict !== 'boolean') throw new InvalidParametersError(`options.strict must be true or false, got ${JSON.stringify(strict)}`)
  checkOptions('options', `rule ${name}`, own, entry.options)
  const rule = entry.make(own)
  return strict ? withStrict(rule) : rule
}

function entryOf (name: string): Entry {
  const entry = Object.hasOwn(RULES, name) ? RULES[name] : undefined
  if (entry === undefined) throw new InvalidParametersError(`no gradient rule '${name}'`, { next: `use one of ${ruleNames.join(', ')}` })
  return entry
}
