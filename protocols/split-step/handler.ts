/** Split-step, host side: matches a stream with an admitted session and hands out its channel. */
import { DecodeError } from '../../src/errors.ts'
import { MAX_FRAME_BYTES, REQUEST_TIMEOUT_MS, STREAMS_PER_PEER } from '../limits.ts'
import { PeerCounter } from '../request.ts'
import { frames } from '../stream.ts'
import { WireChannel } from './channel.ts'
import { PROTOCOL } from './constants.ts'
import { decodeMessage, encodeControl, isControl } from './messages.ts'
import type { FrameChannel } from '../../src/backbone/frames.ts'
import type { Session, SessionTable } from '../attach/index.ts'
import type { ProtocolComponents } from '../components.ts'
import type { Frames } from '../stream.ts'
import type { ChannelHooks } from './channel.ts'
import type { TensorCodec } from './messages.ts'

export interface ServeSplitStepInit extends ChannelHooks {
  tensors: TensorCodec
  onChannel: (session: Session, channel: FrameChannel) => void
}

export async function serveSplitStep (
  components: Pick<ProtocolComponents, 'network' | 'logger'>, sessions: SessionTable, init: ServeSplitStepInit
): Promise<() => Promise<void>> {
  const log = components.logger.forComponent('fmtl:split-step:handler')
  const open = new PeerCounter(STREAMS_PER_PEER)
  const channels = new Set<WireChannel>()
  const { onChannel, ...rest } = init

  const accept = async (wire: Frames, from: string): Promise<WireChannel | undefined> => {
    const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
    const hello = decodeMessage(await wire.read({ signal }), rest)
    if (!isControl(hello) || hello.control !== 'open') throw new DecodeError('the first message opens a session')
    const session = sessions.take(hello.session, from)
    if (session == null) {
      await wire.write(encodeControl({ control: 'declined', code: 'ERR_SESSION', reason: 'session unknown, used or expired: attach again' }), { signal })
      await wire.close()
      return undefined
    }
    await wire.write(encodeControl({ control: 'accepted' }), { signal })
    const channel = new WireChannel(wire, { ...rest, peer: from, side: 'host', credits: session.admission.credits, codec: hello.codec })
    channels.add(channel)
    void channel.closed.then(() => { channels.delete(channel) })
    onChannel(session, channel)
    return channel
  }

  await components.network.handle(PROTOCOL, (stream, connection) => {
    const from = connection.remotePeer.toString()
    const wire = frames(stream, { maxFrameBytes: MAX_FRAME_BYTES, peer: from })
    const run = async (): Promise<void> => {
      if (!open.take(from)) {
        await wire.write(encodeControl({ control: 'declined', code: 'ERR_BUSY', reason: `more than ${STREAMS_PER_PEER} step streams` }))
        await wire.close()
        return
      }
      try {
        const channel = await accept(wire, from)
        await channel?.closed
      } finally {
        open.give(from)
      }
    }
    void run().catch(err => {
      log('%s: %e', from, err)
      wire.abort(err as Error)
    })
  }, { maxInboundStreams: 2 * STREAMS_PER_PEER, maxOutboundStreams: 2 * STREAMS_PER_PEER, runOnLimitedConnection: true, force: true })

  return async () => {
    await components.network.unhandle(PROTOCOL)
    await Promise.all([...channels].map(async channel => { await channel.close() }))
  }
}
