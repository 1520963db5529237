/**
 * Yamux as the library has it, but for how often it says that a stream has room again: the library does after every frame of
 * data, however small, and each of those 12 bytes is a message of its own to encrypt, write, read and decrypt. Here, as in
 * go-yamux, what was read is added up until it is half of the smallest window.
 */
import { yamux } from '@libp2p/yamux'
import type { StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'

/** Half of what a stream may have under way at first (yamux specification, flow control): so at least the other half is always granted. */
const ENOUGH_BYTES = 128 * 1024
const WINDOW_UPDATE = 1

export interface Header { readonly type: number, readonly flag: number, readonly streamID: number, readonly length: number }
/** Where every frame of a connection goes through, and every stream of it ends. */
export interface Framing {
  sendFrame: (header: Header, data?: unknown) => unknown
  closeStream: (streamID: number) => void
}

export function muxing (init: Parameters<typeof yamux>[0]): () => StreamMuxerFactory {
  return () => {
    const factory = yamux(init)()
    return Object.assign(Object.create(factory) as StreamMuxerFactory, {
      createStreamMuxer: (connection: Parameters<StreamMuxerFactory['createStreamMuxer']>[0]): StreamMuxer => {
        const muxer = factory.createStreamMuxer(connection)
        grantInParts(muxer as unknown as Framing)
        return muxer
      }
    })
  }
}

/** Exported for tests. */
export function grantInParts (muxer: Framing): void {
  const send = muxer.sendFrame.bind(muxer)
  /** Bytes by stream that it may send beyond what it was told. */
  const owed = new Map<number, number>()
  muxer.sendFrame = (header, data) => {
    const { type, flag, streamID, length } = header
    if (type !== WINDOW_UPDATE) return send(header, data)
    if (flag !== 0) return send(header) // it opens, or has ended
    const bytes = (owed.get(streamID) ?? 0) + length
    if (bytes < ENOUGH_BYTES) {
      owed.set(streamID, bytes)
      return true
    }
    owed.delete(streamID)
    return send({ ...header, length: bytes })
  }
  const close = muxer.closeStream.bind(muxer)
  muxer.closeStream = streamID => {
    owed.delete(streamID)
    close(streamID)
  }
}
