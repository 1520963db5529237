/**
 * Noise as the library has it, but for three costs of every message:
 *
 *  - Node wraps a key given as bytes anew, and takes a stack trace on the way: a third of the time that 64 KiB take to
 *    encrypt or decrypt. Here each key is wrapped once.
 *  - A message leaves in up to five writes, each a system call here and a piece to read there. Here they are joined.
 *  - That more bytes have to come, the library notices by an error, whose stack trace takes as long as a small message. Here
 *    what has not come yet counts as the length of a message longer than any that could be there.
 */
import { createSecretKey } from 'node:crypto'
import { defaultCrypto, nodeCrypto } from '@libp2p/noise/crypto'
import { noise } from '@libp2p/noise'
import { Uint8ArrayList } from 'uint8arraylist'
import type { ConnectionEncrypter, MessageStream, SecuredConnection } from '@libp2p/interface'
import type { ICryptoInterface } from '@libp2p/noise'

/** Bytes from which the library leaves a message to Node; below, its own WebAssembly, which wants the key's bytes, is faster. */
const LARGE = 1200

const LENGTH_BYTES = 2
/** Of a message, by its two bytes. */
const MAX_LENGTH = 0xffff

/** Lengths, headers and tags, and messages of hardly more. */
const SMALL_BYTES = 4096

const wrapped = new WeakMap<Uint8Array, Uint8Array>()

/** Node's ciphers take a wrapped key wherever they take its bytes; the library's types know of bytes only. */
function wrap (key: Uint8Array): Uint8Array {
  const known = wrapped.get(key)
  if (known !== undefined) return known
  const made = createSecretKey(key) as unknown as Uint8Array
  wrapped.set(key, made)
  return made
}

export const noiseCrypto: ICryptoInterface = {
  ...defaultCrypto,
  chaCha20Poly1305Encrypt: (plaintext, nonce, ad, key) => plaintext.byteLength < LARGE
    ? defaultCrypto.chaCha20Poly1305Encrypt(plaintext, nonce, ad, key)
    : nodeCrypto.chaCha20Poly1305Encrypt(plaintext, nonce, ad, wrap(key)),
  chaCha20Poly1305Decrypt: (ciphertext, nonce, ad, key, into) => ciphertext.byteLength < LARGE
    ? defaultCrypto.chaCha20Poly1305Decrypt(ciphertext, nonce, ad, key, into)
    : nodeCrypto.chaCha20Poly1305Decrypt(ciphertext, nonce, ad, wrap(key))
}

/** A connection of the library below its interface. */
interface Wire { sendData: (data: Uint8ArrayList) => unknown }

/** Where the library splits what arrives into messages: two bytes of length before each. */
interface Splitting { readonly decoder: { lengthDecoder: (data: Uint8ArrayList) => number } }

export function encryption (): (components: Parameters<ReturnType<typeof noise>>[0]) => ConnectionEncrypter {
  return components => {
    const encrypter = noise({ crypto: noiseCrypto })(components)
    const tuned = async <T extends SecuredConnection<unknown>> (wire: MessageStream, securing: Promise<T>): Promise<T> => {
      const secured = await securing
      const { decoder } = secured.connection as unknown as Splitting
      decoder.lengthDecoder = data => data.byteLength < LENGTH_BYTES ? MAX_LENGTH : data.getUint16(0)
      writeInRuns(wire as unknown as Wire)
      return secured
    }
    return Object.assign(Object.create(encrypter) as ConnectionEncrypter, {
      secureInbound: async (wire, options) => await tuned(wire, encrypter.secureInbound(wire, options)),
      secureOutbound: async (wire, options) => await tuned(wire, encrypter.secureOutbound(wire, options))
    } satisfies Pick<ConnectionEncrypter, 'secureInbound' | 'secureOutbound'>)
  }
}

/** Small pieces that are sent together are written together. Large ones are not copied for it: that takes longer than a write. */
function writeInRuns (wire: Wire): void {
  const sendData = wire.sendData.bind(wire)
  wire.sendData = data => sendData(joined(data))
}

function joined (data: Uint8ArrayList): Uint8ArrayList {
  const runs = new Uint8ArrayList()
  let run: Uint8Array[] = []
  const end = (): void => {
    const [first] = run
    if (first !== undefined) runs.append(run.length === 1 ? first : Buffer.concat(run))
    run = []
  }
  for (const piece of data) {
    if (piece.byteLength < SMALL_BYTES) {
      run.push(piece)
      continue
    }
    end()
    runs.append(piece)
  }
  end()
  return runs
}
