/** `fmtl-node plan --from RUN`: finds what a run measured, in its printed output or in the ledger of a node's home, and prints what follows. */
import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DataError } from '../../src/errors.ts'
import { LEDGER_FILE } from '../ledger.ts'
import { conflictsOf, linkFindings, payloadBytes, readRun, splittingOf, trafficOf } from '../../src/planning/index.ts'
import { findLink } from './link.ts'
import { frameBytes } from '../../protocols/split-step/index.ts'
import { printFindings } from './plan-findings.ts'
import { readCharterFile } from './site.ts'
import { scanLedger } from '../store/ledger-store.ts'
import type { Format } from './help.ts'
import type { LinkFlags } from './link.ts'
import type { LedgerEntry } from '../../src/ledger/index.ts'
import type { MeasuredRound, MeasuredRun } from '../../src/planning/index.ts'

export interface FromFlags extends LinkFlags {
  readonly charter?: string
  readonly format: Format
}

/** An hour of a testnet with 64 nodes takes some 20 MiB. */
const MAX_RUN_BYTES = 64 * 2 ** 20
/** The ledger of a year of rounds. */
const MAX_ROUNDS = 100_000

/** @throws {DataError} nothing to read there, or nothing that a run wrote */
export async function planFromRun (path: string, flags: FromFlags): Promise<void> {
  const found = await runAt(path)
  const charter = flags.charter === undefined ? found.charter : await readCharterFile(flags.charter)
  const run = { ...found, charter }
  const sizeOf = run.runner === 'in-process' ? payloadBytes : frameBytes
  const link = flags.link === undefined && flags.peer === undefined ? undefined : await findLink(flags)
  printFindings({
    run,
    conflicts: conflictsOf(run),
    splitting: run.affinity === undefined ? undefined : splittingOf(run, run.affinity, sizeOf),
    traffic: trafficOf(run, sizeOf),
    link,
    flight: link === undefined ? undefined : linkFindings(run, link, sizeOf)
  }, flags.format)
}

async function runAt (path: string): Promise<MeasuredRun> {
  try {
    return (await stat(path)).isDirectory() ? await ledgerRun(path) : readRun(await summaryIn(path))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === undefined || cause instanceof DataError || !(cause instanceof Error) || !('syscall' in cause)) throw cause
    throw new DataError(`${path}: the run cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause, next: 'give the output of `fmtl-node testnet up --format json`, or the home of a node' })
  }
}

/** The last summary among the lines, or a file that is nothing but one. @throws {DataError} */
async function summaryIn (path: string): Promise<unknown> {
  const text = await readText(path)
  const lines = text.split('\n').filter(line => line.trim() !== '')
  const summaries = lines.flatMap(line => {
    const value = parsed(line)
    return isSummary(value) ? [value] : []
  })
  const whole = summaries.length > 0 ? undefined : parsed(text)
  const summary = summaries.at(-1) ?? (isSummary(whole) ? whole : undefined)
  if (summary === undefined) throw new DataError(`${path}: ${lines.length} lines and no summary of a run among them`, { next: 'give the whole output of `fmtl-node testnet up --format json`, from a run that has ended' })
  return summary
}

/** The size is looked at first: nothing is allocated on the file's word. */
async function readText (path: string): Promise<string> {
  const file = await open(path)
  try {
    const { size } = await file.stat()
    if (size > MAX_RUN_BYTES) throw new DataError(`${path}: ${size} bytes, at most ${MAX_RUN_BYTES} are read`, { next: `keep its last line: tail -n 1 ${path} > summary.json` })
    const bytes = Buffer.alloc(size)
    const { bytesRead } = await file.read(bytes, 0, size, 0)
    return bytes.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}

function parsed (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isSummary (value: unknown): boolean {
  return value !== null && typeof value === 'object' && (value as { type?: unknown }).type === 'summary'
}

/** A ledger holds what its host signed of every round: conflicts and contributors, no bytes. */
async function ledgerRun (home: string): Promise<MeasuredRun> {
  const rounds: MeasuredRound[] = []
  let before: LedgerEntry | undefined
  const { entries } = await scanLedger(join(home, LEDGER_FILE), {
    signatures: 'all',
    onDamage: damage => { throw damage },
    onEntry: entry => {
      if (entry.kind === 'round' && rounds.length < MAX_ROUNDS) rounds.push(roundOf(entry, before))
      before = entry
    }
  })
  if (rounds.length === 0) throw new DataError(`${home}: ${entries === 0 ? `no ${LEDGER_FILE}` : 'a ledger without a round that this node closed'}`, { next: 'give the home of a host, or the output of `fmtl-node testnet up --format json`' })
  return { strategy: null, runner: null, charter: undefined, hosts: 1, clients: [], rounds, affinity: undefined }
}

function roundOf (entry: LedgerEntry & { kind: 'round' }, before: LedgerEntry | undefined): MeasuredRound {
  const { by, round, at, contributors, conflicts: { steps, pairs, conflictPairs, meanCosine, minCosine, removedShare } } = entry
  const paired = pairs > 0
  return {
    host: by,
    round,
    steps,
    // from the round before; what lies before the first is no round
    seconds: before?.kind === 'round' && before.round === round - 1 ? (at - before.at) / 1000 : null,
    contributors: contributors.length,
    pairs,
    conflictPairs,
    meanCosine: paired ? meanCosine : null,
    minCosine: paired ? minCosine : null,
    removedShare: steps > 0 ? removedShare : null,
    bytes: null
  }
}
