/** Wrapped keys change nothing on the wire: either side may be the library as it comes. */
import test from 'ava'
import { Uint8ArrayList } from 'uint8arraylist'
import { defaultCrypto } from '@libp2p/noise/crypto'
import { noiseCrypto } from '../../node/network/encryption.ts'
import { Random } from '../../src/random.ts'

const random = new Random(7)
const bytes = (count: number): Uint8Array => Uint8Array.from({ length: count }, () => random.int(256))
const [key, other, nonce, data] = [bytes(32), bytes(32), bytes(12), bytes(32)] as [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
/** Plain bytes: a slice of a Buffer shares its memory. */
const copy = (of: Uint8Array | Uint8ArrayList): Uint8Array => Uint8Array.from(of.subarray())

for (const size of [0, 1, 1183, 1184, 1199, 1200, 65_519]) {
  test(`messages of ${size} bytes are the library's, whole and in parts`, t => {
    const plain = bytes(size)
    const sealed = copy(defaultCrypto.chaCha20Poly1305Encrypt(plain, nonce, data, key))
    for (const given of [plain, new Uint8ArrayList(plain.subarray(0, size >> 1), plain.subarray(size >> 1))]) {
      t.deepEqual(copy(noiseCrypto.chaCha20Poly1305Encrypt(given, nonce, data, key)), sealed)
    }
    // decryption may write over what it is given
    for (const given of [sealed.slice(), new Uint8ArrayList(sealed.slice(0, size >> 1), sealed.slice(size >> 1))]) {
      t.deepEqual(copy(noiseCrypto.chaCha20Poly1305Decrypt(given, nonce, data, key)), plain)
    }
  })

  test(`a message of ${size} bytes under another key, or with a bit turned, is refused`, t => {
    const sealed = copy(noiseCrypto.chaCha20Poly1305Encrypt(bytes(size), nonce, data, key))
    const turned = sealed.slice()
    turned[size >> 1] = (turned[size >> 1] as number) ^ 1
    t.throws(() => noiseCrypto.chaCha20Poly1305Decrypt(sealed.slice(), nonce, data, other))
    t.throws(() => noiseCrypto.chaCha20Poly1305Decrypt(turned, nonce, data, key))
    t.notThrows(() => noiseCrypto.chaCha20Poly1305Decrypt(sealed.slice(), nonce, data, key))
  })
}
