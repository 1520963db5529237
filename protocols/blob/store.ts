/** Blobs by the sha-256 of their content, in memory, least recently used out first when the cap is reached. */
import { createHash, subtle } from 'node:crypto'
import { ResourceError } from '../../src/errors.ts'
import { BLOB_CHUNK_BYTES, MAX_BLOB_BYTES } from '../limits.ts'
import type { BlobManifest } from './messages.ts'

interface Entry {
  bytes: Uint8Array
  manifest: Promise<BlobManifest> | undefined
}

export class BlobStore {
  readonly #maxBytes: number
  /** In order of last use. */
  readonly #entries = new Map<string, Entry>()
  #bytes = 0

  constructor (maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get bytes (): number { return this.#bytes }

  /**
   * @returns the hash it can be asked for by
   * @throws {ResourceError} larger than the cap, or than any blob may be
   */
  put (bytes: Uint8Array): string {
    this.expectRoom(bytes.byteLength)
    const hash = sha256(bytes)
    this.add(hash, bytes)
    return hash
  }

  /** @throws {ResourceError} larger than the cap, or than any blob may be */
  expectRoom (bytes: number): void {
    if (bytes > Math.min(this.#maxBytes, MAX_BLOB_BYTES)) {
      throw new ResourceError(`blob of ${bytes} bytes, the store holds ${this.#maxBytes}`, { next: 'raise the cap of the blob store' })
    }
  }

  /**
   * A blob that is known to have this hash.
   * @throws {ResourceError} larger than the cap, or than any blob may be
   */
  add (hash: string, bytes: Uint8Array): void {
    this.expectRoom(bytes.byteLength)
    if (this.#use(hash) != null) return
    this.#entries.set(hash, { bytes, manifest: undefined })
    this.#bytes += bytes.byteLength
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.#maxBytes) break
      this.#entries.delete(oldest)
      this.#bytes -= entry.bytes.byteLength
    }
  }

  get (hash: string): Uint8Array | undefined {
    return this.#use(hash)?.bytes
  }

  async manifest (hash: string): Promise<BlobManifest | undefined> {
    const entry = this.#use(hash)
    if (entry == null) return undefined
    entry.manifest ??= manifestOf(entry.bytes)
    return await entry.manifest
  }

  chunk (hash: string, index: number): Uint8Array | undefined {
    const bytes = this.get(hash)?.subarray(index * BLOB_CHUNK_BYTES, (index + 1) * BLOB_CHUNK_BYTES)
    return bytes == null || bytes.byteLength === 0 ? undefined : bytes
  }

  #use (hash: string): Entry | undefined {
    const entry = this.#entries.get(hash)
    if (entry == null) return undefined
    this.#entries.delete(hash)
    this.#entries.set(hash, entry)
    return entry
  }
}

export function sha256 (bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** The same, computed by another thread: this one only copies the bytes. */
export async function sha256Aside (bytes: Uint8Array): Promise<string> {
  return Buffer.from(await subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)).toString('hex')
}

/** Chunk by chunk: copying all at once would hold up whoever waits for this thread. */
async function manifestOf (bytes: Uint8Array): Promise<BlobManifest> {
  const chunks: string[] = []
  for (let at = 0; at < bytes.byteLength; at += BLOB_CHUNK_BYTES) chunks.push(await sha256Aside(bytes.subarray(at, at + BLOB_CHUNK_BYTES)))
  return { bytes: bytes.byteLength, chunks }
}
