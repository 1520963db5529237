/** Blobs by the sha-256 of their content, in memory, least recently used out first when the cap is reached. */
import { createHash } from 'node:crypto'
import { ResourceError } from '../../src/errors.ts'
import { BLOB_CHUNK_BYTES, MAX_BLOB_BYTES } from '../limits.ts'
import type { BlobManifest } from './messages.ts'

interface Entry {
  bytes: Uint8Array
  manifest: BlobManifest | undefined
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
    if (bytes.byteLength > Math.min(this.#maxBytes, MAX_BLOB_BYTES)) {
      throw new ResourceError(`blob of ${bytes.byteLength} bytes, the store holds ${this.#maxBytes}`, { next: 'raise the cap of the blob store' })
    }
    const hash = sha256(bytes)
    if (this.#use(hash) != null) return hash
    this.#entries.set(hash, { bytes, manifest: undefined })
    this.#bytes += bytes.byteLength
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.#maxBytes) break
      this.#entries.delete(oldest)
      this.#bytes -= entry.bytes.byteLength
    }
    return hash
  }

  get (hash: string): Uint8Array | undefined {
    return this.#use(hash)?.bytes
  }

  manifest (hash: string): BlobManifest | undefined {
    const entry = this.#use(hash)
    if (entry == null) return undefined
    entry.manifest ??= { bytes: entry.bytes.byteLength, chunks: chunksOf(entry.bytes).map(sha256) }
    return entry.manifest
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

function chunksOf (bytes: Uint8Array): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.byteLength / BLOB_CHUNK_BYTES) }, (_, i) => bytes.subarray(i * BLOB_CHUNK_BYTES, (i + 1) * BLOB_CHUNK_BYTES))
}
