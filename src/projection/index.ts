/** The gradient rules by name: what a charter's `rule` may say. A new rule is one file and one line here. */
import { InvalidParametersError } from '../errors.ts'
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
  /** What each option may be; a function where it is a number. */
  readonly options: Readonly<Record<string, readonly string[] | ((value: unknown) => boolean)>>
  readonly make: (options: RuleOptions) => SolvedRule
}

const WEIGHTING = ['given', 'uniform'] as const
const REDUCE = ['sum', 'mean'] as const

function number (fits: (value: number) => boolean): (value: unknown) => boolean {
  return (value) => typeof value === 'number' && fits(value)
}

const RULES: Readonly<Record<string, Entry>> = {
  cagrad: {
    strict: true,
    source: 'Liu et al., NeurIPS 2021',
    options: { c: number((v) => v >= 0 && v < Infinity), rescale: number((v) => [0, 1, 2].includes(v)), weighting: WEIGHTING },
    make: (options) => cagrad(options satisfies CagradInit)
  },
  gp: {
    strict: true,
    source: 'Chen et al., arXiv 2306.17465 (FedBone)',
    options: { attention: ATTENTIONS, tau: number((v) => v > 0 && v < Infinity), order: ['ids', 'round'], weighting: WEIGHTING },
    make: (options) => gp(options satisfies GpInit)
  },
  graddrop: {
    strict: true,
    source: 'Chen et al., NeurIPS 2020 (Just Pick a Sign)',
    options: { leak: number((v) => v >= 0 && v <= 1), reduce: REDUCE },
    make: (options) => graddrop(options satisfies GraddropInit)
  },
  'imtl-g': { strict: true, source: 'Liu et al., ICLR 2021 (Impartial MTL)', options: {}, make: () => imtlG() },
  mean: { strict: false, source: 'the weighted mean, the control', options: { weighting: WEIGHTING }, make: (options) => mean(options satisfies MeanInit) },
  mgda: { strict: false, source: 'Sener and Koltun, NeurIPS 2018', options: { normalisation: NORMALISATIONS }, make: (options) => mgda(options satisfies MgdaInit) },
  'nash-mtl': { strict: false, source: 'Navon et al., ICML 2022', options: { maxNorm: number((v) => v > 0) }, make: (options) => nashMtl(options satisfies NashMtlInit) },
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

/** @throws {InvalidParametersError} unknown name, option or value */
export function createRule (name: string, options: RuleOptions = {}): GradientRule {
  const entry = Object.hasOwn(RULES, name) ? RULES[name] : undefined
  if (entry === undefined) throw new InvalidParametersError(`no gradient rule '${name}'`, { next: `use one of ${ruleNames.join(', ')}` })
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined) continue
    const allowed = key === 'strict' ? (v: unknown) => typeof v === 'boolean' : Object.hasOwn(entry.options, key) ? entry.options[key] : undefined
    if (allowed === undefined) throw new InvalidParametersError(`gradient rule '${name}' has no option '${key}'`)
    const fits = typeof allowed === 'function' ? allowed(value) : allowed.includes(value as string)
    if (!fits) throw new InvalidParametersError(`gradient rule '${name}': ${key} cannot be ${JSON.stringify(value)}`)
  }
  const rule = entry.make(options)
  return options.strict ?? entry.strict ? withStrict(rule) : rule
}
