import test from 'ava'
import { hostsTopic } from '../../protocols/announce/index.ts'
import { createProtocols } from '../../protocols/index.ts'
import { InvalidParametersError, ProtocolError } from '../../src/errors.ts'
import { attachRequest, meshSize, startNodes, until } from './nodes.ts'
import type { FrameChannel, HostCard } from '../../src/backbone/frames.ts'

const MODEL = 'ab'.repeat(32)

test('a client finds a host by its card, attaches and takes a step, and stopping the host tells it', async t => {
  // hub, host and client: host and client know the hub only
  const nodes = await startNodes(t, 3)
  const all = nodes.map(({ components }) => createProtocols(components, { consortium: 'c', model: MODEL }))
  const [, host, client] = all
  const [hubNode, hostNode, clientNode] = nodes
  if (host == null || client == null || hubNode == null || hostNode == null || clientNode == null) return t.fail()
  for (const protocols of all) {
    await protocols.start()
    t.teardown(async () => { await protocols.stop() })
  }
  const served = Promise.withResolvers<FrameChannel>()
  await host.serve({
    admit: async request => ({ session: `s-${request.name}`, step: 4, version: 0, credits: 2, maxBatch: 32 }),
    onChannel: (_session, channel) => { served.resolve(channel) }
  })
  const found = Promise.withResolvers<HostCard>()
  client.announce.onCard(found.resolve)
  await until(() => meshSize(hubNode, hostsTopic('c')) === 2 && host.announce.subscribers.length === 1)
  await host.announce.publish({
    host: hostNode.id,
    name: 'host',
    backend: 'cpu',
    samplesPerSecond: 10,
    memoryBytes: 1,
    attached: 0,
    slots: 4,
    model: MODEL,
    round: 0,
    step: 4,
    addresses: hostNode.node.getMultiaddrs().map(String),
    sentAt: 1
  })
  const card = await found.promise
  const admission = await client.attach(card.host, attachRequest(clientNode.id))
  const near = await client.openChannel(card.host, admission, { codec: 'bf16' })
  const far = await served.promise
  const tensor = { shape: [1, 2], data: Float32Array.of(1, -2) }
  await near.send({ kind: 'forward', step: admission.step, tensors: [{ name: 'activations', tensor }] })
  const asked = await far.frames[Symbol.asyncIterator]().next()
  if (asked.done === true) return t.fail()
  t.is(asked.value.step, 4)
  await far.send({ kind: 'features', step: 4, tensors: asked.value.tensors })
  const { value } = await near.frames[Symbol.asyncIterator]().next()
  t.deepEqual(value, { kind: 'features', step: 4, tensors: [{ name: 'activations', tensor }] })
  await host.stop()
  for await (const frame of near.frames) t.fail(frame.kind)
  await t.throwsAsync(client.attach(card.host, attachRequest(clientNode.id)), { instanceOf: ProtocolError, code: 'ERR_UNSUPPORTED' })
})

test('a consortium id that is no part of a topic is refused', async t => {
  const [node] = await startNodes(t, 1)
  if (node == null) return t.fail()
  for (const consortium of ['', 'a/b', 'A', 'a'.repeat(129)]) {
    t.throws(() => createProtocols(node.components, { consortium, model: MODEL }), { instanceOf: InvalidParametersError }, consortium)
  }
})
