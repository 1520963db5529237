/** A blob that is being received: every chunk goes straight to its place, and the whole is hashed in order while it comes. */
import { createHash } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { BLOB_CHUNK_BYTES } from '../limits.ts'
import { HashThread } from './hash-thread.ts'
import { sha256Aside } from './store.ts'
import type { BlobManifest } from './messages.ts'

/** From here on the whole is hashed by a thread of its own: it takes 40 ms to start, in which 40 MiB can be hashed. */
const THREAD_BYTES = 32 * BLOB_CHUNK_BYTES

export class Assembly {
  readonly bytes: Uint8Array
  /** Of each chunk: whether its bytes are there, who gave them, and their hash where it was looked at. */
  readonly #chunks: Array<{ there: boolean, hash: string | undefined, from?: string }>
  #wake: () => void = () => {}

  constructor (bytes: number) {
    this.bytes = new Uint8Array(bytes)
    this.#chunks = Array.from({ length: Math.ceil(bytes / BLOB_CHUNK_BYTES) }, () => ({ there: false, hash: undefined }))
  }

  get empty (): boolean { return this.#chunks.every(({ there }) => !there) }

  /**
   * Forgets chunks that are not what the manifest says.
   * @returns the index of each chunk that is to be fetched, and who gave those that were forgotten
   */
  async missing (manifest: BlobManifest | undefined): Promise<{ todo: number[], wrong: Set<string> }> {
    const todo: number[] = []
    const wrong = new Set<string>()
    for (const [i, chunk] of this.#chunks.entries()) {
      if (chunk.there && manifest != null) {
        chunk.hash ??= await sha256Aside(this.#view(i))
        if (chunk.hash === manifest.chunks[i]) continue
        if (chunk.from !== undefined) wrong.add(chunk.from)
      }
      this.#chunks[i] = { there: false, hash: undefined }
      todo.push(i)
    }
    return { todo, wrong }
  }

  /**
   * Puts a chunk in its place.
   * @param origin.hash - what it must have; undefined when only the whole will be looked at
   * @returns false: it is something else, and its place is empty
   */
  async place (index: number, pieces: readonly Uint8Array[], { from, hash }: { readonly from: string, readonly hash: string | undefined }): Promise<boolean> {
    const view = this.#view(index)
    if (pieces.reduce((sum, piece) => sum + piece.byteLength, 0) !== view.byteLength) return false
    let at = 0
    for (const piece of pieces) {
      view.set(piece, at)
      at += piece.byteLength
    }
    if (hash !== undefined && await sha256Aside(view) !== hash) return false
    this.#chunks[index] = { there: true, hash, from }
    this.#wake()
    return true
  }

  /**
   * sha-256 of the whole, hex, once all chunks are there.
   * @throws the signal's reason
   * @throws {ResourceError} the thread that hashes a large blob has ended
   */
  async digest (signal: AbortSignal): Promise<string> {
    const whole = this.bytes.byteLength >= THREAD_BYTES ? new HashThread() : new HashHere()
    try {
      for (let i = 0; i < this.#chunks.length; i++) {
        while (this.#chunks[i]?.there !== true) await this.#change(signal)
        // the only chunk is the whole, and may have been looked at
        if (this.#chunks.length === 1 && this.#chunks[0]?.hash !== undefined) return this.#chunks[0].hash
        await whole.update(this.#view(i))
      }
      return await whole.digest()
    } finally {
      await whole.end()
    }
  }

  async #change (signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wake = resolve
    signal.addEventListener('abort', resolve as () => void)
    if (!signal.aborted) await promise
    signal.removeEventListener('abort', resolve as () => void)
    signal.throwIfAborted()
  }

  #view (index: number): Uint8Array {
    return this.bytes.subarray(index * BLOB_CHUNK_BYTES, (index + 1) * BLOB_CHUNK_BYTES)
  }
}

/** A small blob is hashed sooner than a thread starts. One turn of the loop for each chunk: others need this thread as well. */
class HashHere {
  readonly #hash = createHash('sha256')

  async update (chunk: Uint8Array): Promise<void> {
    this.#hash.update(chunk)
    await turn()
  }

  async digest (): Promise<string> { return this.#hash.digest('hex') }

  async end (): Promise<void> {}
}
