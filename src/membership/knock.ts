/**
 * What a newcomer hands in at a member's door, signed with the key that it will be known by: for which consortium and under
 * which charter, by which invitation, and the name that members will see. Its signature is its consent to the charter.
 */
import { DecodeError } from '../errors.ts'
import { Fields, decodeCanonical, encodeCanonical, hashBytes } from './encoding.ts'
import { SIGNATURE_BYTES, checkPeer, isSignedBy, signFor } from './signing.ts'
import type { Signer } from './signing.ts'

export interface Knock {
  /** Id of the consortium, hex. */
  readonly net: string
  /** Hash of the charter that it consents to, hex. */
  readonly charter: string
  /** Hash of the entry that invites it, hex. */
  readonly invite: string
  readonly peer: string
  readonly name: string
  /** As it is encoded: a map of the above and the signature. */
  readonly value: Readonly<Record<string, unknown>>
}

const PURPOSE = 'fmtl/knock/1'
export const MAX_KNOCK_BYTES = 1024

/** @throws {DecodeError} not a knock, or not signed by the newcomer */
export function readKnock (value: unknown): Knock {
  const fields = new Fields(value, 'knock')
  const knock = {
    net: fields.hash('net'),
    charter: fields.hash('charter'),
    invite: fields.hash('invite'),
    peer: checkPeer(fields.text('peer', 64)),
    name: fields.name('name')
  }
  const signature = fields.bytes('signature', SIGNATURE_BYTES)
  fields.done()
  if (!isSignedBy(knock.peer, PURPOSE, signedPart(knock), signature)) throw new DecodeError(`knock: not signed by ${knock.peer}`)
  return { ...knock, value: value as Record<string, unknown> }
}

export function decodeKnock (bytes: Uint8Array): Knock { return readKnock(decodeCanonical(bytes, MAX_KNOCK_BYTES, 'knock')) }

export async function writeKnock (signer: Signer, { net, charter, invite, name }: Pick<Knock, 'net' | 'charter' | 'invite' | 'name'>): Promise<Knock> {
  const said = { net, charter, invite, peer: signer.peer, name }
  return readKnock({ ...plain(said), signature: await signFor(signer, PURPOSE, signedPart(said)) })
}

export function encodeKnock (knock: Knock): Uint8Array { return encodeCanonical(knock.value) }

function signedPart (said: Omit<Knock, 'value'>): Uint8Array { return encodeCanonical(plain(said)) }

function plain ({ net, charter, invite, peer, name }: Omit<Knock, 'value'>): Record<string, unknown> {
  return { net: hashBytes(net), charter: hashBytes(charter), invite: hashBytes(invite), peer, name }
}
