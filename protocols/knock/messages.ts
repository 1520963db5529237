/** Knocking at a member's door: contract <-> bytes. Wire format: ./README.md. */
import { DecodeError } from '../../src/errors.ts'
import { MAX_ENTRY_BYTES, MAX_KNOCK_BYTES } from '../../src/membership/index.ts'
import { MAX_ADDRESSES, MAX_ENTRIES_PER_MESSAGE, MAX_SYNC_BYTES, MAX_TENSOR_NAME_BYTES } from '../limits.ts'
import { checked, clip, parse, text, texts } from '../wire.ts'
import { entriesOf } from '../membership/messages.ts'
import * as pb from './messages.generated.ts'

export type KnockAnswer =
  | { readonly charter: Uint8Array }
  | { readonly status: 'pending' }
  | { readonly status: 'admitted', readonly entries: readonly Uint8Array[], readonly addresses: readonly string[] }
  | { readonly code: string, readonly reason: string }

/** @param knock - undefined asks for the charter */
export function encodeRequest (knock: Uint8Array | undefined): Uint8Array { return pb.KnockRequest.encode(knock === undefined ? { charter: true } : { knock }) }

export function decodeRequest (bytes: Uint8Array): Uint8Array | undefined {
  const { charter, knock } = parse(bytes, MAX_KNOCK_BYTES + 16, 'knock request', bytes => pb.KnockRequest.decode(bytes))
  if ((charter === true) === (knock != null)) throw new DecodeError('knock request: neither for the charter nor a knock')
  return knock ?? undefined
}

export function encodeAnswer (answer: KnockAnswer): Uint8Array {
  return checked('the answer to a knock', () => {
    const none = { entries: [], addresses: [] }
    if ('code' in answer) return pb.KnockResponse.encode({ ...none, code: text(answer.code, 'code', MAX_TENSOR_NAME_BYTES), reason: clip(answer.reason) })
    if ('charter' in answer) return pb.KnockResponse.encode({ ...none, charter: checkCharter(answer.charter) })
    if (answer.status === 'pending') return pb.KnockResponse.encode({ ...none, status: 'pending' })
    return pb.KnockResponse.encode({ status: 'admitted', entries: entriesOf(answer.entries), addresses: texts(answer.addresses.slice(0, MAX_ADDRESSES), 'addresses', MAX_ADDRESSES) })
  })
}

export function decodeAnswer (bytes: Uint8Array): KnockAnswer {
  const { charter, status, entries, addresses, code, reason } = parse(bytes, MAX_SYNC_BYTES, 'answer to a knock', bytes => pb.KnockResponse.decode(bytes, { limits: { entries: MAX_ENTRIES_PER_MESSAGE, addresses: MAX_ADDRESSES } }))
  if ([charter, status, code].filter(part => part != null).length !== 1) throw new DecodeError('answer to a knock: expected one of charter, status, refusal')
  if (code != null) return { code: text(code, 'code', MAX_TENSOR_NAME_BYTES), reason: text(reason ?? '', 'reason', undefined, 0) }
  if (charter != null) return { charter: checkCharter(charter) }
  if (status === 'pending') return { status }
  if (status === 'admitted') return { status, entries: entriesOf(entries), addresses: texts(addresses, 'addresses', MAX_ADDRESSES) }
  throw new DecodeError('answer to a knock: a status that is unknown')
}

function checkCharter (charter: Uint8Array): Uint8Array {
  if (charter.byteLength === 0 || charter.byteLength > MAX_ENTRY_BYTES) throw new DecodeError(`charter: ${charter.byteLength} bytes, expected 1 to ${MAX_ENTRY_BYTES}`)
  return charter
}
