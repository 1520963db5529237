/**
 * Noise as the library has it, but for how keys are held. Node wraps a key given as bytes anew for every message, and takes a
 * stack trace on the way: a third of the time that a frame of 64 KiB takes to encrypt or decrypt. Here each is wrapped once.
 */
import { createSecretKey } from 'node:crypto'
import { defaultCrypto, nodeCrypto } from '@libp2p/noise/crypto'
import { noise } from '@libp2p/noise'
import type { ICryptoInterface } from '@libp2p/noise'

/** Bytes from which the library leaves a message to Node; below, its own WebAssembly, which wants the key's bytes, is faster. */
const LARGE = 1200

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

export function encryption (): ReturnType<typeof noise> { return noise({ crypto: noiseCrypto }) }
