/** Split-Mix's settings in a charter's method section, with their defaults. */
import { InvalidParametersError } from '../../errors.ts'
import { parseAttack } from '../../robustness/pgd.ts'
import { refuseUnknown } from '../../models/spec.ts'
import type { Attack } from '../../robustness/pgd.ts'
import type { Budgets } from './plan.ts'
import type { Sides } from '../../training/dual-model.ts'

export interface SplitMixOptions {
  /** K. */
  readonly bases: number
  readonly budgets: Budgets
  /** Start values of narrowed layers as if they were as wide as in the full model. */
  readonly rescaled: boolean
  /** Bases on offer in the order of their loss on the site's hold-out; else in their own order. */
  readonly sorted: boolean
  /** Weight of the attacked rows' loss; 0: no attack is ever run. */
  readonly lambdaTrain: number
  /** Share of the sites that trains against attacks, where lambdaTrain is above 0. */
  readonly adversaries: number
  /** What the site serves: share of the bases, and where between clean and attacked. */
  readonly width: number
  readonly lambda: number
  readonly epsilon: number
  readonly attackSteps: number
  readonly low?: number
  readonly high?: number
}

const KNOWN = ['bases', 'budgets', 'rescaled', 'sorted', 'lambdaTrain', 'adversaries', 'width', 'lambda', 'epsilon', 'attackSteps', 'low', 'high']
const BUDGETS: readonly Budgets[] = ['groups', 'weak', 'full']
const MAX_BASES = 64

/** @throws {InvalidParametersError} */
export function parseOptions (raw: Readonly<Record<string, unknown>>): SplitMixOptions {
  refuseUnknown('method', raw, KNOWN)
  const { bases = 4, budgets = 'groups', rescaled = false, sorted = false, lambdaTrain = 0, adversaries = 1, width = 1, lambda = 0, ...attack } = raw
  if (!Number.isInteger(bases) || (bases as number) < 1 || (bases as number) > MAX_BASES) throw new InvalidParametersError(`method.bases must be a whole number from 1 to ${MAX_BASES}, got ${String(bases)}`)
  if (!BUDGETS.includes(budgets as Budgets)) throw new InvalidParametersError(`method.budgets must be ${BUDGETS.join(', ')}, got ${String(budgets)}`)
  for (const [key, value] of Object.entries({ rescaled, sorted })) if (typeof value !== 'boolean') throw new InvalidParametersError(`method.${key} must be true or false, got ${String(value)}`)
  for (const [key, value] of Object.entries({ lambdaTrain, adversaries, width, lambda })) {
    if (typeof value !== 'number' || !(value >= 0 && value <= 1)) throw new InvalidParametersError(`method.${key} must be a number from 0 to 1, got ${String(value)}`)
  }
  if (lambdaTrain === 0 && lambda !== 0) throw new InvalidParametersError('method.lambda mixes with normalisations that nobody trains where method.lambdaTrain is 0', { next: 'set method.lambdaTrain above 0, or leave lambda out' })
  const { steps: attackSteps, ...ball } = parseAttack('method', attack)
  return { bases, budgets, rescaled, sorted, lambdaTrain, adversaries, width, lambda, attackSteps, ...ball } as SplitMixOptions
}

export function attackOf ({ epsilon, attackSteps, low, high }: Pick<SplitMixOptions, 'epsilon' | 'attackSteps' | 'low' | 'high'>): Attack {
  return { epsilon, steps: attackSteps, ...low === undefined || high === undefined ? {} : { low, high } }
}

export function sidesOf ({ lambdaTrain }: SplitMixOptions): Sides { return lambdaTrain > 0 ? 'all' : 'one' }

/** Bases of a width, from 0 to 1: at least one. */
export function basesOfWidth (width: number, bases: number): number { return Math.max(1, Math.floor(width * bases + 1e-9)) }
