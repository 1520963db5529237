/** Two ends of a frame channel inside one process: the simulator's wire. Frames keep their order and are not copied. */
import { ProtocolError } from '../errors.ts'
import type { Frame, FrameChannel } from './frames.ts'

export function channelPair (client: string, host: string, guard: (frame: Frame) => void = () => {}): { client: FrameChannel, host: FrameChannel } {
  const up = new Pipe()
  const down = new Pipe()
  return {
    client: new MemoryChannel(host, up, down, guard),
    host: new MemoryChannel(client, down, up, () => {})
  }
}

class MemoryChannel implements FrameChannel {
  readonly peer: string
  readonly frames: AsyncIterable<Frame>
  readonly #out: Pipe
  readonly #in: Pipe
  readonly #guard: (frame: Frame) => void

  constructor (peer: string, out: Pipe, incoming: Pipe, guard: (frame: Frame) => void) {
    this.peer = peer
    this.#out = out
    this.#in = incoming
    this.#guard = guard
    this.frames = incoming
  }

  get bytes (): { sent: number, received: number } { return { sent: this.#out.bytes, received: this.#in.bytes } }

  async send (frame: Frame): Promise<void> {
    this.#guard(frame)
    this.#out.push(frame)
  }

  async close (reason?: Error): Promise<void> {
    this.#out.end(reason)
    this.#in.end(reason)
  }
}

/** An unbounded queue with one reader: at most a handful of frames are under way between a client and its host. */
class Pipe implements AsyncIterable<Frame> {
  readonly #frames: Frame[] = []
  #wake: (() => void) | undefined
  #ended: { reason: Error | undefined } | undefined
  bytes = 0

  push (frame: Frame): void {
    if (this.#ended !== undefined) throw this.#ended.reason ?? new ProtocolError('the other end has closed')
    for (const { tensor } of frame.tensors) this.bytes += tensor.data.byteLength
    this.#frames.push(frame)
    this.#wake?.()
  }

  end (reason: Error | undefined): void {
    this.#ended ??= { reason }
    this.#wake?.()
  }

  async * [Symbol.asyncIterator] (): AsyncGenerator<Frame> {
    for (;;) {
      const frame = this.#frames.shift()
      if (frame !== undefined) {
        yield frame
      } else if (this.#ended !== undefined) {
        if (this.#ended.reason !== undefined) throw this.#ended.reason
        return
      } else {
        await new Promise<void>(resolve => { this.#wake = resolve })
        this.#wake = undefined
      }
    }
  }
}
