/**
 * Sites behind NAT, with real routers: see ./namespaces.ts. Needs root, `ip` and `nft`; elsewhere it is skipped and says why.
 *
 *     m1, m2, m3   public members; nobody told them that they are, or to relay
 *     a, b         sites behind routers that let nobody in, both with the same private network
 */
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import test from 'ava'
import { networkLines } from '../../node/network/examine.ts'
import { seededIdentity } from '../../node/store/identity.ts'
import { Internet, whyNoNamespaces } from './namespaces.ts'
import { SEED } from './nat-node.ts'
import type { ExecutionContext } from 'ava'
import type { NetworkReport } from '../../node/network/examine.ts'
import type { LinkMeasurement } from '../../protocols/link.ts'
import type { NatNode } from './namespaces.ts'
import type { NatNodeSpec } from './nat-node.ts'

const SKIPPED = whyNoNamespaces()
const FAILOVER_MS = 10_000
const PORT = 4000
const PUBLIC = { m1: '45.9.0.11', m2: '45.9.0.12', m3: '45.9.0.13' } as const
const SITES = { a: { router: '45.9.0.101', address: '192.168.1.10', gateway: '192.168.1.1' }, b: { router: '45.9.0.102', address: '192.168.1.20', gateway: '192.168.1.1' } } as const
type Name = keyof typeof PUBLIC | keyof typeof SITES
const NAMES = ['m1', 'm2', 'm3', 'a', 'b'] as const
const address = (name: keyof typeof PUBLIC): string => `/ip4/${PUBLIC[name]}/tcp/${PORT}`

function natTest (title: string, body: (t: ExecutionContext) => Promise<void>): void {
  if (SKIPPED === undefined) test.serial(title, body)
  else test.skip(`${title} [${SKIPPED}]`, body)
}

async function idOf (label: string): Promise<string> { return peerIdFromPrivateKey(await seededIdentity(SEED, label)).toString() }

natTest('two sites behind NAT work together through members that others can dial, and go on when a relay dies', async t => {
  t.timeout(110_000)
  const ids = Object.fromEntries(await Promise.all(NAMES.map(async name => [name, await idOf(name)]))) as Record<Name, string>
  const members = [...Object.values(ids), ...await Promise.all(NAMES.map(async name => await idOf(`${name}-doctor`)))]
  const spec = (name: Name, bootstrap: readonly string[], host = false): NatNodeSpec =>
    ({ name, label: name, networkKey: '07'.repeat(32), members, listen: [`/ip4/0.0.0.0/tcp/${PORT}`], bootstrap, host })
  const net = await Internet.create(t)
  for (const name of ['m1', 'm2', 'm3'] as const) await net.machine(name, PUBLIC[name])
  for (const name of ['a', 'b'] as const) await net.site(name, SITES[name])
  const [m1, m2, a, b] = await Promise.all([
    net.start('m1', spec('m1', [])),
    net.start('m2', spec('m2', [address('m1')])),
    net.start('a', spec('a', [address('m1'), address('m2')], true)),
    net.start('b', spec('b', [address('m1'), address('m2')]))
  ])

  // (a) dialled back by those they dial, the public members know that they are, and relay; the sites know that they are not
  for (const member of [m1, m2]) await member.until(({ reach, volunteers }) => reach === 'open' && volunteers, 'a member that others can dial volunteers')
  for (const site of [a, b]) {
    const { status } = await site.until(({ reach, relays }) => reach === 'closed' && relays.length === 2, 'a site behind NAT has two relays')
    t.is(status.told.filter(told => told.includes('/p2p-circuit')).length, 2)
    t.false(status.volunteers)
  }
  await b.until(({ hosts }) => hosts.includes(ids.a), 'the card of the host behind NAT arrives by gossip')
  const first = await b.eventually<{ ms: number }>('train', { host: ids.a, steps: 3, bytes: 4096 }, 15_000)
  t.log(`attach and three steps between two sites behind NAT: ${Math.round(first.ms)} ms`)

  // (c) no direct connection comes of it: both routers drop what the other dials
  const relayed = (await b.status()).connections.filter(({ peer }) => peer === ids.a)
  t.true(relayed.length > 0)
  t.true(relayed.every(({ direct, limited }) => !direct && !limited), JSON.stringify(relayed))
  const { ms } = await b.ask<{ ms: number }>('train', { host: ids.a, steps: 8, bytes: 2 ** 20 })
  t.log(`eight steps of 1 MiB each way through a relay: ${Math.round(ms)} ms`)
  const [overRelay, direct] = [await b.ask<LinkMeasurement>('link', { peer: ids.a }), await b.ask<LinkMeasurement>('link', { peer: ids.m1 })]
  t.log(`relayed ${rate(overRelay)}, direct ${rate(direct)}`)

  // doctor, in each of the namespaces
  await examine(t, m1, address('m2'), /^others can reach this node at \/ip4\/45\.9\.0\.11\/tcp\/\d+$/, 'public')
  for (const site of [a, b]) await examine(t, site, address('m2'), /^others cannot dial this node; it takes part through a relay$/, 'private')

  // (b) a member that others can dial, and that knows of `a` only its relayed addresses, ends up with a direct connection
  const m3 = await net.start('m3', spec('m3', [address('m1')]))
  const upgraded = await m3.until(({ connections }) => connections.some(({ peer, direct }) => peer === ids.a && direct), 'the relayed connection became a direct one')
  t.log(`upgraded to a direct connection ${Math.round(upgraded.ms)} ms after the start`)
  await m3.eventually('train', { host: ids.a, steps: 1, bytes: 4096 }, 10_000)
  await m3.until(({ connections }) => connections.every(({ peer, direct }) => peer !== ids.a || direct), 'the relayed connection is closed')

  // (d) the relay between the sites dies
  const via = (await b.status()).connections.find(({ peer }) => peer === ids.a)?.address ?? ''
  const [dying, other] = via.includes(ids.m1) ? [m1, ids.m2] : [m2, ids.m1]
  const diedAt = performance.now()
  await dying.kill()
  await b.until(({ connections }) => connections.some(({ peer, address }) => peer === ids.a && address.includes(other)), 'another relay connects the sites', FAILOVER_MS)
  await b.eventually('train', { host: ids.a, steps: 3, bytes: 4096 }, FAILOVER_MS)
  const workedMs = performance.now() - diedAt
  t.true(workedMs < FAILOVER_MS, `${workedMs} ms`)
  const { status } = await a.until(({ relays }) => relays.length === 2 && relays.includes(ids.m3), 'a third member takes the place of the dead one', FAILOVER_MS)
  const replacedMs = performance.now() - diedAt
  t.true(replacedMs < FAILOVER_MS, `${replacedMs} ms`)
  t.true(status.told.some(told => told.includes(`${ids.m3}/p2p-circuit`)))
  t.log(`after the relay's death: steps again after ${Math.round(workedMs)} ms, two relays again after ${Math.round(replacedMs)} ms`)
})

async function examine (t: ExecutionContext, node: NatNode, peer: string, verdict: RegExp, scope: string): Promise<void> {
  const report = await node.ask<NetworkReport>('doctor', { peer })
  t.regex(report.verdict, verdict)
  t.true(report.listen.some(listen => listen.scope === scope), JSON.stringify(report.listen))
  t.regex(networkLines(report).join('\n'), /answers in [\d.]+ ms, sees this node as \/ip4\/45\.9\.0\.\d+\/tcp\/\d+/)
}

function rate ({ bitsPerSecond, roundTripMs }: LinkMeasurement): string { return `${Math.round(bitsPerSecond / 1e6)} Mbit/s, round trip ${roundTripMs.toFixed(1)} ms` }
