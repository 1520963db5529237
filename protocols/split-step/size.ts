/** What a frame takes on a stream, without sending it. */
import * as compression from '../../src/compression/index.ts'
import { messageBytes } from './messages.ts'
import { prefixBytes } from '../stream.ts'
import type { CodecName } from '../../src/compression/index.ts'
import type { Frame } from '../../src/backbone/frames.ts'

/**
 * Bytes that a channel counts for this frame: length prefix, header, tensors, padding. Shapes count, data is not looked at.
 * @throws {InvalidParametersError} its header breaks a limit of the wire
 */
export function frameBytes (frame: Frame, codec: CodecName): number {
  const bytes = messageBytes(frame, codec, compression)
  return prefixBytes(bytes) + bytes
}
