import test from 'ava'
import { AnnounceService, encodeCard, hostsTopic } from '../../protocols/announce/index.ts'
import { reachable } from '../../protocols/pubsub.ts'
import { meshSize, startNodes, until } from './nodes.ts'
import type { HostCard } from '../../src/backbone/frames.ts'
import type { TestNode } from './nodes.ts'

function card (node: TestNode, sentAt = 1000): HostCard {
  return {
    host: node.id,
    name: 'lab with a GPU',
    backend: 'tensorflow',
    samplesPerSecond: 812.5,
    memoryBytes: 8 * 2 ** 30,
    attached: 2,
    slots: 8,
    model: 'f'.repeat(64),
    round: 3,
    step: 61,
    addresses: node.node.getMultiaddrs().map(String),
    sentAt
  }
}

test('a card reaches three peers, by which the host can be dialled, and expires', async t => {
  const nodes = await startNodes(t, 4)
  const services = nodes.map(({ components }) => new AnnounceService(components, { consortium: 'c', expiryMs: 300 }))
  for (const service of services) {
    service.start()
    t.teardown(() => { service.stop() })
  }
  // the last node knows the first only, and is the host: its cards travel over a hub
  const [hub, , , host] = nodes
  const hostService = services[3]
  if (hub == null || host == null || hostService == null) return t.fail()
  await until(() => hostService.subscribers.length === 1 && meshSize(hub, hostsTopic('c')) === 3)
  const sent = card(host)
  const others = services.slice(0, 3)
  const heard = others.map(async service => {
    const { promise, resolve } = Promise.withResolvers<HostCard>()
    service.onCard(resolve)
    return await promise
  })
  const gone = others.map(async service => {
    const { promise, resolve } = Promise.withResolvers<HostCard>()
    service.onExpired(resolve)
    return await promise
  })
  await hostService.publish(sent)
  for (const got of await Promise.all(heard)) t.deepEqual(got, sent)
  for (const service of others) t.deepEqual(service.hosts, [sent])
  await until(() => nodes.slice(1, 3).every(({ node }) => node.getConnections(host.node.peerId).length > 0))
  for (const got of await Promise.all(gone)) t.is(got.host, host.id)
  t.deepEqual(services[1]?.hosts, [])
})

test('only a newer card counts, and nobody speaks for another host', async t => {
  const [host, client] = await startNodes(t, 2)
  if (host == null || client == null) return t.fail()
  const service = new AnnounceService(client.components, { consortium: 'c', connect: false })
  service.start()
  t.teardown(() => { service.stop() })
  const pubsub = host.node.services.pubsub
  await until(() => reachable(pubsub, hostsTopic('c')).length === 1)
  const got: number[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  service.onCard(({ sentAt }) => {
    got.push(sentAt)
    if (sentAt === 5) resolve()
  })
  for (const sentAt of [3, 2, 4]) await pubsub.publish(hostsTopic('c'), encodeCard(card(host, sentAt)))
  await pubsub.publish(hostsTopic('c'), encodeCard({ ...card(client, 9), addresses: [] }))
  await pubsub.publish(hostsTopic('c'), encodeCard(card(host, 5)))
  await promise
  t.deepEqual(got, [3, 4, 5])
  t.is(service.hosts.length, 1)
})
