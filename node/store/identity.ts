/**
 * A node's Ed25519 key: who it is to every peer. One file that only its owner can read, under a passphrase if the owner
 * wants one; lost with it is the membership.
 */
import { createHash } from 'node:crypto'
import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { generateKeyPair, generateKeyPairFromSeed, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ResourceError } from '../../src/errors.ts'
import { diskError, writeDurably } from './durable.ts'
import { findPassphrase, givenPassphrase } from './passphrase.ts'
import { MAX_SEALED_BYTES, damaged, isSealed, openSealed, readSealed, sealKey } from './sealed-key.ts'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import type { PassphraseSources } from './passphrase.ts'
import type { Signer } from '../../src/membership/index.ts'
import type { ScryptCost } from './sealed-key.ts'

export interface IdentityInit extends PassphraseSources {
  /** Protect a new key, also where no passphrase is set and it must be asked for. */
  readonly protect?: boolean
  /** Of a key that is sealed now. */
  readonly cost?: ScryptCost
}

export interface Identity {
  readonly key: Ed25519PrivateKey
  readonly made: boolean
  readonly sealed: boolean
}

/**
 * A new key is protected where a passphrase is set; one that is there stays as it is.
 * @throws {ResourceError} others may read the key, or it cannot be read or written
 * @throws {DataError} the file holds no Ed25519 key
 * @throws {InvalidParametersError} a passphrase is missing or does not open it
 */
export async function loadOrCreateIdentity (path: string, init: IdentityInit = {}): Promise<Ed25519PrivateKey> {
  return (await identityAt(path, init)).key
}

/** The same, with what was found. */
export async function identityAt (path: string, init: IdentityInit = {}): Promise<Identity> {
  const bytes = await readPrivate(path)
  if (bytes !== undefined) return { made: false, sealed: isSealed(bytes), key: await parse(bytes, path, init) }
  const passphrase = init.protect === true ? await findPassphrase('set', init) : await givenPassphrase(init.env)
  const key = await generateKeyPair('Ed25519')
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  } catch (err) {
    throw diskError(err, `folder ${dirname(path)} not made`, dirname(dirname(path)))
  }
  await write(path, key, passphrase, init.cost)
  return { key, made: true, sealed: passphrase !== undefined }
}

/**
 * Puts a passphrase on the key at `path`, or takes it off: the new file is whole before it takes the old one's place.
 * @returns whether anything changed
 */
export async function protectIdentity (path: string, wanted: boolean, init: IdentityInit = {}): Promise<boolean> {
  const { key, sealed } = await identityAt(path, init)
  if (sealed === wanted) return false
  await write(path, key, wanted ? await findPassphrase('set', init) : undefined, init.cost)
  return true
}

/** Signs what members exchange and keep: the member log, knocks, the ledger. */
export function signerOf (key: Ed25519PrivateKey): Signer {
  return { peer: peerIdFromPrivateKey(key).toString(), sign: async bytes => await key.sign(bytes) }
}

/** The same key for the same seed and label: for testnets, where nobody has anything to protect. */
export async function seededIdentity (seed: number, label: string): Promise<Ed25519PrivateKey> {
  return await generateKeyPairFromSeed('Ed25519', createHash('sha256').update(`fmtl testnet ${seed} ${label}`).digest())
}

/** Overwrites the passphrase and the plain bytes that it made. */
async function write (path: string, key: Ed25519PrivateKey, passphrase: Uint8Array | undefined, cost?: ScryptCost): Promise<void> {
  const plain = privateKeyToProtobuf(key)
  try {
    await writeDurably(path, passphrase === undefined ? plain : await sealKey(plain, passphrase, cost), 0o600)
  } finally {
    plain.fill(0)
    passphrase?.fill(0)
  }
}

async function readPrivate (path: string): Promise<Uint8Array | undefined> {
  try {
    const file = await open(path, 'r')
    try {
      const { mode, size } = await file.stat()
      if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
        throw new ResourceError(`${path} holds this node's private key and other users may read it (mode ${(mode & 0o777).toString(8)})`, { next: `chmod 600 ${path}` })
      }
      return size > MAX_SEALED_BYTES ? new Uint8Array() : await file.readFile()
    } finally {
      await file.close()
    }
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw diskError(err, `${path} not read`, dirname(path))
  }
}

/** Overwrites the bytes; the key has a copy of its own. */
async function parse (bytes: Uint8Array, path: string, init: IdentityInit): Promise<Ed25519PrivateKey> {
  const plain = isSealed(bytes) ? await unseal(bytes, path, init) : bytes
  let key
  try {
    key = privateKeyFromProtobuf(plain)
    const again = privateKeyToProtobuf(key)
    const same = Buffer.from(again.buffer, again.byteOffset, again.byteLength).equals(plain)
    again.fill(0)
    if (key.type !== 'Ed25519' || !same) throw new Error('another kind of key, or not as it is written')
    // The file holds both halves: one flipped bit and they are no longer a pair.
    const probe = new TextEncoder().encode('fmtl identity')
    if (!await key.publicKey.verify(probe, await key.sign(probe))) throw new Error('the halves are no pair')
    return key
  } catch (err) {
    throw damaged(path, err)
  } finally {
    plain.fill(0)
  }
}

async function unseal (bytes: Uint8Array, path: string, init: IdentityInit): Promise<Uint8Array> {
  let file
  try {
    file = readSealed(bytes)
  } catch (err) {
    throw damaged(path, err)
  }
  const passphrase = await findPassphrase('open', init)
  try {
    return await openSealed(file, passphrase, path)
  } finally {
    passphrase.fill(0)
  }
}
