/**
 * One entry of a node's ledger: what it did, signed, and chained to what it did before.
 *
 *     body   = { kind, by, seq, prev, at, net, members, charter, ...fields of the kind }
 *     entry  = CBOR [body, signature over 'fmtl/ledger/1' and CBOR body]
 *     hash   = sha-256 of the entry, its signature included: the next entry's `prev`
 *
 * As `prev` covers the whole entry before, the newest signature vouches for everything that was ever written.
 */
import { Fields, decodeCanonical, encodeCanonical, hashBytes, hashOf } from '../membership/encoding.ts'
import { SIGNATURE_BYTES, checkPeer, isSignedBy, signFor } from '../membership/signing.ts'
import { CODECS } from '../compression/index.ts'
import { DecodeError } from '../errors.ts'
import { decode } from '@ipld/dag-cbor'
import type { CodecName } from '../compression/index.ts'
import type { MergeRule } from '../training/rules.ts'
import type { MergeTerms } from '../training/merge.ts'
import type { Options } from '../options.ts'
import type { Signer } from '../membership/signing.ts'

/** A client's part in a round: the steps that it took part in, and the rows that it said it trains on. */
export interface Contribution {
  readonly client: string
  readonly steps: number
  readonly samples: number
}

/** A delta that went into a merge. */
export interface MergedDelta {
  readonly host: string
  readonly round: number
  /** sha-256 of its payload, hex. */
  readonly cid: string
  readonly weight: number
  readonly codec: CodecName
}

export const CONFLICT_FIGURES = ['steps', 'pairs', 'conflictPairs', 'meanCosine', 'minCosine', 'removedShare', 'minDirectionCosine', 'minUpdateCosine'] as const
export type ConflictFigures = Readonly<Record<typeof CONFLICT_FIGURES[number], number>>

export type LedgerAct =
  | { readonly kind: 'start', readonly roles: ReadonlyArray<'host' | 'client'>, readonly software: string }
  | { readonly kind: 'stop', readonly reason: string }
  /**
   * A host has closed a round. `before` and `after` are hashes of the shared state, `history` is that of what the rule for
   * deltas looked at, where it did, `report` is what the clients were told.
   */
  | { readonly kind: 'round', readonly round: number, readonly step: number, readonly contributors: readonly Contribution[], readonly merged: readonly MergedDelta[], readonly merge: MergeTerms, readonly accepted: string, readonly before: string, readonly after: string, readonly history?: string, readonly report: string, readonly conflicts: ConflictFigures }
  /** A client has heard that its host closed a round; `report` is the hash of what it was told. */
  | { readonly kind: 'take', readonly host: string, readonly round: number, readonly step: number, readonly report: string }

export type LedgerKind = LedgerAct['kind']

/** Under what an entry was written, hex; zeros where there is no consortium. */
export interface LedgerContext {
  readonly net: string
  readonly members: string
  readonly charter: string
}

export type LedgerEntry = LedgerAct & LedgerContext & {
  /** Hex. */
  readonly hash: string
  readonly by: string
  /** From 1. */
  readonly seq: number
  /** Hex; zeros for the first. */
  readonly prev: string
  /** The author's clock, ms. */
  readonly at: number
  readonly bytes: Uint8Array
}

export const NONE = '00'.repeat(32)
const PURPOSE = 'fmtl/ledger/1'
/** A round with a thousand clients takes 90 KiB. */
export const MAX_LEDGER_ENTRY_BYTES = 1024 * 1024
const MAX_CONTRIBUTORS = 8192
const MAX_MERGED = 1024
/** No rule has more than four, and no name or word of theirs more than 16 letters. */
const MAX_OPTIONS = 16
const MAX_OPTION_BYTES = 64
const MAX_TIME = 8_640_000_000_000_000
const MAX_COUNT = 0xffffffff
/** CBOR: an array of two before the body, and 64 bytes with their header behind it. */
const BODY_START = 1
const BODY_END = -(SIGNATURE_BYTES + 2)

/**
 * Everything but the signature.
 * @param vouched - a later signature covers these bytes, or will be held to them: then they are as their author wrote them,
 * and it is not worth half of the time to write them again
 * @throws {DecodeError} not an entry
 */
export function readLedgerEntry (bytes: Uint8Array, vouched = false): LedgerEntry {
  const value = vouched ? decodeVouched(bytes) : decodeCanonical(bytes, MAX_LEDGER_ENTRY_BYTES, 'it')
  const [body, signature] = Array.isArray(value) && value.length === 2 ? value as [unknown, unknown] : [undefined, undefined]
  if (!(signature instanceof Uint8Array) || signature.byteLength !== SIGNATURE_BYTES) throw new DecodeError('it has no body and signature')
  const fields = new Fields(body, 'its body')
  const kind = fields.oneOf('kind', ['start', 'stop', 'round', 'take'])
  const common = {
    hash: hashOf(bytes),
    by: checkPeer(fields.text('by', 64)),
    seq: fields.integer('seq', 1, MAX_COUNT),
    prev: fields.hash('prev'),
    at: fields.integer('at', 0, MAX_TIME),
    net: fields.hash('net'),
    members: fields.hash('members'),
    charter: fields.hash('charter'),
    bytes
  }
  const act = readAct(kind, fields)
  fields.done()
  return { ...common, ...act }
}

function decodeVouched (bytes: Uint8Array): unknown {
  try {
    return decode(bytes)
  } catch (cause) {
    throw new DecodeError(`it: no DAG-CBOR (${(cause as Error).message})`, { cause })
  }
}

/** Whether its author signed it. */
export function isAuthentic ({ by, bytes }: Pick<LedgerEntry, 'by' | 'bytes'>): boolean {
  return isSignedBy(by, PURPOSE, bytes.subarray(BODY_START, BODY_END), bytes.subarray(-SIGNATURE_BYTES))
}

export interface Place {
  readonly seq: number
  readonly prev: string
  readonly at: number
}

/** @throws {DecodeError} an act that could not be read again */
export async function writeLedgerEntry (signer: Signer, act: LedgerAct, context: LedgerContext, { seq, prev, at }: Place): Promise<LedgerEntry> {
  const body = {
    ...bodyOf(act),
    by: signer.peer,
    seq,
    prev: hashBytes(prev),
    at,
    net: hashBytes(context.net),
    members: hashBytes(context.members),
    charter: hashBytes(context.charter)
  }
  return readLedgerEntry(encodeCanonical([body, await signFor(signer, PURPOSE, encodeCanonical(body))]))
}

function readAct (kind: LedgerKind, fields: Fields): LedgerAct {
  switch (kind) {
    case 'start': return {
      kind,
      roles: fields.list('roles', 2, (role, i) => new Fields({ [i]: role }, 'its roles').oneOf(String(i), ['host', 'client'] as const)),
      software: fields.text('software', 64)
    }
    case 'stop': return { kind, reason: fields.text('reason', 1024) }
    case 'round': return {
      kind,
      round: fields.integer('round', 0, MAX_COUNT),
      step: fields.integer('step', 1, MAX_COUNT),
      contributors: fields.list('contributors', MAX_CONTRIBUTORS, readContribution),
      merged: fields.list('merged', MAX_MERGED, readMerged),
      merge: readTerms(fields.value('merge')),
      accepted: fields.text('accepted'),
      before: fields.hash('before'),
      after: fields.hash('after'),
      ...fields.has('history') ? { history: fields.hash('history') } : {},
      report: fields.hash('report'),
      conflicts: readFigures(fields.value('conflicts'))
    }
    case 'take': return {
      kind,
      host: fields.text('host'),
      round: fields.integer('round', 0, MAX_COUNT),
      step: fields.integer('step', 0, MAX_COUNT),
      report: fields.hash('report')
    }
  }
}

function readContribution (value: unknown): Contribution {
  const fields = new Fields(value, 'a contributor')
  const read = { client: fields.text('client'), steps: fields.integer('steps', 0, MAX_COUNT), samples: fields.integer('samples', 0, MAX_COUNT) }
  fields.done()
  return read
}

function readMerged (value: unknown): MergedDelta {
  const fields = new Fields(value, 'a merged delta')
  const read = {
    host: fields.text('host'),
    round: fields.integer('round', 0, MAX_COUNT),
    cid: fields.hash('cid'),
    weight: fields.number('weight', 0, MAX_COUNT),
    codec: fields.oneOf('codec', CODECS)
  }
  fields.done()
  return read
}

function readTerms (value: unknown): MergeTerms {
  const fields = new Fields(value, 'its merge')
  const read = {
    mode: fields.oneOf('mode', ['select', 'all', 'none'] as const),
    rate: fields.number('rate', 0, Number.MAX_VALUE),
    momentum: fields.number('momentum', 0, 1),
    shareCap: fields.number('shareCap', 0, 1),
    clip: fields.number('clip', 0, Number.MAX_VALUE),
    ...fields.has('projection') ? { projection: readRule(fields.value('projection')) } : {}
  }
  fields.done()
  return read
}

function readRule (value: unknown): MergeRule {
  const fields = new Fields(value, 'its rule')
  const read = {
    rule: fields.text('rule', MAX_OPTION_BYTES),
    options: readOptions(fields.value('options')),
    strict: fields.flag('strict'),
    seed: fields.integer('seed', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
  }
  fields.done()
  return read
}

/** Whether the rule knows them shows where the merge is computed again. */
function readOptions (value: unknown): Options {
  const fields = new Fields(value, 'its options')
  const names = fields.names(MAX_OPTIONS)
  return Object.fromEntries(names.map(name => [name, typeof fields.value(name) === 'string' ? fields.text(name, MAX_OPTION_BYTES) : fields.number(name, -Number.MAX_VALUE, Number.MAX_VALUE)]))
}

function readFigures (value: unknown): ConflictFigures {
  const fields = new Fields(value, 'its conflicts')
  const read = Object.fromEntries(CONFLICT_FIGURES.map(name => [name, fields.number(name, -Number.MAX_VALUE, Number.MAX_VALUE)])) as ConflictFigures
  fields.done()
  return read
}

function bodyOf (act: LedgerAct): Record<string, unknown> {
  switch (act.kind) {
    case 'round': return {
      ...act,
      merged: act.merged.map(delta => ({ ...delta, cid: hashBytes(delta.cid) })),
      merge: { ...act.merge },
      ...act.history === undefined ? {} : { history: hashBytes(act.history) },
      before: hashBytes(act.before),
      after: hashBytes(act.after),
      report: hashBytes(act.report)
    }
    case 'take': return { ...act, report: hashBytes(act.report) }
    default: return { ...act }
  }
}
