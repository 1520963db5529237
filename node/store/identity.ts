/** A node's Ed25519 key: who it is to every peer. One file that only its owner can read; lost with it is the membership. */
import { createHash } from 'node:crypto'
import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { generateKeyPair, generateKeyPairFromSeed, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { DataError, ResourceError } from '../../src/errors.ts'
import { diskError, writeDurably } from './durable.ts'
import type { Ed25519PrivateKey } from '@libp2p/interface'

/** An Ed25519 key is 68 bytes; whatever is larger is another file. */
const MAX_KEY_BYTES = 1024

/**
 * @throws {ResourceError} others may read the key, or it cannot be read or written
 * @throws {DataError} the file holds no Ed25519 key
 */
export async function loadOrCreateIdentity (path: string): Promise<Ed25519PrivateKey> {
  const bytes = await readPrivate(path)
  if (bytes !== undefined) return await parse(bytes, path)
  const key = await generateKeyPair('Ed25519')
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  } catch (err) {
    throw diskError(err, `folder ${dirname(path)} not made`, dirname(dirname(path)))
  }
  await writeDurably(path, privateKeyToProtobuf(key), 0o600)
  return key
}

/** The same key for the same seed and label: for testnets, where nobody has anything to protect. */
export async function seededIdentity (seed: number, label: string): Promise<Ed25519PrivateKey> {
  return await generateKeyPairFromSeed('Ed25519', createHash('sha256').update(`fmtl testnet ${seed} ${label}`).digest())
}

async function readPrivate (path: string): Promise<Uint8Array | undefined> {
  try {
    const file = await open(path, 'r')
    try {
      const { mode, size } = await file.stat()
      if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
        throw new ResourceError(`${path} holds this node's private key and other users may read it (mode ${(mode & 0o777).toString(8)})`, { next: `chmod 600 ${path}` })
      }
      return size > MAX_KEY_BYTES ? new Uint8Array() : await file.readFile()
    } finally {
      await file.close()
    }
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw diskError(err, `${path} not read`, dirname(path))
  }
}

async function parse (bytes: Uint8Array, path: string): Promise<Ed25519PrivateKey> {
  const damaged = (cause?: unknown): DataError =>
    new DataError(`${path} is no Ed25519 key, or a damaged one`, { cause, next: `restore it from a copy, or start as a new node: mv ${path} ${path}.damaged` })
  let key
  try {
    key = privateKeyFromProtobuf(bytes)
  } catch (err) {
    throw damaged(err)
  }
  if (key.type !== 'Ed25519' || !Buffer.from(privateKeyToProtobuf(key)).equals(bytes)) throw damaged()
  // The file holds both halves: one flipped bit and they are no longer a pair.
  const probe = new TextEncoder().encode('fmtl identity')
  if (!await key.publicKey.verify(probe, await key.sign(probe))) throw damaged()
  return key
}
