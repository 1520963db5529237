/** What a frame takes on a stream, without sending it. */
import * as compression from '../../src/compression/index.ts'
import { prefixBytes } from '../stream.ts'
import { encodeFrame } from './messages.ts'
import type { CodecName } from '../../src/compression/index.ts'
import type { Frame } from '../../src/backbone/frames.ts'

/**
 * Bytes that a channel counts for this frame: length prefix, header, tensors, padding.
 * @throws {InvalidParametersError} the frame breaks a limit of the wire
 */
export function frameBytes (frame: Frame, codec: CodecName): number {
  const bytes = encodeFrame(frame, codec, compression).reduce((sum, part) => sum + part.byteLength, 0)
  return prefixBytes(bytes) + bytes
}
