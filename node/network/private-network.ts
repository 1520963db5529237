/**
 * The private network: who does not have the network key gets no further than 40 bytes. libp2p's pre-shared key makes
 * garbage of what the other side sends and leaves it to chance whether that is noticed at once or after a timeout, so both
 * sides prove here that they read each other, before anything else is said.
 */
import { preSharedKey } from '@libp2p/pnet'
import { FmtlError, InvalidParametersError } from '../../src/errors.ts'
import type { ComponentLogger, ConnectionProtector, MessageStream, StreamMessageEvent } from '@libp2p/interface'

/** What each side must be able to read in the other's first bytes. */
const PROOF = new TextEncoder().encode('fmtl/network/1.0')
/** Nonces and proof are one round trip each: 1 s is a satellite link, twice that a busy one. */
const PROOF_MS = 2_000
const KEY_BYTES = 32

/** The other side has no key, or another one. */
export class ForeignNetworkError extends FmtlError {
  constructor (init?: { cause?: unknown }) {
    super('ERR_FOREIGN_NETWORK', 'the other side is in another private network, or has another network key', { ...init, next: 'ask a member for a new invitation' })
  }
}

/** @throws {InvalidParametersError} a key that is not 32 bytes */
export function privateNetwork (networkKey: Uint8Array): (components: { logger: ComponentLogger }) => ConnectionProtector {
  const sealed = preSharedKey({ psk: swarmKey(networkKey), timeout: PROOF_MS })
  return () => {
    const inner = sealed()
    return {
      [Symbol.toStringTag]: 'fmtl-private-network',
      protect: async (connection, options) => {
        const timeout = AbortSignal.timeout(PROOF_MS)
        const signal = options?.signal == null ? timeout : AbortSignal.any([options.signal, timeout])
        try {
          const boxed = await inner.protect(connection, { ...options, signal })
          await prove(boxed, signal)
          return boxed
        } catch (cause) {
          options?.signal?.throwIfAborted()
          const err = new ForeignNetworkError({ cause })
          connection.abort(err)
          throw err
        }
      }
    }
  }
}

/** The standard text form of a swarm.key file. */
function swarmKey (key: Uint8Array): Uint8Array {
  if (key.byteLength !== KEY_BYTES) throw new InvalidParametersError(`a network key has ${KEY_BYTES} bytes, not ${key.byteLength}`)
  return new TextEncoder().encode(`/key/swarm/psk/1.0.0/\n/base16/\n${Buffer.from(key).toString('hex')}`)
}

/** Sends the proof and reads the other one, and not a byte more. */
async function prove (connection: MessageStream, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  let got = Buffer.alloc(0)
  const onMessage = ({ data }: StreamMessageEvent): void => {
    got = Buffer.concat([got, data.subarray()])
    if (got.byteLength < PROOF.byteLength) return
    connection.removeEventListener('message', onMessage)
    // the rest waits for the next reader
    connection.unshift(got.subarray(PROOF.byteLength))
    resolve(got.subarray(0, PROOF.byteLength))
  }
  const onEnd = (): void => { reject(new Error('no proof came')) }
  connection.addEventListener('message', onMessage)
  connection.addEventListener('close', onEnd)
  signal.addEventListener('abort', onEnd)
  try {
    connection.send(PROOF)
    if (!(await promise).equals(PROOF)) throw new Error('the proof is another one')
  } finally {
    connection.removeEventListener('message', onMessage)
    connection.removeEventListener('close', onEnd)
    signal.removeEventListener('abort', onEnd)
  }
}
