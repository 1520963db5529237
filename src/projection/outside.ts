/**
 * Gradient rules from a strategy file (src/strategies/outside.ts). Such a rule sees whole rows and answers with the update,
 *
 *     aggregate(gradients, context) -> update
 *
 * and everything around it is as for the rules of this folder: rows that are zero or not finite are left out, one row passes
 * unchanged, lengths are balanced before and the cone projection comes after where the charter says so, and the report is
 * the same. A charter names it 'NAME#HASH', so members who hold another version of the file hold another charter. What it
 * does wrong ends the step with one line that names the file: it may throw, give too few numbers or NaN, or not come back.
 */
import { Script, createContext } from 'node:vm'
import { InvalidParametersError, RuleError } from '../errors.ts'
import { gradientRule } from './rule.ts'
import type { GradientRule, RuleInput } from './rule.ts'
import type { Row } from '../kernels/index.ts'

/** What a rule knows beside the rows; of those rows, in their order. */
export interface OutsideContext extends Pick<RuleInput, 'gram' | 'norms' | 'weights' | 'random'> {
  /** Who or what each row is from, sorted. */
  readonly ids: readonly string[]
  /** The update before this one, absent at first: all that a rule may remember. */
  readonly history?: Float32Array
}

/** What a strategy file exports as `rule`. The same arguments must give the same update at every host. */
export interface OutsideRule {
  readonly name: string
  /**
   * @param gradients - two or more rows of one length: copies, the rule may write into them
   * @returns the descent direction, as long as a row
   */
  aggregate (gradients: readonly Float32Array[], context: OutsideContext): Float32Array
}

/** With what the charter calls it, and the file to name when it fails. */
export interface LoadedRule {
  readonly id: string
  readonly file: string
  readonly rule: OutsideRule
}

const OUTSIDE = /^[a-z0-9][a-z0-9-]{0,31}#[0-9a-f]{16}$/

/** Whether a charter's rule is one from a file. */
export function isOutside (rule: unknown): rule is string { return typeof rule === 'string' && OUTSIDE.test(rule) }

/** @throws {InvalidParametersError} no such rule is at hand: where to put the file, and which one */
export function expectLoaded (id: string, loaded: LoadedRule | undefined): LoadedRule {
  if (loaded?.id === id) return loaded
  const [name, hash] = id.split('#')
  const next = `get the file whose sha-256 begins with ${hash} from the member who founded with it, and give it: --strategy FILE, or node.strategy in config.yaml`
  throw new InvalidParametersError(loaded === undefined
    ? `the charter's gradient rule '${name}' is from a strategy file with sha-256 ${hash}..., and there is none here`
    : `the charter's gradient rule '${name}' is from a strategy file with sha-256 ${hash}..., ${loaded.file} holds '${loaded.rule.name}' with ${loaded.id.split('#')[1]}...`, { next })
}

export interface OutsideInit {
  /** End with one cone projection. */
  readonly strict: boolean
  /** A rule that takes longer is ended. */
  readonly deadlineMs: number
}

export function outsideRule (loaded: LoadedRule, { strict, deadlineMs }: OutsideInit): Pick<GradientRule, 'name' | 'aggregate'> {
  const call = interruptible(deadlineMs)
  return {
    name: loaded.id,
    aggregate: (rows, ctx) => gradientRule(loaded.id, input => {
      const { which, factors, length, gram, norms, weights, random } = input
      const gradients = which.map((row, i) => scaled(rows[row] as Row, factors[i] as number))
      const context: OutsideContext = {
        ids: which.map(row => ctx.ids[row] as string),
        gram: gram.slice(),
        norms: [...norms],
        weights: weights.slice(),
        random,
        ...ctx.history === undefined ? {} : { history: new Float32Array(ctx.history) }
      }
      const update = expectUpdate(loaded, length, guarded(loaded, deadlineMs, () => call(() => loaded.rule.aggregate(gradients, context))))
      let at = 0
      return {
        plain: weights,
        mix: (_, out) => {
          out.set(update.subarray(at, at + out.length))
          at += out.length
        }
      }
    }, { strict }).aggregate(rows, ctx)
  }
}

const CALL = new Script('call()')
const MAX_TIMEOUT_MS = 2 ** 31 - 1

/** Runs work that may never return: nothing else ends a loop on the thread that it runs on. */
function interruptible (deadlineMs: number): <T>(work: () => T) => T {
  const sandbox = createContext({ call: undefined as unknown })
  const timeout = Math.min(Math.max(1, Math.ceil(deadlineMs)), MAX_TIMEOUT_MS)
  return <T> (work: () => T): T => {
    sandbox.call = work
    return CALL.runInContext(sandbox, { timeout }) as T
  }
}

/** @throws {RuleError} what the rule threw, and where, or that it was ended */
function guarded (loaded: LoadedRule, deadlineMs: number, work: () => unknown): unknown {
  try {
    return work()
  } catch (cause) {
    if ((cause as { code?: unknown } | null)?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw failed(loaded, `took longer than the charter's clock.stepDeadlineMs (${deadlineMs} ms)`, { cause })
    throw failed(loaded, `threw ${said(cause)}`, { cause })
  }
}

function expectUpdate (loaded: LoadedRule, length: number, update: unknown): Float32Array | Float64Array {
  if (!(update instanceof Float32Array || update instanceof Float64Array)) throw failed(loaded, `must return a Float32Array, it returned ${update instanceof Promise ? 'a promise' : Object.prototype.toString.call(update).slice(8, -1)}`)
  if (update.length !== length) throw failed(loaded, `returned ${update.length} numbers for gradients of ${length}`)
  const bad = update.findIndex(value => !Number.isFinite(value))
  if (bad !== -1) throw failed(loaded, `returned ${update[bad]} as number ${bad + 1} of ${length}`)
  return update
}

function failed ({ file, rule }: LoadedRule, what: string, init: { cause?: unknown } = {}): RuleError {
  return new RuleError(`${file}: gradient rule '${rule.name}' ${what}`, { ...init, next: 'correct the file and make a new charter with it, whose rule names the new version' })
}

/** An error's own words in one line, with the line of the file where its stack shows one. */
export function said (cause: unknown): string {
  const text = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
  const line = cause instanceof Error ? /\?sha256=[0-9a-f]+:(\d+)/.exec(cause.stack ?? '')?.[1] : undefined
  return `${text.replace(/\s+/g, ' ').slice(0, 200)}${line === undefined ? '' : ` (line ${line})`}`
}

function scaled (row: Row, factor: number): Float32Array {
  const copy = new Float32Array(row)
  if (factor !== 1) for (let i = 0; i < copy.length; i++) copy[i] = (copy[i] as number) * factor
  return copy
}
