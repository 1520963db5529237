/** Checks everything in a node's home that somebody may have to answer for. Reads only: the node may run meanwhile. */
import { open, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { InvalidParametersError } from '../../src/errors.ts'
import { LEDGER_FILE } from '../ledger.ts'
import { MAX_LEDGER_LINE_BYTES, scanLedger } from '../store/ledger-store.ts'
import { NONE } from '../../src/ledger/index.ts'
import { auditConsortium } from './consortium.ts'
import { auditDeltas, auditRounds } from './rounds.ts'
import { canonicalJson } from '../../src/models/spec.ts'
import { mergeTerms } from '../../src/training/merge.ts'
import type { AuditReport, Problem, Say } from './report.ts'
import type { Consortium } from './consortium.ts'
import type { LedgerEntry } from '../../src/ledger/index.ts'
import type { RoundEntry } from './rounds.ts'

export interface AuditOptions {
  /** Copies of this ledger that were handed out before. */
  readonly against?: readonly string[]
  readonly onProblem?: Say
}

/** A file with more than this is not damaged here and there: it is another file. */
const MAX_PROBLEMS = 100
/** As many as anybody keeps checkpoints of. */
const KEPT_ROUNDS = 256
/** The last entry of a node that runs may be on its way to the disk. */
const WRITING_MS = 300

/** @throws {InvalidParametersError} there is nothing to check */
export async function audit (home: string, { against = [], onProblem = () => {} }: AuditOptions = {}): Promise<AuditReport> {
  const present = await Promise.all([LEDGER_FILE, 'consortium'].map(async name => await exists(join(home, name))))
  if (!present.includes(true)) throw new InvalidParametersError(`nothing to check in ${home}: no ${LEDGER_FILE}, no consortium`, { next: 'give the home of a node that has run: --home FOLDER' })
  const problems: Problem[] = []
  const say: Say = problem => {
    if (problems.length >= MAX_PROBLEMS) return
    problems.push(problem)
    onProblem(problem)
  }
  const consortium = await auditConsortium(home, say)
  const { entries, author, rounds } = await auditLedger(home, consortium, against, say)
  await auditDeltas(home, say)
  const { recomputed, skipped } = await auditRounds(home, rounds, say)
  return { ok: problems.length === 0, ...author === undefined ? {} : { author }, entries, recomputed, skipped, problems }
}

interface LedgerFacts {
  readonly entries: number
  readonly author: string | undefined
  readonly rounds: readonly RoundEntry[]
}

async function auditLedger (home: string, consortium: Consortium | undefined, against: readonly string[], say: Say): Promise<LedgerFacts> {
  const path = join(home, LEDGER_FILE)
  const signed = new Signed(say)
  /** Round -> state that it ended with. */
  const ended = new Map<number, string>()
  const rounds: RoundEntry[] = []
  const { entries, last, torn } = await scanLedger(path, {
    signatures: 'all',
    onDamage: ({ entry, byte, why, found }) => {
      say({ file: LEDGER_FILE, entry, byte, message: why })
      if (found !== undefined) signed.add(found, LEDGER_FILE, entry)
    },
    onEntry: (entry, byte) => {
      const wrong = (message: string): void => { say({ file: LEDGER_FILE, entry: entry.seq, byte, message }) }
      signed.add(entry, LEDGER_FILE, entry.seq)
      if (consortium !== undefined && entry.net !== NONE) strangers(entry, consortium).forEach(wrong)
      if (entry.kind !== 'round') return
      const state = ended.get(entry.round - 1)
      if (state !== undefined && state !== entry.before) wrong(`round ${entry.round} began with state ${entry.before.slice(0, 12)}, the round before ended with ${state.slice(0, 12)}`)
      ended.set(entry.round, entry.after)
      rounds.push(entry)
      if (rounds.length > KEPT_ROUNDS) rounds.shift()
    }
  })
  if (torn !== undefined && !await endsSoon(path, torn)) say({ file: LEDGER_FILE, entry: entries + 1, byte: torn, message: 'it has no end: cut off while it was written; the node removes it when it starts' })
  for (const copy of against) await hold(copy, signed, last, say)
  return { entries, author: last?.by, rounds }
}

/** Who is named in an entry and was never in the consortium, and terms that its members never signed. */
function strangers (entry: LedgerEntry, { state, charters, names }: Consortium): string[] {
  const found: string[] = []
  if (entry.net !== state.id) found.push(`it is of consortium ${entry.net.slice(0, 12)}, the member log of ${state.id.slice(0, 12)}`)
  if (!charters.has(entry.charter)) found.push(`its charter ${entry.charter.slice(0, 12)} is none that the members signed`)
  const peers = new Set([entry.by, ...entry.kind === 'take' ? [entry.host] : [], ...entry.kind === 'round' ? [...entry.contributors.map(({ client }) => client), ...entry.merged.map(({ host }) => host)] : []])
  for (const peer of peers) if (!names.has(peer)) found.push(`it names ${peer}, who was never a member`)
  if (entry.kind === 'round' && entry.charter === state.charterHash && canonicalJson(entry.merge) !== canonicalJson(mergeTerms(state.charter.training))) found.push('it was merged on other terms than the charter\'s')
  return found
}

/** Every entry that an author has signed, by its number: two different ones of one number are a proof against it. */
class Signed {
  readonly #say: Say
  readonly #seen = new Map<string, { readonly hash: string, readonly file: string, readonly entry: number }>()

  constructor (say: Say) { this.#say = say }

  add ({ by, seq, hash }: LedgerEntry, file: string, entry: number): void {
    const key = `${by} ${seq}`
    const other = this.#seen.get(key)
    if (other === undefined) this.#seen.set(key, { hash, file, entry })
    else if (other.hash !== hash) this.#say({ file, entry, message: `${by} signed two different entries as number ${seq}: this one, and entry ${other.entry} of ${other.file}` })
  }
}

async function hold (copy: string, signed: Signed, last: LedgerEntry | undefined, say: Say): Promise<void> {
  if (!await exists(copy)) throw new InvalidParametersError(`${copy}: there is no such file`, { next: 'check the path given with --against' })
  const file = basename(copy)
  let newest: LedgerEntry | undefined
  await scanLedger(copy, {
    signatures: 'all',
    onDamage: ({ entry, byte, why }) => { say({ file, entry, byte, message: why }) },
    onEntry: entry => {
      newest = entry
      signed.add(entry, file, entry.seq)
    }
  })
  if (newest === undefined) return
  if (newest.by !== last?.by) say({ file, message: `it is by ${newest.by}, this ledger by ${last?.by ?? 'nobody'}` })
  else if (newest.seq > last.seq) say({ file: LEDGER_FILE, message: `it ends with entry ${last.seq}, the copy ${file} with ${newest.seq}: entries were cut off` })
}

async function endsSoon (path: string, byte: number): Promise<boolean> {
  await pause(WRITING_MS)
  const file = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(MAX_LEDGER_LINE_BYTES + 1), position: byte })
    return buffer.subarray(0, bytesRead).includes('\n')
  } finally {
    await file.close()
  }
}

async function exists (path: string): Promise<boolean> { return await stat(path).then(() => true, () => false) }
