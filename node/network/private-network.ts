/**
 * The private network: who does not have the network key gets no further than 32 random bytes.
 *
 * Both sides send a salt, derive a key for each direction from the network key and the two salts, and from then on every byte
 * goes through AES-256-CTR. Each proves at once that it reads the other, so a foreign key is noticed in one round trip. Who a
 * member is, and that nothing was changed on the way, is the business of Noise, which runs inside.
 *
 * libp2p's own form of this (@libp2p/pnet) does not serve: its xsalsa20 keeps the state of all connections in one WebAssembly
 * memory and ends the process when two of them carry messages of a megabyte, and a foreign key may cost it a whole timeout.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { Uint8ArrayList } from 'uint8arraylist'
import { FmtlError, InvalidParametersError } from '../../src/errors.ts'
import type { ConnectionProtector, MessageStream, StreamMessageEvent } from '@libp2p/interface'

/** What each side must be able to read in the other's first bytes. */
const PROOF = new TextEncoder().encode('fmtl/network/1.0')
/** Salt and proof are one round trip each: 1 s is a satellite link, twice that a busy one. */
const PROOF_MS = 2_000
const KEY_BYTES = 32
const SALT_BYTES = 32
/** The key is of this connection and direction alone, so the counter may start anywhere. */
const IV = new Uint8Array(16)

/** The other side has no key, or another one. */
export class ForeignNetworkError extends FmtlError {
  constructor (init?: { cause?: unknown }) {
    super('ERR_FOREIGN_NETWORK', 'the other side is in another private network, or has another network key', { ...init, next: 'ask a member for a new invitation' })
  }
}

/** How a node without a network key begins: shorter than a salt, it would be waited for. */
const PLAIN = Buffer.from('\x13/multistream/1.0.0\n', 'latin1')

/** What every connection of the library has below its interface: where bytes leave and arrive. */
interface Wire extends MessageStream {
  sendData (data: Uint8ArrayList): { sentBytes: number, canSendMore: boolean }
  onData (data: Uint8Array | Uint8ArrayList): void
}

/** @throws {InvalidParametersError} a key that is not 32 bytes */
export function privateNetwork (networkKey: Uint8Array): () => ConnectionProtector {
  if (networkKey.byteLength !== KEY_BYTES) throw new InvalidParametersError(`a network key has ${KEY_BYTES} bytes, not ${networkKey.byteLength}`)
  const key = Uint8Array.from(networkKey)
  return () => ({
    [Symbol.toStringTag]: 'fmtl-private-network',
    protect: async <T extends MessageStream> (connection: T, options?: { signal?: AbortSignal }): Promise<T> => {
      const timeout = AbortSignal.timeout(PROOF_MS)
      const signal = options?.signal == null ? timeout : AbortSignal.any([options.signal, timeout])
      try {
        await seal(connection as unknown as Wire, key, signal)
        return connection
      } catch (cause) {
        options?.signal?.throwIfAborted()
        const err = new ForeignNetworkError({ cause })
        connection.abort(err)
        throw err
      }
    }
  })
}

async function seal (wire: Wire, key: Uint8Array, signal: AbortSignal): Promise<void> {
  const salt = randomBytes(SALT_BYTES)
  wire.send(salt)
  await readExactly(wire, SALT_BYTES, signal, theirs => {
    if (theirs.equals(salt)) throw new Error('the other side sends back what it gets')
    return encipher(wire, derive(key, salt, theirs), derive(key, theirs, salt))
  })
  wire.send(PROOF)
  await readExactly(wire, PROOF.byteLength, signal, proof => {
    if (!proof.equals(PROOF)) throw new Error('the proof is another one')
    return rest => rest
  })
}

/** From now on all that leaves is enciphered, and all that arrives deciphered. Returns what deciphers what has arrived already. */
function encipher (wire: Wire, outKey: Uint8Array, inKey: Uint8Array): (data: Uint8Array) => Uint8Array {
  const cipher = createCipheriv('aes-256-ctr', outKey, IV)
  const decipher = createDecipheriv('aes-256-ctr', inKey, IV)
  const { sendData, onData } = wire
  wire.sendData = data => {
    let sentBytes = 0
    for (const part of data) {
      const result = sendData.call(wire, new Uint8ArrayList(cipher.update(part)))
      // a part is taken as a whole or the connection is lost: the other side counts along
      if (result.sentBytes !== part.byteLength) throw new Error(`only ${result.sentBytes} of ${part.byteLength} bytes were taken`)
      sentBytes += result.sentBytes
      if (!result.canSendMore) return { sentBytes, canSendMore: false }
    }
    return { sentBytes, canSendMore: true }
  }
  wire.onData = data => {
    onData.call(wire, data instanceof Uint8Array ? decipher.update(data) : new Uint8ArrayList(...[...data].map(part => decipher.update(part))))
  }
  return data => decipher.update(data)
}

/**
 * Reads so many bytes. `take` gets them at once, before anything else can arrive, and returns what is done to what came with
 * them; that waits in the connection for the next reader.
 */
async function readExactly (connection: MessageStream, length: number, signal: AbortSignal, take: (bytes: Buffer) => (rest: Uint8Array) => Uint8Array): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let got = Buffer.alloc(0)
  const onMessage = ({ data }: StreamMessageEvent): void => {
    got = Buffer.concat([got, data.subarray()])
    if (got.subarray(0, PLAIN.byteLength).equals(PLAIN)) reject(new Error('the other side speaks libp2p without a network key'))
    if (got.byteLength < length) return
    connection.removeEventListener('message', onMessage)
    try {
      connection.unshift(take(got.subarray(0, length))(got.subarray(length)))
      resolve()
    } catch (err) {
      reject(err as Error)
    }
  }
  const onEnd = (): void => { reject(new Error('the other side fell silent')) }
  connection.addEventListener('message', onMessage)
  connection.addEventListener('close', onEnd)
  signal.addEventListener('abort', onEnd)
  try {
    await promise
  } finally {
    connection.removeEventListener('message', onMessage)
    connection.removeEventListener('close', onEnd)
    signal.removeEventListener('abort', onEnd)
  }
}

function derive (key: Uint8Array, from: Uint8Array, to: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, Buffer.concat([from, to]), 'fmtl/network/1.0', 32))
}
