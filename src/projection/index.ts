/** The gradient rules by name: what a charter's `rule` may say. A new rule is one file and one line here. */
import { InvalidParametersError } from '../errors.ts'
import { ATTENTIONS, gp } from './gp.ts'
import { mean } from './mean.ts'
import { pcgrad } from './pcgrad.ts'
import { withStrict } from './rule.ts'
import { upgrad } from './upgrad.ts'
import type { GpInit } from './gp.ts'
import type { MeanInit } from './mean.ts'
import type { PcgradInit } from './pcgrad.ts'
import type { GradientRule, GramRule } from './rule.ts'
import type { UpgradInit } from './upgrad.ts'

export { minDirectionCosine, coneProject } from './strict.ts'
export { gradientRule, withStrict } from './rule.ts'
export { gp, mean, pcgrad, upgrad }
export type { ConeProjection } from './strict.ts'
export type { Row, RowSource } from '../kernels/index.ts'
export type { Aggregate, ConflictStats, GradientRule, GramRule, RuleContext, RuleInput, RuleSolution } from './rule.ts'
export type { Attention, GpInit } from './gp.ts'

export interface RuleOptions {
  /** End with one cone projection. Default: true for gp and pcgrad; mean is the control, upgrad needs none. */
  strict?: boolean
  reduce?: 'sum' | 'mean'
  attention?: 'none' | 'softmax-cos' | 'softmax-dot'
  tau?: number
  order?: 'ids' | 'round'
  weighting?: 'given' | 'uniform'
}

interface Entry {
  readonly strict: boolean
  /** What each option may be; a function where it is a number. */
  readonly options: Readonly<Record<string, readonly string[] | ((value: unknown) => boolean)>>
  readonly make: (options: RuleOptions) => GramRule
}

const WEIGHTING = ['given', 'uniform'] as const

const RULES: Readonly<Record<string, Entry>> = {
  gp: {
    strict: true,
    options: { attention: ATTENTIONS, tau: (v) => typeof v === 'number' && v > 0 && v < Infinity, order: ['ids', 'round'], weighting: WEIGHTING },
    make: (options) => gp(options satisfies GpInit)
  },
  mean: { strict: false, options: { weighting: WEIGHTING }, make: (options) => mean(options satisfies MeanInit) },
  pcgrad: { strict: true, options: { reduce: ['sum', 'mean'] }, make: ({ reduce }) => pcgrad((reduce === undefined ? {} : { reduce }) satisfies PcgradInit) },
  upgrad: { strict: false, options: { weighting: WEIGHTING }, make: (options) => upgrad(options satisfies UpgradInit) }
}

export const ruleNames: readonly string[] = Object.keys(RULES)

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
