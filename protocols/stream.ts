/**
 * Messages over a libp2p stream: unsigned varint length, then that many bytes. The only file that knows stream types.
 *
 * A length is checked before a byte of the message is kept. A message comes out as one contiguous array at offset 0 of
 * its own buffer, so that a Float32Array can look at it; it arrives straight into that buffer, which is taken at once where
 * it is small, and otherwise when a good part of the message is there: a claim alone costs no memory.
 * Reading pauses the stream while nobody reads, writing waits while the other end does not.
 */
import { Uint8ArrayList } from 'uint8arraylist'
import { DecodeError, InvalidParametersError, ProtocolError } from '../src/errors.ts'
import {
  CLOSE_TIMEOUT_MS, FRAME_MIN_BYTES_PER_SECOND, FRAME_STALL_MS, READ_AHEAD_BYTES, STREAM_WINDOW_BYTES, WRITE_HIGH_WATER_BYTES
} from './limits.ts'
import type { AbortOptions, Stream } from '@libp2p/interface'

export type { Connection, Stream } from '@libp2p/interface'

export interface FramesInit {
  maxFrameBytes: number
  /** Of a message that arrives, where that is less. */
  maxReadBytes?: number
  /** Who is at the other end, for messages. */
  peer: string
  /** How long a message may stop half-way, ms. Default FRAME_STALL_MS. */
  stallMs?: number
  /** Messages are left in the pieces in which they arrive, for `readPieces`. */
  pieces?: boolean
}

export interface Frames {
  /**
   * The next message. A read that was aborted loses nothing: the next one goes on where it stopped.
   * @throws {DecodeError} a length that is not allowed
   * @throws {ProtocolError} ERR_ENDED: the other end finished cleanly; ERR_CLOSED: it went away; ERR_STALLED
   */
  read (options?: AbortOptions): Promise<Uint8Array>
  /** The same, in the pieces in which it arrived, not copied: for who copies it to its own place. Needs `pieces` of FramesInit. */
  readPieces (options?: AbortOptions): Promise<Uint8Array[]>
  /** Resolves once the message is on its way. The bytes must not be changed afterwards. */
  write (bytes: Uint8Array | readonly Uint8Array[], options?: AbortOptions): Promise<void>
  /** Ends both directions at once; the other end sees a reset. */
  abort (err: Error): void
  /**
   * Sends what is waiting, as long as it goes on or until the signal, then ends our direction; the other end gets a
   * second to end its own. Never throws.
   */
  close (options?: AbortOptions): Promise<void>
  /** Resolves when the stream is over, with why. */
  readonly ended: Promise<Error>
  readonly bytes: { readonly sent: number, readonly received: number }
}

export function frames (stream: Stream, init: FramesInit): Frames {
  return new StreamFrames(stream, init)
}

/** The other end went away: a reset, a lost connection, a dead process. */
export function closedError (peer: string, cause?: unknown): ProtocolError {
  return new ProtocolError(`connection to ${peer} closed`, { code: 'ERR_CLOSED', cause })
}

/** Of the length before a message of this many bytes. */
export function prefixBytes (length: number): number { return varint(length).byteLength }

const MAX_PREFIX_BYTES = 4
/** Chunks below this are copied together: a megabyte that comes byte by byte must not become a million objects. */
const SMALL_CHUNK_BYTES = 1024
const SLAB_BYTES = 16 * 1024
/** A message above READ_AHEAD_BYTES gets its buffer when this part of it has arrived. */
const MAX_CLAIM = 4

class StreamFrames implements Frames {
  readonly ended: Promise<Error>
  readonly bytes = { sent: 0, received: 0 }
  readonly #stream: Stream
  readonly #init: FramesInit
  readonly #queue = new ByteQueue()
  readonly #wakers = new Set<() => void>()
  readonly #resolveEnded: (err: Error) => void
  #failure: Error | undefined
  /** The other end will send no more. */
  #finished = false
  #partialSince: number | undefined
  #reading = false
  /** Its prefix is read, the message itself is not yet complete or not yet taken. */
  #incoming: { readonly size: number, readonly length: number } | undefined

  constructor (stream: Stream, init: FramesInit) {
    this.#stream = stream
    this.#init = init
    const { promise, resolve } = Promise.withResolvers<Error>()
    this.ended = promise
    this.#resolveEnded = resolve
    // what can still arrive after a pause is one window; it must not count as an overflow
    stream.maxReadBufferLength = STREAM_WINDOW_BYTES + READ_AHEAD_BYTES
    stream.addEventListener('message', event => { this.#onData(event.data) })
    stream.addEventListener('remoteCloseWrite', () => {
      this.#finished = true
      this.#wake()
    })
    for (const event of ['drain', 'idle'] as const) stream.addEventListener(event, () => { this.#wake() })
    stream.addEventListener('close', event => {
      this.#end(event.error ?? undefined)
    })
    this.#finished = stream.remoteWriteStatus === 'closed'
    if (stream.status !== 'open') this.#end()
  }

  async read (options: AbortOptions = {}): Promise<Uint8Array> {
    return await this.#read(options, length => this.#queue.take(length))
  }

  async readPieces (options: AbortOptions = {}): Promise<Uint8Array[]> {
    return await this.#read(options, length => this.#queue.pieces(length))
  }

  async #read<T> (options: AbortOptions, take: (length: number) => T): Promise<T> {
    this.#reading = true
    try {
      return await this.#wait(options, take)
    } finally {
      this.#reading = false
    }
  }

  async #wait<T> ({ signal }: AbortOptions, take: (length: number) => T): Promise<T> {
    while (true) {
      signal?.throwIfAborted()
      const next = this.#next()
      if (next != null && this.#queue.length >= next.length) {
        this.#incoming = undefined
        this.bytes.received += next.size + next.length
        this.#partialSince = undefined
        const message = take(next.length)
        if (this.#stream.readStatus === 'paused') this.#stream.resume()
        return message
      }
      const partial = next != null || this.#queue.length > 0
      if (this.#failure != null && (partial || !this.#finished)) throw this.#failure
      if (this.#finished && this.#stream.readBufferLength === 0) {
        if (partial) throw closedError(this.#init.peer)
        throw new ProtocolError(`${this.#init.peer} ended the stream`, { code: 'ERR_ENDED' })
      }
      if (!partial) {
        await this.#change(signal)
        continue
      }
      this.#partialSince ??= performance.now()
      const allowedMs = (this.#init.stallMs ?? FRAME_STALL_MS) + 1000 * (next?.length ?? 0) / FRAME_MIN_BYTES_PER_SECOND
      const leftMs = this.#partialSince + allowedMs - performance.now()
      if (leftMs <= 0) {
        const err = new ProtocolError(`${this.#init.peer}: message of ${next?.length ?? 'unknown'} bytes stopped half-way`, { code: 'ERR_STALLED' })
        this.abort(err)
        throw err
      }
      await this.#change(signal, leftMs)
    }
  }

  async write (bytes: Uint8Array | readonly Uint8Array[], { signal }: AbortOptions = {}): Promise<void> {
    const parts = bytes instanceof Uint8Array ? [bytes] : bytes
    const length = parts.reduce((sum, part) => sum + part.byteLength, 0)
    if (length === 0 || length > this.#init.maxFrameBytes) {
      throw new InvalidParametersError(`cannot send a message of ${length} bytes, at most ${this.#init.maxFrameBytes}`)
    }
    signal?.throwIfAborted()
    if (this.#failure != null) throw this.#failure
    const prefix = varint(length)
    try {
      this.#stream.send(new Uint8ArrayList(...prefixed(prefix, parts)))
    } catch (cause) {
      throw this.#failure ?? closedError(this.#init.peer, cause)
    }
    this.bytes.sent += prefix.byteLength + length
    while (this.#stream.writeBufferLength > WRITE_HIGH_WATER_BYTES) {
      if (this.#failure != null) throw this.#failure
      await this.#change(signal)
    }
  }

  abort (err: Error): void {
    this.#failure ??= err
    this.#finished = false
    this.#stream.abort(err)
    this.#end(err)
  }

  async close ({ signal }: AbortOptions = {}): Promise<void> {
    if (this.#stream.status !== 'open') return
    const timeout = AbortSignal.timeout(CLOSE_TIMEOUT_MS + Math.ceil(1000 * this.#stream.writeBufferLength / FRAME_MIN_BYTES_PER_SECOND))
    try {
      await this.#stream.close({ signal: signal == null ? timeout : AbortSignal.any([signal, timeout]) })
    } catch (err) {
      this.abort(err as Error)
      return
    }
    const timer = setTimeout(() => { this.#stream.abort(new Error('the other end did not close')) }, CLOSE_TIMEOUT_MS)
    timer.unref()
    void this.ended.then(() => { clearTimeout(timer) })
  }

  #onData (data: Uint8Array | Uint8ArrayList): void {
    if (this.#failure != null) return
    if (data instanceof Uint8Array) this.#queue.push(data)
    else for (const chunk of data) this.#queue.push(chunk)
    try {
      const need = this.#next()?.length ?? MAX_PREFIX_BYTES
      if (!this.#reading && this.#queue.length > need + READ_AHEAD_BYTES && this.#stream.readStatus === 'readable') this.#stream.pause()
    } catch (err) {
      this.abort(err as Error)
    }
    this.#wake()
  }

  /** The message that is being received, or undefined while its prefix is incomplete. */
  #next (): { readonly size: number, readonly length: number } | undefined {
    if (this.#incoming == null) {
      this.#incoming = this.#prefix()
      if (this.#incoming == null) return undefined
      this.#queue.skip(this.#incoming.size)
    }
    const { length } = this.#incoming
    if (this.#init.pieces === true) return this.#incoming
    if (length <= READ_AHEAD_BYTES || this.#queue.length >= length / MAX_CLAIM) this.#queue.reserve(length)
    return this.#incoming
  }

  /** Bytes of the prefix that is next in the queue, and the length that it gives. */
  #prefix (): { size: number, length: number } | undefined {
    let length = 0
    for (let i = 0; i < MAX_PREFIX_BYTES; i++) {
      const byte = this.#queue.peek(i)
      if (byte == null) return undefined
      length |= (byte & 127) << (7 * i)
      if (byte >= 128) continue
      if (length === 0 || (i > 0 && byte === 0)) throw new DecodeError(`${this.#init.peer}: message of no length`)
      const max = this.#init.maxReadBytes ?? this.#init.maxFrameBytes
      if (length > max) throw new DecodeError(`${this.#init.peer}: message of ${length} bytes, at most ${max}`)
      return { size: i + 1, length }
    }
    throw new DecodeError(`${this.#init.peer}: message length of more than ${MAX_PREFIX_BYTES} bytes`)
  }

  #end (cause?: unknown): void {
    this.#failure ??= closedError(this.#init.peer, cause)
    this.#resolveEnded(this.#failure)
    this.#wake()
  }

  #wake (): void {
    const wakers = [...this.#wakers]
    this.#wakers.clear()
    for (const waker of wakers) waker()
  }

  /** Until something happens on the stream, or `maxMs` passed. */
  async #change (signal?: AbortSignal, maxMs?: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wakers.add(resolve)
    signal?.addEventListener('abort', resolve as () => void)
    const timer = maxMs == null ? undefined : setTimeout(resolve, maxMs)
    try {
      await promise
    } finally {
      this.#wakers.delete(resolve)
      signal?.removeEventListener('abort', resolve as () => void)
      clearTimeout(timer)
    }
    signal?.throwIfAborted()
  }
}

/** Received bytes in order: first those of the message that was reserved, then chunks, with small ones copied together. */
class ByteQueue {
  #message: Uint8Array | undefined
  /** Bytes of the message that are there. */
  #filled = 0
  #chunks: Uint8Array[] = []
  /** Bytes in the chunks that are still needed. */
  #loose = 0
  /** Index of the first chunk still needed, and how much of it is taken. */
  #first = 0
  #offset = 0
  #slab: { bytes: Uint8Array, used: number } | undefined

  get length (): number { return this.#filled + this.#loose }

  push (chunk: Uint8Array): void {
    const direct = this.#message == null ? 0 : Math.min(this.#message.byteLength - this.#filled, chunk.byteLength)
    if (direct > 0) {
      this.#message?.set(direct === chunk.byteLength ? chunk : chunk.subarray(0, direct), this.#filled)
      this.#filled += direct
    }
    if (direct < chunk.byteLength) this.#keep(chunk.subarray(direct))
  }

  /** Of what is not reserved. */
  peek (index: number): number | undefined {
    if (index >= this.#loose) return undefined
    let at = index + this.#offset
    for (let i = this.#first; ; i++) {
      const chunk = this.#chunks[i] as Uint8Array
      if (at < chunk.byteLength) return chunk[at]
      at -= chunk.byteLength
    }
  }

  /** Takes `count` bytes off the chunks, which must be there. `onPiece` gets them one after the other. */
  skip (count: number, onPiece?: (piece: Uint8Array) => void): void {
    for (let left = count; left > 0;) {
      const chunk = this.#chunks[this.#first] as Uint8Array
      const part = chunk.subarray(this.#offset, this.#offset + left)
      onPiece?.(part)
      left -= part.byteLength
      this.#offset += part.byteLength
      // the slab still grows at its end, so it stays while it is the last chunk
      if (this.#offset < chunk.byteLength || (this.#slab != null && this.#first === this.#chunks.length - 1)) continue
      this.#first++
      this.#offset = 0
    }
    this.#loose -= count
    if (this.#loose === 0) {
      this.#chunks = []
      this.#first = this.#offset = 0
      this.#slab = undefined
    } else if (this.#first > 64) {
      this.#chunks = this.#chunks.slice(this.#first)
      this.#first = 0
    }
  }

  /** A buffer for the next `count` bytes: what is there moves into it, what comes is copied once. */
  reserve (count: number): void {
    if (this.#message != null) return
    const message = new Uint8Array(Buffer.allocUnsafeSlow(count).buffer) // every byte is written before anybody sees it
    this.skip(Math.min(count, this.#loose), piece => {
      message.set(piece, this.#filled)
      this.#filled += piece.byteLength
    })
    this.#message = message
  }

  /** `count` bytes, which must be there and not reserved, as they came. */
  pieces (count: number): Uint8Array[] {
    const pieces: Uint8Array[] = []
    this.skip(count, piece => { pieces.push(piece) })
    return pieces
  }

  /** `count` bytes, which must be there, as an array of their own. */
  take (count: number): Uint8Array {
    this.reserve(count)
    const message = this.#message as Uint8Array
    this.#message = undefined
    this.#filled = 0
    return message
  }

  #keep (chunk: Uint8Array): void {
    this.#loose += chunk.byteLength
    if (chunk.byteLength >= SMALL_CHUNK_BYTES) {
      this.#chunks.push(chunk)
      this.#slab = undefined
      return
    }
    const slab = this.#slab
    if (slab != null && slab.used + chunk.byteLength <= SLAB_BYTES) {
      slab.bytes.set(chunk, slab.used)
      slab.used += chunk.byteLength
      this.#chunks[this.#chunks.length - 1] = slab.bytes.subarray(0, slab.used)
      return
    }
    const bytes = new Uint8Array(SLAB_BYTES)
    bytes.set(chunk)
    this.#slab = { bytes, used: chunk.byteLength }
    this.#chunks.push(bytes.subarray(0, chunk.byteLength))
  }
}

/** A small first part rides with the prefix: the library encrypts and sends every piece by itself. */
function prefixed (prefix: Uint8Array, parts: readonly Uint8Array[]): readonly Uint8Array[] {
  const [first, ...rest] = parts
  if (first == null || first.byteLength > SMALL_CHUNK_BYTES) return [prefix, ...parts]
  const joined = new Uint8Array(prefix.byteLength + first.byteLength)
  joined.set(prefix)
  joined.set(first, prefix.byteLength)
  return [joined, ...rest]
}

function varint (value: number): Uint8Array {
  const bytes: number[] = []
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value & 127) | 128)
  bytes.push(value)
  return Uint8Array.from(bytes)
}
