/** Ledgers made by hand, and what can happen to a file. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NONE, toLine, writeLedgerEntry } from '../../src/ledger/index.ts'
import { scanLedger } from '../../node/store/ledger-store.ts'
import type { LedgerAct, LedgerContext, LedgerEntry } from '../../src/ledger/index.ts'
import type { LedgerDamage } from '../../node/store/ledger-store.ts'
import type { ExecutionContext } from 'ava'
import type { Signer } from '../../src/membership/index.ts'

export const CONTEXT: LedgerContext = { net: NONE, members: NONE, charter: '5c'.repeat(32) }
export const AT = Date.UTC(2026, 0, 1)

export const START: LedgerAct = { kind: 'start', roles: ['host'], software: '1.2.3' }

export function take (round: number): LedgerAct {
  return { kind: 'take', host: 'host', round, step: 20 * (round + 1), report: 'ab'.repeat(32) }
}

export function roundOf (round: number, changes: Partial<LedgerAct & { kind: 'round' }> = {}): LedgerAct & { kind: 'round' } {
  return {
    kind: 'round',
    round,
    step: 20 * (round + 1),
    contributors: [{ client: 'ada', steps: 20, samples: 40 }],
    merged: [{ host: 'host', round, cid: String(round % 10).repeat(64), weight: 1, codec: 'f32' }],
    merge: { mode: 'all', rate: 1, momentum: 0.5, shareCap: 0.5, clip: 3 },
    accepted: 'merged',
    before: String(round % 10).repeat(64),
    after: String((round + 1) % 10).repeat(64),
    report: 'ab'.repeat(32),
    conflicts: { steps: 20, pairs: 190, conflictPairs: 31, meanCosine: 0.1, minCosine: -0.5, removedShare: 0.04, minDirectionCosine: 0, minUpdateCosine: -0.02 },
    ...changes
  }
}

/** @param after - the entry that they follow */
export async function entriesOf (signer: Signer, acts: readonly LedgerAct[], after?: LedgerEntry): Promise<LedgerEntry[]> {
  const entries: LedgerEntry[] = []
  for (const act of acts) {
    const last = entries.at(-1) ?? after
    entries.push(await writeLedgerEntry(signer, act, CONTEXT, { seq: (last?.seq ?? 0) + 1, prev: last?.hash ?? NONE, at: AT }))
  }
  return entries
}

export function fileOf (entries: readonly LedgerEntry[]): Buffer { return Buffer.from(entries.map(({ bytes }) => `${toLine(bytes)}\n`).join('')) }

export async function folder (t: ExecutionContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fmtl-ledger-'))
  t.teardown(async () => { await rm(dir, { recursive: true, force: true }) })
  return dir
}

export interface Seen {
  readonly entries: number
  readonly torn: number | undefined
  readonly damages: readonly LedgerDamage[]
}

export async function scan (path: string, signatures: 'all' | 'newest'): Promise<Seen> {
  const damages: LedgerDamage[] = []
  const { entries, torn } = await scanLedger(path, { signatures, onEntry: () => {}, onDamage: damage => damages.push(damage) })
  return { entries, torn, damages }
}

/** Where each line begins. */
export function startsOf (file: Buffer): number[] {
  const starts = [0]
  for (let at = file.indexOf(10); at >= 0 && at < file.length - 1; at = file.indexOf(10, at + 1)) starts.push(at + 1)
  return starts
}

/** Number of the line that a byte belongs to, from 1. */
export function lineOf (starts: readonly number[], byte: number): number { return starts.filter(start => start <= byte).length }

export function flipped (file: Buffer, at: number, bits: number): Buffer {
  const copy = Buffer.from(file)
  copy[at] = (copy[at] as number) ^ bits
  return copy
}
