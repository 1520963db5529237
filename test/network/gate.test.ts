/** Floods of strangers: what a node writes down of them, and what it keeps. */
import { connect } from 'node:net'
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { peerIdFromString } from '@libp2p/peer-id'
import { createNode } from '../../node/libp2p.ts'
import { gater } from '../../node/network/gate.ts'
import { signer } from '../membership/helpers.ts'
import { until } from '../protocols/nodes.ts'
import type { ExecutionContext } from 'ava'
import type { MultiaddrConnection } from '@libp2p/interface'
import type { Node } from '../../node/libp2p.ts'

const NOBODY = { allows: () => false, whyNot: () => 'it is no member' }

interface Told { peer: string, address: string, why: string }

function listening (allows: (peer: string) => boolean, now: () => number = () => 0): { gate: ReturnType<typeof gater>, told: Told[] } {
  const told: Told[] = []
  return { gate: gater({ ...NOBODY, allows }, (peer, address, why) => { told.push({ peer, address, why }) }, now), told }
}

/** As much of a connection as the gate looks at. */
function connection (address: string): MultiaddrConnection {
  return Object.assign(new EventTarget(), { remoteAddr: multiaddr(address) }) as unknown as MultiaddrConnection
}

const peers = Array.from({ length: 1000 }, (_, i) => peerIdFromString(signer(`stranger ${i}`).peer))

test('a thousand identities at the gate make sixty lines a minute, and then one that says how many more there were', async t => {
  let now = 0
  const { gate, told } = listening(() => false, () => now)
  for (let round = 0; round < 3; round++) {
    for (const peer of peers) t.true(await gate.denyInboundEncryptedConnection?.(peer, connection('/ip4/192.0.2.1/tcp/1')))
  }
  t.is(told.length, 60)
  t.true(told.every(({ why }) => why === 'it is no member'))
  now = 60_000
  await gate.denyDialPeer?.(peers[999] as typeof peers[number])
  t.is(told.length, 61)
  // those who were told of are silent for a minute, all others count: 940 + 2 x 940
  t.is(told[60]?.why, 'it is no member; 2820 more refusals before it were not told one by one')
})

test('one identity is told of once a minute, whatever it dials from', async t => {
  let now = 0
  const { gate, told } = listening(() => false, () => now)
  for (let port = 1; port <= 5000; port++) await gate.denyInboundEncryptedConnection?.(peers[0] as typeof peers[number], connection(`/ip4/192.0.2.1/tcp/${port}`))
  t.is(told.length, 1)
  now = 60_000
  await gate.denyInboundEncryptedConnection?.(peers[0] as typeof peers[number], connection('/ip4/192.0.2.1/tcp/1'))
  t.is(told.length, 2)
})

test('of two connections with one address, the one that says who it is does not answer for the other', async t => {
  const address = '/ip4/192.0.2.1/tcp/1'
  const { gate, told } = listening(() => true)
  const [member, stranger] = [connection(address), connection(address)]
  for (const one of [member, stranger]) t.false(await gate.denyInboundConnection?.(one))
  t.false(await gate.denyInboundEncryptedConnection?.(peers[0] as typeof peers[number], member))
  for (const one of [member, stranger, stranger]) one.dispatchEvent(new Event('close'))
  t.deepEqual(told, [{ peer: 'a stranger at 192.0.2.1', address, why: 'it has not shown that it has the key of this private network' }])
})

async function start (t: ExecutionContext, init: { networkKey: Uint8Array, told?: Told[], relay?: boolean }): Promise<Node> {
  const node = await createNode({
    privateKey: await generateKeyPair('Ed25519'),
    profile: 'testnet',
    networkKey: init.networkKey,
    relay: init.relay === true,
    gate: { ...NOBODY, allows: () => true },
    onRefused: (peer, address, why) => { init.told?.push({ peer, address, why }) }
  })
  t.teardown(async () => { await node.stop() })
  return node
}

test('two hundred strangers from as many ports make one line, and a member gets in meanwhile', async t => {
  const networkKey = Uint8Array.from(randomBytes(32))
  const told: Told[] = []
  const node = await start(t, { networkKey, told })
  const address = node.getMultiaddrs()[0]
  if (address === undefined) return t.fail()
  const port = Number(address.getComponents().find(({ name }) => name === 'tcp')?.value)
  const closed = Promise.all(Array.from({ length: 200 }, async (_, i) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined) // a reset is as good as an end
    socket.resume()
    // some say nothing, some rubbish, some hang up at once
    if (i % 3 === 1) socket.write(randomBytes(100))
    if (i % 3 === 2) socket.end()
    await new Promise(resolve => { socket.once('close', resolve) })
  }))
  const member = await start(t, { networkKey })
  await member.dial(address, { signal: AbortSignal.timeout(5_000) })
  await until(() => node.getPeers().length === 1)
  await closed
  await until(() => told.length > 0)
  t.deepEqual(told.map(({ peer, why }) => ({ peer, why })), [{ peer: 'a stranger at 127.0.0.1', why: 'it has not shown that it has the key of this private network' }])
  t.is(node.getConnections().length, 1)
})

test('members that come and go, fail to connect, or come over a relay are no strangers', async t => {
  const networkKey = Uint8Array.from(randomBytes(32))
  const told: Told[] = []
  const hub = await start(t, { networkKey, told, relay: true })
  const near = await start(t, { networkKey, told })
  const far = await start(t, { networkKey, told })
  const to = hub.getMultiaddrs()[0]
  if (to === undefined) return t.fail()
  await near.dial(to)
  await near.services.relays.seek(() => [to.toString()])
  await until(() => near.services.relays.relays.length === 1)
  await far.dial(to)
  const over = await far.dial(multiaddr(`${to.toString()}/p2p-circuit/p2p/${near.peerId.toString()}`), { signal: AbortSignal.timeout(5_000) })
  t.true(over.remoteAddr.toString().includes('p2p-circuit'))
  await over.close()
  await t.throwsAsync(far.dial(multiaddr('/ip4/127.0.0.1/tcp/1'), { signal: AbortSignal.timeout(5_000) }))
  const gone = Promise.withResolvers<void>()
  hub.addEventListener('peer:disconnect', () => { gone.resolve() })
  await far.stop()
  await gone.promise
  t.deepEqual(told, [])
})
