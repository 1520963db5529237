/** What members and newcomers say to each other about the example log: one message of every kind. */
import { encodeAnswer, encodeRequest } from '../../protocols/knock/index.ts'
import { encodeBeat, encodeSyncRequest, encodeSyncResponse } from '../../protocols/membership/index.ts'
import { encodeCanonical } from '../../src/membership/encoding.ts'
import { encodeKnock } from '../../src/membership/index.ts'
import type { Knock, MemberLog } from '../../src/membership/index.ts'

/** `says` has bytes as hex. */
export interface WireVector { readonly name: string, readonly bytes: Uint8Array, readonly says: { readonly message: string, readonly value: unknown } }

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
/** As JSON can have it, bytes told apart from texts. */
function plain (value: unknown): unknown {
  if (value instanceof Uint8Array) return { hex: hex(value) }
  if (Array.isArray(value)) return value.map(plain)
  return value !== null && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)])) : value
}

export function membershipMessages (log: MemberLog): WireVector[] {
  const all = log.entries()
  const [last] = all.slice(-1)
  if (last === undefined) throw new Error('the example log is empty')
  const { digest, charterHash, members } = log.state
  const [address] = [...members.keys()].map(peer => `/ip4/192.0.2.1/tcp/4001/p2p/${peer}`)
  const beat = { name: 'Site A', digest, charter: charterHash, heads: log.heads, addresses: [address as string], sentAt: last.at, round: 3, entries: [] }
  const page = { entries: all.slice(0, 2).map(({ bytes }) => bytes), more: true, heads: log.heads }
  const requests = { 'sync-request': { consortium: log.id, heads: all.slice(0, 1).map(({ hash }) => hash), skip: 0 }, 'sync-request-next': { consortium: log.id, heads: [], skip: 2 } }
  const beats = { beat, 'beat-entries': { ...beat, entries: [last.bytes] } }
  const responses = { 'sync-page': page, 'sync-end': { entries: [], more: false, heads: log.heads }, 'sync-refused': { code: 'ERR_CONSORTIUM', reason: 'this is a member of another consortium' } }
  return [
    ...Object.entries(beats).map(([name, value]) => ({ name, bytes: encodeBeat(value), says: { message: 'Beat', value: plain(value) } })),
    ...Object.entries(requests).map(([name, value]) => ({ name, bytes: encodeSyncRequest(value), says: { message: 'SyncRequest', value: plain(value) } })),
    ...Object.entries(responses).map(([name, value]) => ({ name, bytes: encodeSyncResponse(value), says: { message: 'SyncResponse', value: plain(value) } }))
  ]
}

export function knockMessages (log: MemberLog, knock: Knock): WireVector[] {
  const requests = { 'request-charter': undefined, 'request-knock': encodeKnock(knock) }
  const answers = {
    charter: { charter: encodeCanonical(log.state.charter) },
    pending: { status: 'pending' as const },
    admitted: { status: 'admitted' as const, entries: log.entries().slice(0, 4).map(({ bytes }) => bytes), addresses: ['/ip4/192.0.2.1/tcp/4001'] },
    refused: { code: 'ERR_CHARTER', reason: 'the charter has changed since you read it: read it again' },
    busy: { code: 'ERR_BUSY', reason: 'too many knocks at once' }
  }
  return [
    ...Object.entries(requests).map(([name, value]) => ({ name, bytes: encodeRequest(value), says: { message: 'KnockRequest', value: value === undefined ? { charter: true } : plain({ knock: value }) } })),
    ...Object.entries(answers).map(([name, value]) => ({ name, bytes: encodeAnswer(value), says: { message: 'KnockResponse', value: plain(value) } }))
  ]
}
