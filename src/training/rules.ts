/**
 * Gradient rules as a charter names them, on both levels: among the rows at a host, and among the hosts' deltas of the trunk.
 *
 *     projection.rule, projection.options      every step, on fresh gradients
 *     merge.rule, merge.options                every round, on deltas; left out, the deltas' mean
 *
 * On deltas of a single step the second level is the first one again. On longer ones only the mean and cagrad are taken, the
 * latter with c up to .4: pairwise projection of deltas of many steps ranks last (FMTL-Bench, arXiv 2402.12876, tables of
 * NYUD-v2), and .4 is the published choice for them.
 */
import { InvalidParametersError } from '../errors.ts'
import { checkOptions } from '../options.ts'
import { createRule, readsHistory, ruleOptions } from '../projection/index.ts'
import { localStepsOf } from './spec.ts'
import { weightingOptions } from '../weighting/index.ts'
import type { GradientRule, RuleOptions } from '../projection/index.ts'
import type { Charter, MergeSpec, ProjectionSpec } from '../federation/charter.ts'
import type { Options, OptionRanges } from '../options.ts'
import type { TrainingSpec } from './spec.ts'

/** How hosts' deltas become one; all that it depends on but the deltas and the round. */
export interface MergeRule {
  readonly rule: string
  readonly options: Options
  readonly strict: boolean
  readonly seed: number
}

/** `attention` is a setting beside the options, and the rows of a step weigh alike. */
const NOT_OF_A_STEP: readonly string[] = ['attention', 'weighting']
/** What a rule does with deltas where the charter does not say: a mean of them, not a sum, and the radius published for them. */
const OF_DELTAS: Readonly<Record<string, Options>> = { cagrad: { c: 0.4 }, graddrop: { reduce: 'mean' }, pcgrad: { reduce: 'mean' } }
const OF_LONG_DELTAS: readonly string[] = ['mean', 'cagrad']
const LARGEST_RADIUS = 0.4

/** @throws {InvalidParametersError} an option that neither the rule nor the weighting knows, or a value that cannot be */
export function checkProjectionOptions ({ rule, weighting, options }: ProjectionSpec): void {
  if (options === undefined) return
  const known = { ...stepOptions(rule), ...weighting === undefined ? {} : weightingOptions(weighting) }
  checkOptions('projection.options', `rule ${rule}${weighting === undefined ? '' : ` or weighting ${weighting}`}`, options, known)
  refuseInfinite('projection.options', options)
}

/** @throws {InvalidParametersError} options that the rule does not know, or a rule that does not suit the hosts' deltas */
export function checkMergeRule ({ mode, rule, options }: MergeSpec, training: TrainingSpec): void {
  if (rule === undefined) {
    if (options !== undefined) throw new InvalidParametersError('merge.options are options of merge.rule, which is not set', { next: 'set merge.rule, or leave merge.options out' })
    return
  }
  if (mode === 'none') throw new InvalidParametersError(`merge.rule '${rule}' has no deltas to act on: hosts never meet by merge.mode none`, { next: 'set merge.mode to all or select, or leave merge.rule out' })
  checkOptions('merge.options', `rule ${rule}`, options ?? {}, ruleOptions(rule))
  refuseInfinite('merge.options', options ?? {})
  const steps = training.stepsPerRound * localStepsOf(training)
  if (steps === 1) return
  const over = `on deltas of ${steps} steps pairwise projection ranks last`
  if (!OF_LONG_DELTAS.includes(rule)) throw new InvalidParametersError(`merge.rule '${rule}' needs rounds of one step: ${over}`, { next: 'set training.stepsPerRound to 1, or merge.rule to mean or cagrad' })
  if (rule === 'cagrad' && Number(options?.c ?? 0) > LARGEST_RADIUS) throw new InvalidParametersError(`merge.options.c must be at most ${LARGEST_RADIUS}, got ${String(options?.c)}: ${over}, and a larger radius was not tried`, { next: 'lower it, or leave it out' })
}

/** The rule of a host's steps. */
export function projectionRule ({ rule, strict, attention, options = {} }: ProjectionSpec): GradientRule {
  const own = Object.fromEntries(Object.entries(options).filter(([name]) => Object.hasOwn(stepOptions(rule), name)))
  return createRule(rule, { strict: strict !== 'off', ...rule === 'gp' ? { attention } : {}, ...own as RuleOptions })
}

/** What the charter says of its loss weighting, by name. */
export function weightingSettings ({ weighting, options = {} }: ProjectionSpec): { readonly alpha?: number, readonly temperature?: number } {
  const known = weighting === undefined ? {} : weightingOptions(weighting)
  return Object.fromEntries(Object.entries(options).filter(([name]) => Object.hasOwn(known, name)))
}

export function mergeRuleOf ({ seed, projection: { strict }, merge: { rule, options = {} } }: Pick<Charter, 'seed' | 'projection' | 'merge'>): MergeRule | undefined {
  return rule === undefined ? undefined : { rule, options, strict: strict !== 'off', seed }
}

/** @throws {InvalidParametersError} unknown name, option or value: what is written in a ledger may be anything */
export function ruleOfDeltas ({ rule, options, strict }: MergeRule): GradientRule {
  return createRule(rule, { ...ofDeltas(rule, options), strict })
}

/** Whether the rule looks at what hosts agreed on in the round before. */
export function remembers ({ rule, options }: MergeRule): boolean { return readsHistory(rule, ofDeltas(rule, options)) }

function ofDeltas (rule: string, options: Options): RuleOptions { return { ...OF_DELTAS[rule], ...options } }

function stepOptions (rule: string): OptionRanges {
  return Object.fromEntries(Object.entries(ruleOptions(rule)).filter(([name]) => !NOT_OF_A_STEP.includes(name)))
}

/** A charter is JSON. */
function refuseInfinite (where: string, options: Options): void {
  for (const [name, value] of Object.entries(options)) if (value === Infinity) throw new InvalidParametersError(`${where}.${name} cannot be Infinity`, { next: 'leave it out for the default' })
}
