/** Two ends of a frame channel inside one process: the simulator's wire. Frames keep their order and are not copied. */
import { BackendError, ProtocolError } from '../errors.ts'
import { decode, encode, encodedBytes } from '../compression/index.ts'
import type { CodecName } from '../compression/index.ts'
import type { Frame, FrameChannel } from './frames.ts'
import type { TensorData } from '../tensor/tensor.ts'

export interface ChannelPairInit {
  readonly client: string
  readonly host: string
  /** How tensors would travel: values are rounded as they would be on the wire. Default f32, exact. */
  readonly codec?: CodecName
  /** Looks at what the client sends; throwing refuses the frame. */
  readonly guard?: (frame: Frame) => void
}

export function channelPair ({ client, host, codec = 'f32', guard = () => {} }: ChannelPairInit): { client: FrameChannel, host: FrameChannel } {
  const up = new Pipe(codec)
  const down = new Pipe(codec)
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
    // As over the wire: an end whose computing failed must not pass its error off as one of the other's.
    this.#out.end(reason instanceof BackendError ? new ProtocolError(reason.message, { code: reason.code, cause: reason }) : reason)
    this.#in.end(reason)
  }
}

/** An unbounded queue with one reader: at most a handful of frames are under way between a client and its host. */
class Pipe implements AsyncIterable<Frame> {
  readonly #frames: Frame[] = []
  #wake: (() => void) | undefined
  #ended: { reason: Error | undefined } | undefined
  readonly #codec: CodecName
  bytes = 0

  constructor (codec: CodecName) { this.#codec = codec }

  push (frame: Frame): void {
    if (this.#ended !== undefined) throw this.#ended.reason ?? new ProtocolError('the other end has closed')
    const { codec = this.#codec, ...rest } = frame
    for (const { tensor } of frame.tensors) this.bytes += encodedBytes(codec, tensor.data.length)
    this.#frames.push(codec === 'f32' ? rest : { ...rest, tensors: frame.tensors.map(({ name, tensor }) => ({ name, tensor: recode(codec, tensor) })) })
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

function recode (codec: CodecName, { shape, data }: TensorData): TensorData {
  return { shape, data: decode(codec, encode(codec, data), data.length) }
}
