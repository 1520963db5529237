import test from 'ava'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { createNode, dialBootstrap } from '../../node/libp2p.ts'
import { reachable } from '../../protocols/pubsub.ts'
import { InvalidParametersError, ResourceError } from '../../src/errors.ts'
import { startNodes, until } from './nodes.ts'

test('a taken port is named in one line', async t => {
  const [first] = await startNodes(t, 1)
  const address = first?.node.getMultiaddrs()[0]?.decapsulate('/p2p').toString() ?? ''
  const port = address.split('/').at(-1) ?? ''
  const err = await t.throwsAsync(createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [address] }), { instanceOf: ResourceError })
  t.is(err?.message, `address 127.0.0.1:${port} is already in use`)
})

test('a listen address that is none is the caller\'s mistake', async t => {
  await t.throwsAsync(createNode({ privateKey: await generateKeyPair('Ed25519'), listen: ['localhost:4000'] }), { instanceOf: InvalidParametersError })
})

test('bootstrap is tried until it answers, with the reason of each failure', async t => {
  const [first, late] = await startNodes(t, 2)
  if (first == null || late == null) return t.fail('no node')
  // an address where nobody listens until the first attempt failed
  const address = late.node.getMultiaddrs()[0]?.decapsulate('/p2p').toString() ?? ''
  await late.node.stop()
  const privateKey = await generateKeyPair('Ed25519')
  const reasons: string[] = []
  const answered = await dialBootstrap(first.node, [address], {
    onRetry: (_address, reason) => {
      reasons.push(reason)
      if (reasons.length > 1) return
      void createNode({ privateKey, listen: [address], profile: 'testnet' }).then(node => { t.teardown(async () => { await node.stop() }) })
    }
  })
  t.deepEqual(answered, [address])
  t.regex(reasons[0] ?? '', /refused|ECONNREFUSED/i)
})

test('bootstrap gives up with its signal', async t => {
  const [node] = await startNodes(t, 1)
  if (node == null) return t.fail('no node')
  await t.throwsAsync(dialBootstrap(node.node, ['/ip4/127.0.0.1/tcp/1'], { signal: AbortSignal.timeout(100) }), { name: 'TimeoutError' })
})

test('a lost connection to a bootstrap peer is opened again', async t => {
  const [first, second] = await startNodes(t, 2)
  if (first == null || second == null) return t.fail('no node')
  await dialBootstrap(second.node, first.node.getMultiaddrs().map(String))
  const { promise: lost, resolve } = Promise.withResolvers<void>()
  second.node.addEventListener('peer:disconnect', () => { resolve() })
  // the end that was dialled may still be setting up its side
  await until(() => first.node.getConnections(second.node.peerId).length > 0)
  await first.node.hangUp(second.node.peerId)
  await lost
  await until(() => second.node.getConnections(first.node.peerId).length > 0)
  t.pass()
})

for (const address of ['/ip4/169.254.169.254/tcp/80', '/ip4/0.0.0.0/tcp/4000', '/ip6/fe80::1/tcp/4000', '/ip6/::/tcp/4000', '/ip4/224.0.0.1/tcp/4000']) {
  test(`${address} is never dialled`, async t => {
    const [node] = await startNodes(t, 1)
    if (node == null) return t.fail('no node')
    const start = performance.now()
    await t.throwsAsync(dialBootstrap(node.node, [address], { signal: AbortSignal.timeout(50), onRetry: (_address, reason) => { t.regex(reason, /denied/) } }))
    t.true(performance.now() - start < 1000)
  })
}

test('six nodes that know one of them mesh in a moment', async t => {
  const nodes = await startNodes(t, 6)
  for (const { node } of nodes) node.services.pubsub.subscribe('fmtl/test')
  const first = nodes[0]?.node.services.pubsub
  if (first == null) return t.fail('no node')
  await until(() => reachable(first, 'fmtl/test').length === 5)
  const heard = nodes.slice(1).map(async ({ node }) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    node.services.pubsub.addEventListener('message', () => { resolve() })
    await promise
  })
  await first.publish('fmtl/test', Uint8Array.of(1))
  await Promise.all(heard)
  t.pass()
})
