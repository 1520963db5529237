/**
 * One stream to one provider. Several requests may be under way on it, answered in their order, so that the provider never
 * waits for a question and the stream's window stays open. A provider may end the stream after any answer; then the next
 * request opens another.
 */
import { ProtocolError } from '../../src/errors.ts'
import { BLOB_REQUEST_TIMEOUT_MS, MAX_BLOB_MESSAGE_BYTES } from '../limits.ts'
import { openFrames } from '../request.ts'
import { PROTOCOL } from './constants.ts'
import { decodeResponse, encodeRequest } from './messages.ts'
import type { ProtocolComponents } from '../components.ts'
import type { Frames } from '../stream.ts'
import type { BlobRequest, BlobResponse } from './messages.ts'
import type { AbortOptions } from '@libp2p/interface'

interface Wire {
  readonly frames: Frames
  /** Resolves when the answers to all requests so far have been read. */
  turn: Promise<unknown>
}

/** How a stream ends that served its requests. */
const OVER: ReadonlySet<string | undefined> = new Set(['ERR_ENDED', 'ERR_CLOSED'])

export class Line {
  readonly #components: Pick<ProtocolComponents, 'network'>
  readonly #peer: string
  #wire: Promise<Wire> | undefined
  #closed = false

  constructor (components: Pick<ProtocolComponents, 'network'>, peer: string) {
    this.#components = components
    this.#peer = peer
  }

  /**
   * @throws {ProtocolError} the provider refused, with its code and reason; it went away; or it sent no answer
   * @throws the signal's reason, or TimeoutError
   */
  async ask (request: BlobRequest, options: AbortOptions = {}): Promise<Exclude<BlobResponse, { code: string }>> {
    const timeout = AbortSignal.timeout(BLOB_REQUEST_TIMEOUT_MS)
    const signal = options.signal == null ? timeout : AbortSignal.any([options.signal, timeout])
    const response = decodeResponse(await this.#exchange(encodeRequest(request), signal))
    if ('code' in response) throw new ProtocolError(response.reason, { code: response.code })
    return response
  }

  close (): void {
    this.#closed = true
    void this.#wire?.then(async ({ frames }) => { await frames.close() }, () => undefined) // one that never opened
    this.#wire = undefined
  }

  async #exchange (request: Uint8Array, signal: AbortSignal): Promise<Uint8Array[]> {
    for (;;) {
      const fresh = this.#wire == null
      const opening = this.#wire ??= this.#open(signal)
      try {
        const wire = await opening
        const written = wire.frames.write(request, { signal })
        const answer = Promise.all([wire.turn, written]).then(async () => await wire.frames.readPieces({ signal }))
        wire.turn = answer
        return await answer
      } catch (err) {
        if (this.#wire === opening) this.#wire = undefined
        // an answer that was given up may still come: whoever reads next would take it for theirs
        void opening.then(({ frames }) => { frames.abort(err as Error) }, () => undefined)
        if (fresh || this.#closed || signal.aborted || !OVER.has((err as { code?: string }).code)) throw err
      }
    }
  }

  async #open (signal: AbortSignal): Promise<Wire> {
    return {
      frames: await openFrames(this.#components, this.#peer, PROTOCOL, MAX_BLOB_MESSAGE_BYTES, { signal, pieces: true }),
      turn: Promise.resolve()
    }
  }
}
