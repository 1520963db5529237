/** The channel within a process: what its two ends tell each other. */
import test from 'ava'
import { BackendError, ProtocolError } from '../../src/errors.ts'
import { channelPair } from '../../src/backbone/memory-channel.ts'

test('an end whose computing failed is no failure of the other end\'s own computing', async t => {
  const { client, host } = channelPair({ client: 'ada', host: 'host' })
  const cause = new BackendError('the graphics device was lost')
  await host.close(cause)
  const error = await t.throwsAsync(async () => { for await (const frame of client.frames) t.fail(frame.kind) }, { instanceOf: ProtocolError, message: cause.message, code: 'ERR_BACKEND' })
  t.is(error.cause, cause)
})
