/**
 * A FrameChannel over a stream, the same class on both ends.
 *
 * One loop reads, checks and queues what arrives; a full queue stops the loop, and so, through the stream's window, the
 * sender. A clean end is a 'bye' message; anything else that ends the stream is a lost connection.
 */
import { CLIENT_FRAMES, HOST_FRAMES } from '../../src/backbone/frames.ts'
import { DecodeError, ProtocolError } from '../../src/errors.ts'
import { MAX_QUEUED_BYTES, MAX_QUEUED_FRAMES, REQUEST_TIMEOUT_MS } from '../limits.ts'
import { wireError } from '../request.ts'
import { Credits } from './credits.ts'
import { decodeMessage, encodeControl, encodeFrame, isControl } from './messages.ts'
import type { Frame, FrameChannel } from '../../src/backbone/frames.ts'
import type { CodecName } from '../../src/compression/index.ts'
import type { Frames } from '../stream.ts'
import type { TensorCodec } from './messages.ts'

export interface ChannelHooks {
  /** Every frame that went out or came in, with its bytes on the wire. */
  onFrame?: (direction: 'sent' | 'received', frame: Frame, bytes: number) => void
  /** Looks at a frame before it is encoded; what it throws refuses the frame. */
  beforeSend?: (frame: Frame) => void
}

export interface ChannelInit extends ChannelHooks {
  peer: string
  side: 'client' | 'host'
  credits: number
  codec: CodecName
  tensors: TensorCodec
  allowNonFinite?: boolean
}

const KINDS: Record<'client' | 'host', ReadonlySet<string>> = { client: new Set(CLIENT_FRAMES), host: new Set(HOST_FRAMES) }

export class WireChannel implements FrameChannel {
  readonly peer: string
  readonly frames: AsyncIterable<Frame>
  /** Resolves when the channel is over, with why, if not in order. */
  readonly closed: Promise<Error | undefined>
  readonly #wire: Frames
  readonly #init: ChannelInit
  readonly #credits = new Credits()
  readonly #queue: Array<{ frame: Frame, bytes: number }> = []
  readonly #waiting = new Set<() => void>()
  readonly #resolveClosed: (reason: Error | undefined) => void
  #queuedBytes = 0
  #over: { reason: Error | undefined } | undefined
  #turn: Promise<unknown> = Promise.resolve()

  constructor (wire: Frames, init: ChannelInit) {
    this.peer = init.peer
    this.#wire = wire
    this.#init = init
    const { promise, resolve } = Promise.withResolvers<Error | undefined>()
    this.closed = promise
    this.#resolveClosed = resolve
    this.frames = { [Symbol.asyncIterator]: () => this.#iterate() }
    // while a full queue holds the reading loop, nobody else would notice that the peer is gone
    void wire.ended.then(reason => { if (this.#full) this.#finish(reason) })
    void this.#pump()
  }

  get bytes (): { readonly sent: number, readonly received: number } {
    return this.#wire.bytes
  }

  /** Client frames that wait for their answer. */
  get unanswered (): number {
    return this.#credits.used
  }

  async send (frame: Frame, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    if (!KINDS[this.#init.side].has(frame.kind)) throw new TypeError(`a ${this.#init.side} sends no '${frame.kind}' frame`)
    signal?.throwIfAborted()
    // frames keep their order, also when several callers wait for a credit; leaving must not wait
    const previous = frame.kind === 'leave' ? Promise.resolve() : this.#turn
    const { promise, resolve } = Promise.withResolvers<void>()
    if (frame.kind !== 'leave') this.#turn = previous.then(() => promise)
    try {
      await this.#abortable(previous, signal)
      while (this.#over == null && this.#init.side === 'client' && Credits.needed(frame) && this.#credits.used >= this.#init.credits) await this.#change(signal)
      if (this.#over != null) throw this.#over.reason ?? new ProtocolError(`channel to ${this.peer} is closed`, { code: 'ERR_CLOSED' })
      this.#init.beforeSend?.(frame)
      const parts = encodeFrame(frame, this.#init.codec, this.#init.tensors)
      // the account is settled before the peer can react
      if (this.#init.side === 'client') this.#credits.use(frame)
      else this.#credits.answer(frame)
      const before = this.#wire.bytes.sent
      const written = this.#wire.write(parts, signal == null ? {} : { signal })
      const sent = this.#wire.bytes.sent - before
      if (sent > 0) this.#init.onFrame?.('sent', frame, sent)
      await written
    } finally {
      resolve()
    }
  }

  /** With a reason, the other end's `frames` throws a ProtocolError of its code and message, and ours throws the reason. */
  async close (reason?: Error): Promise<void> {
    if (this.#over != null) return
    this.#queue.length = 0
    this.#queuedBytes = 0
    this.#finish(reason)
    // a stream that is gone already refuses the message, and has nothing to close
    this.#wire.write(encodeControl({ control: 'bye', ...(reason == null ? {} : wireError(reason)) })).catch(() => {})
    await this.#wire.close({ signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) })
  }

  /** Drops the connection of this channel at once. */
  abort (reason: Error): void {
    this.#finish(reason)
    this.#wire.abort(reason)
  }

  get #full (): boolean {
    return this.#queue.length >= MAX_QUEUED_FRAMES || this.#queuedBytes >= MAX_QUEUED_BYTES
  }

  async #pump (): Promise<void> {
    try {
      while (true) {
        while (this.#full && this.#over == null) await this.#change()
        const before = this.#wire.bytes.received
        const payload = await this.#wire.read()
        const bytes = this.#wire.bytes.received - before
        if (this.#over != null) continue // drains what still comes after our own close
        const message = decodeMessage(payload, this.#init)
        if (isControl(message)) {
          if (message.control !== 'bye') throw new DecodeError(`'${message.control}' message inside a session`)
          this.#finish(message.code == null ? undefined : new ProtocolError(message.reason ?? message.code, { code: message.code }))
          await this.#wire.close()
          continue
        }
        this.#receive(message, bytes)
      }
    } catch (err) {
      if (this.#over != null) return
      const reason = (err as { code?: string }).code === 'ERR_ENDED'
        ? new ProtocolError(`connection to ${this.peer} closed`, { code: 'ERR_CLOSED', cause: err })
        : err as Error
      this.#finish(reason)
      this.#wire.abort(reason)
    }
  }

  #receive (frame: Frame, bytes: number): void {
    const theirs = this.#init.side === 'client' ? 'host' : 'client'
    if (!KINDS[theirs].has(frame.kind)) throw new ProtocolError(`a ${theirs} sends no '${frame.kind}' frame`)
    if (theirs === 'client') {
      this.#credits.use(frame)
      if (this.#credits.used > this.#init.credits) throw new ProtocolError(`more than ${this.#init.credits} unanswered frames`, { code: 'ERR_CREDITS' })
    } else {
      this.#credits.answer(frame)
    }
    this.#init.onFrame?.('received', frame, bytes)
    this.#queue.push({ frame, bytes })
    this.#queuedBytes += bytes
    this.#wake()
  }

  /** One queue, whoever iterates: leaving a loop and starting another goes on with the next frame. */
  #iterate (): AsyncIterator<Frame> {
    return {
      next: async () => {
        while (true) {
          const item = this.#queue.shift()
          if (item != null) {
            this.#queuedBytes -= item.bytes
            this.#wake()
            return { done: false, value: item.frame }
          }
          if (this.#over?.reason != null) throw this.#over.reason
          if (this.#over != null) return { done: true, value: undefined }
          await this.#change()
        }
      },
      return: async () => ({ done: true, value: undefined })
    }
  }

  #finish (reason: Error | undefined): void {
    if (this.#over != null) return
    this.#over = { reason }
    this.#resolveClosed(reason)
    this.#wake()
  }

  #wake (): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const resolve of waiting) resolve()
  }

  async #change (signal?: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.add(resolve)
    try {
      await this.#abortable(promise, signal)
    } finally {
      this.#waiting.delete(resolve)
    }
  }

  async #abortable (promise: Promise<unknown>, signal?: AbortSignal): Promise<void> {
    if (signal == null) {
      await promise
      return
    }
    const { promise: aborted, reject } = Promise.withResolvers<never>()
    const onAbort = (): void => { reject(signal.reason as Error) }
    signal.addEventListener('abort', onAbort)
    try {
      await Promise.race([promise, aborted])
      signal.throwIfAborted()
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}
