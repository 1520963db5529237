/**
 * The outer wall: libp2p's pre-shared key, and right behind it a proof that both ends have the same one. Without the proof a
 * wrong key shows only as nonsense in the next handshake, which may wait ten seconds for the rest of it.
 */
import { preSharedKey } from '@libp2p/pnet'
import { byteStream } from '@libp2p/utils'
import { ProtocolError } from '../src/errors.ts'
import type { ConnectionProtector } from '@libp2p/interface'

/** What each end sends first, encrypted with the key and a nonce of its own. */
const PROOF = Buffer.from('fmtl private network', 'latin1')

/** @param key - 32 bytes */
export function privateNetwork (key: Uint8Array): () => ConnectionProtector {
  // the form that libp2p's private networks are configured with
  const create = preSharedKey({ psk: Buffer.from(`/key/swarm/psk/1.0.0/\n/base16/\n${Buffer.from(key).toString('hex')}`) })
  return () => {
    const protector = create()
    return {
      protect: async (connection, options) => {
        const boxed = await protector.protect(connection, options)
        const wire = byteStream(boxed)
        const [theirs] = await Promise.all([wire.read({ ...options, bytes: PROOF.length }), wire.write(PROOF, options)])
        if (!PROOF.equals(theirs.subarray())) throw new ProtocolError('the other end has another key: it is in another private network', { code: 'ERR_NETWORK_KEY' })
        return wire.unwrap()
      }
    }
  }
}
