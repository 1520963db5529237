/** Beats and syncs: contract <-> bytes. Entries stay bytes here: src/membership reads them. Wire format: ./README.md. */
import { DecodeError } from '../../src/errors.ts'
import { MAX_ENTRIES, MAX_ENTRY_BYTES } from '../../src/membership/index.ts'
import { MAX_ADDRESSES, MAX_ENTRIES_PER_MESSAGE, MAX_GOSSIP_BYTES, MAX_HEADS, MAX_SYNC_BYTES, MAX_SYNC_REQUEST_BYTES, MAX_TENSOR_NAME_BYTES } from '../limits.ts'
import { atMost, checked, clip, hash, parse, text, texts, whole } from '../wire.ts'
import * as pb from './messages.generated.ts'

export interface Beat {
  readonly name: string
  readonly digest: string
  readonly charter: string
  readonly heads: readonly string[]
  readonly addresses: readonly string[]
  /** By the sender's clock, ms. */
  readonly sentAt: number
  readonly round: number
  readonly entries: readonly Uint8Array[]
}

export interface SyncRequest {
  readonly consortium: string
  readonly heads: readonly string[]
  /** Entries that came in earlier pages. */
  readonly skip: number
}
export interface SyncPage { readonly entries: readonly Uint8Array[], readonly more: boolean, readonly heads: readonly string[] }
export interface SyncRefusal { readonly code: string, readonly reason: string }

const U32 = 0xffffffff

export function encodeBeat (beat: Beat): Uint8Array {
  return checked('a beat', () => pb.Beat.encode(checkBeat({ ...beat, name: clip(beat.name), addresses: beat.addresses.slice(0, MAX_ADDRESSES) }) as pb.Beat))
}

export function decodeBeat (bytes: Uint8Array): Beat {
  return checkBeat(parse(bytes, MAX_GOSSIP_BYTES, 'beat', bytes => pb.Beat.decode(bytes, { limits: { heads: MAX_HEADS, addresses: MAX_ADDRESSES, entries: MAX_ENTRIES_PER_MESSAGE } })))
}

export function encodeSyncRequest (request: SyncRequest): Uint8Array {
  return checked('a sync request', () => pb.SyncRequest.encode(checkSyncRequest(request) as pb.SyncRequest))
}

export function decodeSyncRequest (bytes: Uint8Array): SyncRequest {
  return checkSyncRequest(parse(bytes, MAX_SYNC_REQUEST_BYTES, 'sync request', bytes => pb.SyncRequest.decode(bytes, { limits: { heads: MAX_HEADS } })))
}

export function encodeSyncResponse (response: SyncPage | SyncRefusal): Uint8Array {
  return checked('a sync response', () => 'code' in response
    ? pb.SyncResponse.encode({ entries: [], more: false, heads: [], code: text(response.code, 'code', MAX_TENSOR_NAME_BYTES), reason: clip(response.reason) })
    : pb.SyncResponse.encode({ entries: entriesOf(response.entries), more: response.more, heads: hashes(response.heads) }))
}

export function decodeSyncResponse (bytes: Uint8Array): SyncPage | SyncRefusal {
  const { entries, more, heads, code, reason } = parse(bytes, MAX_SYNC_BYTES, 'sync response', bytes => pb.SyncResponse.decode(bytes, { limits: { entries: MAX_ENTRIES_PER_MESSAGE, heads: MAX_HEADS } }))
  if (code != null && (entries.length > 0 || more || heads.length > 0)) throw new DecodeError('sync response: both a page and a refusal')
  if (code != null) return { code: text(code, 'code', MAX_TENSOR_NAME_BYTES), reason: text(reason ?? '', 'reason', undefined, 0) }
  return { entries: entriesOf(entries), more, heads: hashes(heads) }
}

export function entriesOf (entries: readonly Uint8Array[]): Uint8Array[] {
  atMost(entries.length, 'entries', MAX_ENTRIES_PER_MESSAGE)
  for (const entry of entries) if (entry.byteLength === 0 || entry.byteLength > MAX_ENTRY_BYTES) throw new DecodeError(`member log entry: ${entry.byteLength} bytes, expected 1 to ${MAX_ENTRY_BYTES}`)
  return [...entries]
}

function hashes (heads: readonly string[]): string[] {
  atMost(heads.length, 'heads', MAX_HEADS)
  return heads.map(head => hash(head, 'head'))
}

function checkSyncRequest ({ consortium, heads, skip }: SyncRequest): SyncRequest {
  return { consortium: hash(consortium, 'consortium'), heads: hashes(heads), skip: whole(skip, 'skip', 0, MAX_ENTRIES) }
}

function checkBeat (beat: Beat | pb.Beat): Beat {
  return {
    name: text(beat.name, 'name', undefined, 0),
    digest: hash(beat.digest, 'digest'),
    charter: hash(beat.charter, 'charter'),
    heads: hashes(beat.heads),
    addresses: texts(beat.addresses, 'addresses', MAX_ADDRESSES),
    sentAt: whole(beat.sentAt, 'sent at', 0, Number.MAX_SAFE_INTEGER),
    round: whole(beat.round, 'round', 0, U32),
    entries: entriesOf(beat.entries)
  }
}
