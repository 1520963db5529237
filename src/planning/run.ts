/**
 * What a run measured, read from the summary it printed. That comes from a file, perhaps from somebody else: every number
 * is looked at before anything is computed from it.
 */
import { DataError } from '../errors.ts'
import { readCharter } from '../federation/charter.ts'
import { valueOf } from '../affinity/partition.ts'
import type { Affinity } from '../affinity/matrix.ts'
import type { Charter } from '../federation/charter.ts'
import type { Traffic } from './traffic.ts'

/** One round of one host. Figures that were not measured are null. */
export interface MeasuredRound {
  readonly host: string
  readonly round: number
  readonly steps: number
  readonly seconds: number | null
  readonly contributors: number
  readonly pairs: number
  readonly conflictPairs: number
  readonly meanCosine: number | null
  readonly minCosine: number | null
  readonly removedShare: number | null
  /** Of all its clients. */
  readonly bytes: Traffic | null
}

export interface MeasuredClient {
  readonly client: string
  readonly tasks: readonly string[]
  readonly samples: { readonly train: number, readonly holdout: number, readonly test: number }
}

/** What tasks do to each other; row: the task that steps, column: the one that is watched, NaN: not measured. */
export interface MeasuredAffinity {
  readonly tasks: readonly string[]
  readonly matrix: Affinity
  readonly groups: ReadonlyArray<readonly string[]>
  /** What these groups are worth by the matrix, and one group of all; null where a pair was not measured. */
  readonly value: number | null
  readonly allInOne: number | null
  readonly reason: string
}

export interface MeasuredRun {
  readonly strategy: string | null
  /** in-process counts payload, everything else bytes on the wire. */
  readonly runner: string | null
  readonly charter: Charter | undefined
  readonly hosts: number
  readonly clients: readonly MeasuredClient[]
  readonly rounds: readonly MeasuredRound[]
  readonly affinity: MeasuredAffinity | undefined
}

/** More than any run of a testnet has; a list that is longer is not looked at. */
const MAX_ROUNDS = 100_000
const MAX_CLIENTS = 10_000
const MAX_TASKS = 64
const MAX_TEXT = 4096

/** @throws {DataError} something that no run prints @throws {InvalidParametersError} a charter that is none */
export function readRun (summary: unknown): MeasuredRun {
  const fields = objectIn(summary, 'the summary')
  const rounds = listIn(fields.rounds, 'rounds', MAX_ROUNDS).map(readRound)
  if (rounds.length === 0) throw new DataError('the run closed no round: it has nothing to advise from', { next: 'give the output of a run that went on for longer' })
  return {
    strategy: optional(fields.strategy, value => textIn(value, 'strategy')) ?? null,
    runner: optional(fields.runner, value => textIn(value, 'runner')) ?? null,
    charter: optional(fields.charter, readCharter),
    hosts: new Set(rounds.map(({ host }) => host)).size,
    clients: listIn(fields.clients ?? [], 'clients', MAX_CLIENTS).flatMap(readClient),
    rounds,
    affinity: optional(fields.affinity, readAffinity)
  }
}

function readRound (value: unknown, at: number): MeasuredRound {
  const what = `round ${at + 1} of the summary`
  const fields = objectIn(value, what)
  const of = (key: string): string => `${key} in ${what}`
  return {
    host: textIn(fields.host, of('host')),
    round: countIn(fields.round, of('round')),
    steps: countIn(fields.steps, of('steps')),
    seconds: amountIn(fields.seconds, of('seconds')),
    contributors: listIn(fields.contributors, of('contributors'), MAX_CLIENTS).length,
    pairs: countIn(fields.pairs, of('pairs')),
    conflictPairs: countIn(fields.conflictPairs, of('conflictPairs')),
    meanCosine: optional(fields.meanCosine, value => numberIn(value, of('meanCosine'), -1, 1)) ?? null,
    minCosine: optional(fields.minCosine, value => numberIn(value, of('minCosine'), -1, 1)) ?? null,
    removedShare: optional(fields.removedShare, value => numberIn(value, of('removedShare'), -Infinity, Infinity)) ?? null,
    bytes: { up: amountIn(fields.bytesUp, of('bytesUp')), down: amountIn(fields.bytesDown, of('bytesDown')) }
  }
}

/** A client that was never ready has no rows to plan with. */
function readClient (value: unknown, at: number): MeasuredClient[] {
  const what = `client ${at + 1} of the summary`
  const { client, tasks, samples } = objectIn(value, what)
  if (samples === null || samples === undefined) return []
  const rows = objectIn(samples, `samples of ${what}`)
  return [{
    client: textIn(client, `the name of ${what}`),
    tasks: listIn(tasks, `tasks of ${what}`, MAX_TASKS).map(task => textIn(task, `a task of ${what}`)),
    samples: { train: countIn(rows.train, `training rows of ${what}`), holdout: countIn(rows.holdout, `hold-out rows of ${what}`), test: countIn(rows.test, `test rows of ${what}`) }
  }]
}

function readAffinity (value: unknown): MeasuredAffinity {
  const { tasks: names, matrix, groups, reason } = objectIn(value, 'the affinity')
  const tasks = listIn(names, 'tasks of the affinity', MAX_TASKS).map(task => textIn(task, 'a task of the affinity'))
  const cell = (value: unknown): number => value === null ? NaN : numberIn(value, 'a cell of the affinity matrix', -Infinity, Infinity)
  const rows = listIn(matrix, 'the affinity matrix', MAX_TASKS).map(row => listIn(row, 'a row of the affinity matrix', MAX_TASKS).map(cell))
  if (rows.length !== tasks.length || rows.some(row => row.length !== tasks.length)) throw new DataError(`the affinity matrix is not ${tasks.length} x ${tasks.length}, one row and one column per task`, NEXT)
  const found = listIn(groups, 'groups of the affinity', MAX_TASKS).map(group => listIn(group, 'a group', MAX_TASKS).map(task => textIn(task, 'a task of a group')))
  if (new Set(tasks).size < tasks.length) throw new DataError('the affinity names a task twice', NEXT)
  if (found.some(group => group.length === 0) || found.flat().toSorted().join('\n') !== tasks.toSorted().join('\n')) throw new DataError('the groups of the affinity do not hold every task once', NEXT)
  const worth = (partition: ReadonlyArray<readonly string[]>): number | null => {
    const value = valueOf(rows, partition.map(group => group.map(task => tasks.indexOf(task))))
    return Number.isFinite(value) ? value : null
  }
  return { tasks, matrix: rows, groups: found, value: worth(found), allInOne: worth([tasks]), reason: textIn(reason ?? '', 'reason of the affinity') }
}

const NEXT = { next: 'give the file as `fmtl-node testnet up --format json` wrote it' }

function optional<T> (value: unknown, read: (value: unknown) => T): T | undefined {
  return value === null || value === undefined ? undefined : read(value)
}

function objectIn (value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw new DataError(`${what} is no object`, NEXT)
  return value as Record<string, unknown>
}

function listIn (value: unknown, what: string, most: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > most) throw new DataError(Array.isArray(value) ? `${what}: ${value.length} entries, at most ${most} are read` : `${what}: no list`, NEXT)
  return value
}

function textIn (value: unknown, what: string): string {
  if (typeof value !== 'string' || value.length > MAX_TEXT) throw new DataError(`${what}: no text of at most ${MAX_TEXT} letters`, NEXT)
  return value
}

function numberIn (value: unknown, what: string, least: number, most: number): number {
  // a cosine of 1 may come as 1.0000001
  if (typeof value !== 'number' || !Number.isFinite(value) || value < least - ROUNDING || value > most + ROUNDING) throw new DataError(`${what}: no number${Number.isFinite(least) ? ` from ${least} to ${most}` : ''}`, NEXT)
  return value
}

const ROUNDING = 1e-6

function amountIn (value: unknown, what: string): number {
  if (typeof value !== 'number' || !(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) throw new DataError(`${what}: no amount from 0`, NEXT)
  return value
}

function countIn (value: unknown, what: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new DataError(`${what}: no whole number from 0`, NEXT)
  return value as number
}
