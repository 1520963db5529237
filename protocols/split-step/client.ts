/** Split-step, client side: opens the step stream of a session that a host admitted. */
import { DecodeError, RefusedError } from '../../src/errors.ts'
import { MAX_FRAME_BYTES, REQUEST_TIMEOUT_MS } from '../limits.ts'
import { openFrames } from '../request.ts'
import { WireChannel } from './channel.ts'
import { PROTOCOL } from './constants.ts'
import { decodeMessage, encodeControl, isControl } from './messages.ts'
import type { Admission } from '../../src/backbone/frames.ts'
import type { CodecName } from '../../src/compression/index.ts'
import type { ProtocolComponents } from '../components.ts'
import type { ChannelHooks } from './channel.ts'
import type { TensorCodec } from './messages.ts'
import type { AbortOptions } from '@libp2p/interface'

export interface OpenChannelInit extends AbortOptions, ChannelHooks {
  tensors: TensorCodec
  /** How tensors travel, both ways. Default f32. */
  codec?: CodecName
}

/**
 * @throws {RefusedError} the host does not know the session, or has no stream left
 * @throws {ProtocolError} the host cannot be reached, or answers nonsense
 */
export async function openChannel (
  components: Pick<ProtocolComponents, 'network'>, host: string, admission: Pick<Admission, 'session' | 'credits'>, init: OpenChannelInit
): Promise<WireChannel> {
  const { signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS), codec = 'f32', ...rest } = init
  const wire = await openFrames(components, host, PROTOCOL, MAX_FRAME_BYTES, { signal })
  try {
    await wire.write(encodeControl({ control: 'open', session: admission.session, codec }), { signal })
    const answer = decodeMessage(await wire.read({ signal }), rest)
    if (!isControl(answer)) throw new DecodeError('a frame before the session was accepted')
    if (answer.control === 'declined') throw new RefusedError(answer.reason, { cause: { code: answer.code, reason: answer.reason } })
    if (answer.control !== 'accepted') throw new DecodeError(`'${answer.control}' in answer to open`)
  } catch (err) {
    wire.abort(err as Error)
    throw err
  }
  return new WireChannel(wire, { ...rest, codec, peer: host, side: 'client', credits: admission.credits })
}
