/**
 * A private key under a passphrase, as a file:
 *
 *     'fmtl identity 1\n'  sha-256 of the rest  DAG-CBOR [header, sealed]
 *     header = { kdf: 'scrypt', N, r, p, salt, cipher: 'chacha20-poly1305', nonce }
 *
 * The header is the cipher's associated data: whoever changes the cost or the salt breaks the seal. The plain hash only
 * tells a damaged file from a wrong passphrase, and does so before the passphrase is asked for.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes, scrypt } from 'node:crypto'
import { DataError, DecodeError, InvalidParametersError, ResourceError } from '../../src/errors.ts'
import { Fields, decodeCanonical, encodeCanonical } from '../../src/membership/encoding.ts'

export interface ScryptCost {
  readonly N: number
  readonly r: number
  readonly p: number
}

export interface SealedKey {
  /** As it was written: the associated data. */
  readonly header: Uint8Array
  readonly cost: ScryptCost
  readonly salt: Uint8Array
  readonly nonce: Uint8Array
  readonly sealed: Uint8Array
}

const MAGIC = Buffer.from('fmtl identity 1\n')
const HASH_BYTES = 32
/** A key of 68 bytes takes 270. */
export const MAX_SEALED_BYTES = 1024
const SALT_BYTES = 16
const NONCE_BYTES = 12
const TAG_BYTES = 16
const CIPHER = 'chacha20-poly1305'
/** 128 MiB and half a second on one core, as OWASP asks for. */
const COST: ScryptCost = { N: 2 ** 17, r: 8, p: 1 }
/** Most memory that a file may ask for: twice the above. */
const MAX_KDF_BYTES = 2 ** 28
const MAX_P = 4

export function isSealed (bytes: Uint8Array): boolean { return MAGIC.equals(bytes.subarray(0, MAGIC.length)) }

/** Own randomness per file; `cost` below the default is for tests only. */
export async function sealKey (key: Uint8Array, passphrase: Uint8Array, cost: ScryptCost = COST): Promise<Uint8Array> {
  const [salt, nonce] = [randomBytes(SALT_BYTES), randomBytes(NONCE_BYTES)]
  const header = { kdf: 'scrypt', ...cost, salt: Uint8Array.from(salt), cipher: CIPHER, nonce: Uint8Array.from(nonce) }
  const secret = await derive(passphrase, salt, cost)
  try {
    const cipher = createCipheriv(CIPHER, secret, nonce, { authTagLength: TAG_BYTES })
    cipher.setAAD(encodeCanonical(header), { plaintextLength: key.byteLength })
    const sealed = Buffer.concat([cipher.update(key), cipher.final(), cipher.getAuthTag()])
    const body = encodeCanonical([header, Uint8Array.from(sealed)])
    return Buffer.concat([MAGIC, createHash('sha256').update(body).digest(), body])
  } finally {
    secret.fill(0)
  }
}

/** Reads the file without opening it. @throws {DecodeError} damaged, not canonical, or of a cost that is out of bounds */
export function readSealed (bytes: Uint8Array): SealedKey {
  const body = bytes.subarray(MAGIC.length + HASH_BYTES)
  if (!isSealed(bytes) || bytes.byteLength > MAX_SEALED_BYTES) throw new DecodeError('no sealed key')
  const hash = createHash('sha256').update(body).digest()
  if (!hash.equals(bytes.subarray(MAGIC.length, MAGIC.length + HASH_BYTES))) throw new DecodeError('its checksum does not fit')
  const value = decodeCanonical(body, MAX_SEALED_BYTES, 'sealed key')
  const [head, sealed] = Array.isArray(value) && value.length === 2 ? value as [unknown, unknown] : [undefined, undefined]
  if (!(sealed instanceof Uint8Array) || sealed.byteLength <= TAG_BYTES) throw new DecodeError('sealed key: no header and sealed bytes')
  const fields = new Fields(head, 'sealed key')
  fields.oneOf('kdf', ['scrypt'])
  fields.oneOf('cipher', [CIPHER])
  const cost = { N: fields.integer('N', 2, 2 ** 24), r: fields.integer('r', 1, 64), p: fields.integer('p', 1, MAX_P) }
  if ((cost.N & (cost.N - 1)) !== 0) throw new DecodeError('sealed key: N must be a power of two')
  if (memoryOf(cost) > MAX_KDF_BYTES) throw new DecodeError(`sealed key: a cost of ${Math.ceil(memoryOf(cost) / 2 ** 20)} MiB, at most ${MAX_KDF_BYTES / 2 ** 20} are spent`)
  const salt = fields.bytes('salt', SALT_BYTES)
  const nonce = fields.bytes('nonce', NONCE_BYTES)
  fields.done()
  return { header: encodeCanonical(head), cost, salt, nonce, sealed }
}

/**
 * The key's bytes, which the caller overwrites after use.
 * @throws {InvalidParametersError} the passphrase is another one, or somebody changed the file and its checksum
 */
export async function openSealed ({ header, cost, salt, nonce, sealed }: SealedKey, passphrase: Uint8Array, path: string): Promise<Uint8Array> {
  const secret = await derive(passphrase, salt, cost)
  try {
    const cipher = createDecipheriv(CIPHER, secret, nonce, { authTagLength: TAG_BYTES })
    const length = sealed.byteLength - TAG_BYTES
    cipher.setAAD(header, { plaintextLength: length })
    cipher.setAuthTag(sealed.subarray(length))
    const key = cipher.update(sealed.subarray(0, length))
    try {
      cipher.final()
    } catch (cause) {
      key.fill(0)
      throw new InvalidParametersError(`the passphrase does not open ${path}`, { cause, next: 'try again; without it the identity is lost, and so is its membership' })
    }
    return key
  } finally {
    secret.fill(0)
  }
}

/** By a thread of Node's pool. */
async function derive (passphrase: Uint8Array, salt: Uint8Array, cost: ScryptCost): Promise<Buffer> {
  return await new Promise((resolve, reject) => {
    scrypt(passphrase, salt, 32, { ...cost, maxmem: memoryOf(cost) + 2 ** 20 }, (err, key) => {
      if (err === null) resolve(key)
      else reject(new ResourceError(`no memory to open the identity: ${Math.ceil(memoryOf(cost) / 2 ** 20)} MiB are needed`, { cause: err, next: 'close other programs' }))
    })
  })
}

function memoryOf ({ N, r, p }: ScryptCost): number { return 128 * r * (N + p) }

/** For whoever shows a damaged file to a person. */
export function damaged (path: string, cause?: unknown): DataError {
  return new DataError(`${path} is no Ed25519 key, or a damaged one`, { cause, next: `restore it from a copy, or start as a new node: mv ${path} ${path}.damaged` })
}
