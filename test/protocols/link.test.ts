import test from 'ava'
import { ProtocolError } from '../../src/errors.ts'
import { findLink } from '../../node/cli/link.ts'
import { measureLink } from '../../protocols/link.ts'
import { pair } from './nodes.ts'

test('an echo over loopback gives a round trip and a throughput', async t => {
  const [host, client] = await pair(t)
  const { roundTripMs, bitsPerSecond, bytes } = await measureLink(client.components, host.id)
  t.true(roundTripMs > 0 && roundTripMs < 1000, `${roundTripMs} ms`)
  t.true(bitsPerSecond > 1e6 && Number.isFinite(bitsPerSecond), `${bitsPerSecond} bit/s`)
  t.true(bytes >= 64 * 1024 && bytes <= 2 * 1024 * 1024, `${bytes} bytes`)
  // the stream is given back: a second measurement finds the peer as willing
  await measureLink(client.components, host.id)
})

test('a peer that answers no ping is an error with its name', async t => {
  const [host, client] = await pair(t)
  await host.node.unhandle('/ipfs/ping/1.0.0')
  await t.throwsAsync(measureLink(client.components, host.id), { instanceOf: ProtocolError, code: 'ERR_UNSUPPORTED' })
})

test('a plan measures a running node by its address; what is given comes first', async t => {
  const [host] = await pair(t)
  const [address] = host.node.getMultiaddrs()
  const peer = String(address)
  const measured = await findLink({ peer })
  t.regex(measured.from, /^measured to .*throughput .*, round trip$/)
  t.is(measured.upBitsPerSecond, measured.downBitsPerSecond)
  const mixed = await findLink({ peer, link: '1Mbit' })
  t.is(mixed.upBitsPerSecond, 0.96e6)
  t.true(mixed.roundTripMs > 0)
})

test('nobody at the address is one line', async t => {
  await t.throwsAsync(findLink({ peer: '/ip4/127.0.0.1/tcp/1' }), { instanceOf: ProtocolError, message: /does not answer/ })
})
