/** Ed25519 signatures by libp2p identities. A peer id of that kind is its public key, so checking one needs no directory. */
import { createPublicKey, verify } from 'node:crypto'
import { base58btc } from 'multiformats/bases/base58'
import { DecodeError } from '../errors.ts'
import type { KeyObject } from 'node:crypto'

/** Who signs: a libp2p identity, or whatever stands for one in a test. */
export interface Signer {
  /** Peer id, base58btc. */
  readonly peer: string
  sign (bytes: Uint8Array): Promise<Uint8Array>
}

export const SIGNATURE_BYTES = 64
/** Identity multihash (0x00), 36 bytes: a protobuf of key type Ed25519 (08 01) and 32 bytes of key (12 20). */
const PREFIX = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)
const KEY_BYTES = 32
/** Signatures come from a few dozen members. */
const MAX_KEYS = 1024
const keys = new Map<string, KeyObject>()

/** @throws {DecodeError} not the peer id of an Ed25519 key in its only spelling */
export function checkPeer (peer: string): string {
  keyOf(peer)
  return peer
}

/** Whether `peer` signed these bytes for this purpose; the purpose keeps a signature for one thing from passing for another. */
export function isSignedBy (peer: string, purpose: string, bytes: Uint8Array, signature: Uint8Array): boolean {
  return signature.byteLength === SIGNATURE_BYTES && verify(null, withPurpose(purpose, bytes), keyOf(peer), signature)
}

export async function signFor (signer: Signer, purpose: string, bytes: Uint8Array): Promise<Uint8Array> {
  return Uint8Array.from(await signer.sign(withPurpose(purpose, bytes)))
}

function withPurpose (purpose: string, bytes: Uint8Array): Uint8Array { return Buffer.concat([Buffer.from(`${purpose}\n`), bytes]) }

function keyOf (peer: string): KeyObject {
  const known = keys.get(peer)
  if (known !== undefined) return known
  let bytes: Uint8Array
  try {
    if (peer.length > 64) throw new Error('too long')
    bytes = base58btc.baseDecode(peer)
  } catch (cause) {
    throw new DecodeError(`'${peer.slice(0, 64)}' is no peer id`, { cause })
  }
  if (bytes.byteLength !== PREFIX.length + KEY_BYTES || !PREFIX.every((byte, i) => bytes[i] === byte) || base58btc.baseEncode(bytes) !== peer) {
    throw new DecodeError(`'${peer}' is no peer id of an Ed25519 key`)
  }
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(bytes.subarray(PREFIX.length)).toString('base64url') }, format: 'jwk' })
  if (keys.size >= MAX_KEYS) keys.delete(keys.keys().next().value as string)
  keys.set(peer, key)
  return key
}
