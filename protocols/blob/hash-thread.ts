/**
 * sha-256 of many chunks, one after the other, by a thread of its own. Chunks reach it through a few shared slots, so that
 * this thread copies each once, to memory that is warm, and makes no garbage.
 */
import { Worker } from 'node:worker_threads'
import { ResourceError } from '../../src/errors.ts'
import { BLOB_CHUNK_BYTES } from '../limits.ts'

/** Chunks that may wait for the thread. It is faster than the network: two would do, four outlast a pause of it. */
const SLOTS = 4

/** To the thread: hash so many bytes of a slot, or tell the digest. */
export type HashOrder = { readonly slot: number, readonly bytes: number } | 'digest'
/** From it: a slot is free again, or the digest, hex. */
export type HashReply = number | string

export class HashThread {
  readonly #slots = new SharedArrayBuffer(SLOTS * BLOB_CHUNK_BYTES)
  readonly #worker: Worker
  readonly #free = Array.from({ length: SLOTS }, (_, slot) => slot)
  readonly #digest = Promise.withResolvers<string>()
  #wake: () => void = () => {}

  constructor () {
    this.#worker = new Worker(new URL('./hash-worker.ts', import.meta.url), { workerData: this.#slots })
    this.#worker.unref()
    this.#worker.on('message', (reply: HashReply) => {
      if (typeof reply === 'string') return this.#digest.resolve(reply)
      this.#free.push(reply)
      this.#wake()
    })
    this.#worker.on('error', cause => { this.#fail(cause) })
    this.#worker.on('exit', () => { this.#fail() })
    this.#digest.promise.catch(() => undefined) // whoever updates or asks hears of it
  }

  /** Resolves when the chunk, of at most BLOB_CHUNK_BYTES, is handed over. @throws {ResourceError} the thread has ended */
  async update (chunk: Uint8Array): Promise<void> {
    while (this.#free.length === 0) {
      await Promise.race([new Promise<void>(resolve => { this.#wake = resolve }), this.#digest.promise])
    }
    const slot = this.#free.pop() as number
    new Uint8Array(this.#slots, slot * BLOB_CHUNK_BYTES, chunk.byteLength).set(chunk)
    this.#worker.postMessage({ slot, bytes: chunk.byteLength } satisfies HashOrder)
  }

  /** Of all chunks so far, hex. @throws {ResourceError} the thread has ended */
  async digest (): Promise<string> {
    this.#worker.postMessage('digest' satisfies HashOrder)
    return await this.#digest.promise
  }

  async end (): Promise<void> {
    await this.#worker.terminate()
  }

  #fail (cause?: unknown): void {
    this.#digest.reject(new ResourceError('the thread that hashes blobs has ended', { cause }))
  }
}
