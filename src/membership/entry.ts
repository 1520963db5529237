/**
 * One entry of the member log: an act of one member, signed, citing the entries that its author had seen last.
 *
 *     body   = { kind, by, at, depth, prev: [sha-256 of entries], net?, ...fields of the kind }
 *     entry  = CBOR [body, signature over 'fmtl/member-log/1' and CBOR body]
 *     hash   = sha-256 of the entry: its name; the hash of the first is the consortium's id
 *
 * `depth` is one more than the deepest of `prev`, so that an order by (depth, hash) puts causes before effects.
 */
import { DecodeError } from '../errors.ts'
import { Fields, decodeCanonical, encodeCanonical, hashBytes, hashOf } from './encoding.ts'
import { SIGNATURE_BYTES, checkPeer, isSignedBy, signFor } from './signing.ts'
import { readConsortium } from './consortium.ts'
import { readKnock } from './knock.ts'
import type { ConsortiumCharter } from './consortium.ts'
import type { Knock } from './knock.ts'
import type { Signer } from './signing.ts'

/** member: may host, attach, invite, admit and vote; client: may attach. */
export const ROLES = ['member', 'client'] as const
export type MemberRole = typeof ROLES[number]

export type Act =
  /** The first entry: founds the consortium, its author the first member. */
  | { readonly kind: 'found', readonly charter: ConsortiumCharter, readonly name: string, readonly nonce: string }
  /** Opens the door to whoever connects as `key`: a one-time identity that travels in a link, or the newcomer's own. */
  | { readonly kind: 'invite', readonly key: string, readonly role: MemberRole, readonly from: number, readonly until: number, readonly uses: number }
  | { readonly kind: 'withdraw', readonly invite: string }
  /** A newcomer was at the author's door. */
  | { readonly kind: 'knock', readonly knock: Knock }
  | { readonly kind: 'admit', readonly peer: string }
  | { readonly kind: 'revoke', readonly peer: string, readonly reason: string }
  | { readonly kind: 'leave' }
  | { readonly kind: 'amend', readonly charter: ConsortiumCharter }
  | { readonly kind: 'approve', readonly amendment: string }

export type Entry = Act & {
  /** Hex. */
  readonly hash: string
  readonly by: string
  /** The author's clock, ms: shown, and what an invitation's time is measured by; never an order. */
  readonly at: number
  readonly depth: number
  /** Hex. */
  readonly prev: readonly string[]
  readonly bytes: Uint8Array
}

const PURPOSE = 'fmtl/member-log/1'
/** A charter with 64 tasks takes some 20 KiB. */
export const MAX_ENTRY_BYTES = 64 * 1024
/** Heads that one entry joins: as many parts as a consortium may have fallen into. */
export const MAX_PREV = 16
const MAX_TIME = 8_640_000_000_000_000
const MAX_DEPTH = 1_000_000

/** @throws {DecodeError} not an entry, or not signed by its author */
export function readEntry (bytes: Uint8Array): Entry {
  const value = decodeCanonical(bytes, MAX_ENTRY_BYTES, 'member log entry')
  const [body, signature] = Array.isArray(value) && value.length === 2 ? value as [unknown, unknown] : [undefined, undefined]
  if (!(signature instanceof Uint8Array) || signature.byteLength !== SIGNATURE_BYTES) throw new DecodeError('member log entry: no body and signature')
  const fields = new Fields(body, 'member log entry')
  const kind = fields.oneOf('kind', ['found', 'invite', 'withdraw', 'knock', 'admit', 'revoke', 'leave', 'amend', 'approve'])
  const by = checkPeer(fields.text('by', 64))
  const common = {
    hash: hashOf(bytes),
    by,
    at: fields.integer('at', 0, MAX_TIME),
    depth: fields.integer('depth', 0, MAX_DEPTH),
    prev: fields.list('prev', MAX_PREV, hash => new Fields({ hash }, 'prev').hash('hash')),
    bytes
  }
  // before anything of a stranger's making is looked into
  if (!isSignedBy(by, PURPOSE, encodeCanonical(body), signature)) throw new DecodeError(`member log entry: not signed by ${by}`)
  const act = readAct(kind, fields)
  fields.done()
  if ((kind === 'found') !== (common.prev.length === 0) || (kind === 'found') !== (common.depth === 0)) throw new DecodeError('member log entry: only the first cites nothing')
  if (common.prev.some((hash, i) => i > 0 && hash <= (common.prev[i - 1] as string))) throw new DecodeError('member log entry: prev is not sorted')
  return { ...common, ...act }
}

/** @param heads - the entries it follows; none for the first */
export async function writeEntry (signer: Signer, act: Act, at: number, heads: readonly Entry[]): Promise<Entry> {
  const depth = heads.reduce((deepest, head) => Math.max(deepest, head.depth + 1), 0)
  const body = {
    ...bodyOf(act),
    by: signer.peer,
    at,
    depth,
    prev: heads.map(({ hash }) => hash).sort().map(hashBytes)
  }
  return readEntry(encodeCanonical([body, await signFor(signer, PURPOSE, encodeCanonical(body))]))
}

function readAct (kind: Act['kind'], fields: Fields): Act {
  switch (kind) {
    case 'found': return { kind, charter: charterOf(fields), name: fields.name('name'), nonce: fields.hash('nonce') }
    case 'invite': {
      const from = fields.integer('from', 0, MAX_TIME)
      return { kind, key: checkPeer(fields.text('key', 64)), role: fields.oneOf('role', ROLES), from, until: fields.integer('until', from + 1, MAX_TIME), uses: fields.integer('uses', 1, 1000) }
    }
    case 'withdraw': return { kind, invite: fields.hash('invite') }
    case 'knock': return { kind, knock: readKnock(fields.value('knock')) }
    case 'admit': return { kind, peer: checkPeer(fields.text('peer', 64)) }
    case 'revoke': return { kind, peer: checkPeer(fields.text('peer', 64)), reason: fields.name('reason') }
    case 'leave': return { kind }
    case 'amend': return { kind, charter: charterOf(fields) }
    case 'approve': return { kind, amendment: fields.hash('amendment') }
  }
}

function charterOf (fields: Fields): ConsortiumCharter {
  const value = fields.value('charter')
  try {
    return readConsortium(value)
  } catch (cause) {
    if (cause instanceof DecodeError) throw cause
    throw new DecodeError(`member log entry: its charter cannot be (${(cause as Error).message})`, { cause })
  }
}

function bodyOf (act: Act): Record<string, unknown> {
  switch (act.kind) {
    case 'found': return { ...act, nonce: hashBytes(act.nonce) }
    case 'withdraw': return { ...act, invite: hashBytes(act.invite) }
    case 'knock': return { kind: act.kind, knock: act.knock.value }
    case 'approve': return { ...act, amendment: hashBytes(act.amendment) }
    default: return { ...act }
  }
}
