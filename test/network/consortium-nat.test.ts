/**
 * A consortium whose only host is behind NAT, with real routers and the command line alone: see ./namespaces.ts. Needs root,
 * `ip` and `nft`; elsewhere it is skipped and says why.
 *
 *     m1, m2   public members with data, which do not host; m1 is the founder
 *     a        the host, and a site, behind a router that lets nobody in
 *     b        a site behind another such router, with the same private network
 *     m3       a public member that comes later, by a link of a's
 */
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { decodeLink, encodeLink } from '../../src/membership/index.ts'
import { folderOf } from '../helpers/files.ts'
import { holderOf } from '../../node/store/lock.ts'
import { relayOf } from '../../node/network/addresses.ts'
import { request } from '../../node/control/client.ts'
import { Internet, whyNoNamespaces } from './namespaces.ts'
import type { ExecutionContext } from 'ava'
import type { NetworkReport } from '../../node/network/examine.ts'
import type { NodeStatus, PeerFacts } from '../../node/telemetry/status.ts'

const SKIPPED = whyNoNamespaces()
const COMMAND = fileURLToPath(new URL('../../scripts/fmtl-node.mjs', import.meta.url))
const PUBLIC = { m1: '45.9.0.11', m2: '45.9.0.12', m3: '45.9.0.13' } as const
const SITES = { a: { router: '45.9.0.101', address: '192.168.1.10', gateway: '192.168.1.1' }, b: { router: '45.9.0.102', address: '192.168.1.20', gateway: '192.168.1.1' } } as const
const NAMES = ['m1', 'm2', 'm3', 'a', 'b'] as const
type Name = typeof NAMES[number]
const FAILOVER_MS = 10_000
/** Two cores that five nodes share with whatever else runs. */
const PATIENCE_MS = 60_000

const MANIFEST = `name: clinics
files: { rows: rows.csv }
input: { modality: table, columns: [{ name: age, mean: 50, deviation: 10 }] }
clients: { column: site }
test: { column: part, equals: test }
tasks:
  - { id: ill, kind: classes, column: score, values: [0, 1], classes: [healthy, ill] }
`
const ROWS = ['site,age,score,part', ...NAMES.flatMap(name => Array.from({ length: 120 }, (_, i) => `${name},${30 + i % 50},${i % 2},${i % 8 < 3 ? 'test' : 'train'}`))].join('\n')

class Member {
  readonly name: Name
  readonly home: string
  readonly #t: ExecutionContext
  readonly #net: Internet

  constructor (t: ExecutionContext, net: Internet, folder: string, name: Name) {
    this.#t = t
    this.#net = net
    this.name = name
    this.home = join(folder, name)
  }

  /** On its own machine. */
  async run (...args: readonly string[]): Promise<string> {
    const child = this.#net.spawn(this.name, [COMMAND, ...args, '--home', this.home], { stdio: ['ignore', 'pipe', 'pipe'], env: { FMTL_BACKEND: 'wasm' }, timeout: PATIENCE_MS })
    const closed = once(child, 'close') as Promise<[number | null]>
    const [stdout, stderr, [status]] = await Promise.all([text(child.stdout!), text(child.stderr!), closed])
    this.#t.is(status, 0, `${this.name}: ${args.join(' ')}: ${stderr}`)
    return stdout
  }

  async doctor (): Promise<NetworkReport> { return (JSON.parse(await this.run('doctor', '--network', '--format', 'json')) as { network: NetworkReport }).network }

  /** A socket in the file system has no network namespace. */
  async status (): Promise<NodeStatus> { return await request<NodeStatus & object>(this.home, 'GET', '/status') }

  async id (): Promise<string> { return (await request<{ self: string }>(this.home, 'GET', '/members')).self }

  /** How this member is connected to another one. */
  async to (other: Member): Promise<PeerFacts | undefined> {
    const { peers } = await request<{ peers: PeerFacts[] }>(this.home, 'GET', '/peers')
    return peers.find(({ name, connected }) => name === other.name && connected)
  }

  kill (): void {
    const holder = holderOf(this.home)
    if (holder !== undefined) process.kill(holder.pid, 'SIGKILL')
  }
}

/** @returns ms until it was so */
async function until (what: string, fact: () => Promise<boolean>, withinMs = PATIENCE_MS): Promise<number> {
  const startedAt = performance.now()
  while (!await fact()) {
    if (performance.now() - startedAt > withinMs) throw new Error(`not so within ${withinMs / 1000} s: ${what}`)
    await pause(50)
  }
  return performance.now() - startedAt
}

const title = 'a consortium whose only host is behind NAT trains through a member that relays, and goes on when that one is killed'
const body = async (t: ExecutionContext): Promise<void> => {
  t.timeout(3 * PATIENCE_MS)
  const folder = await folderOf(t, { 'data/fmtl.yaml': MANIFEST, 'data/rows.csv': ROWS })
  const net = await Internet.create(t)
  for (const name of ['m1', 'm2', 'm3'] as const) await net.machine(name, PUBLIC[name])
  for (const name of ['a', 'b'] as const) await net.site(name, SITES[name])
  const member = (name: Name): Member => {
    const made = new Member(t, net, folder, name)
    t.teardown(() => { made.kill() })
    return made
  }
  const [m1, m2, m3, a, b] = [member('m1'), member('m2'), member('m3'), member('a'), member('b')]
  const data = (name: Name): string[] => ['--data', join(folder, 'data'), '--client', name, '--name', name]

  await m1.run('found', 'Nat consortium', ...data('m1'), '--sites', '4', '--set', 'charter.training.rounds=100000', '--set', 'charter.training.stepsPerRound=20')
  await m1.run('up', '--detach', '--role', 'client')
  const link = (await m1.run('invite', '--uses', '3')).trim()
  t.true(decodeLink(link).addresses.some(address => address.startsWith(`/ip4/${PUBLIC.m1}/tcp/`)), 'a founder alone knows its public address')
  const joining = [m2, a, b].map(async site => { await site.run('join', link, ...data(site.name), '--yes') })
  await until('three newcomers at the door', async () => (await request<{ pending: unknown[] }>(m1.home, 'GET', '/members')).pending.length === 3)
  await m1.run('admit')
  await Promise.all(joining)
  await Promise.all([m2.run('up', '--detach', '--role', 'client'), a.run('up', '--detach', '--role', 'both')])

  // the only host is behind NAT, and so is b: what they train goes through a member that relays
  const upAt = performance.now()
  await b.run('up', '--detach', '--role', 'client')
  const startedMs = performance.now() - upAt
  await until('b trains', async () => (await b.status()).step > 0)
  t.log(`b behind NAT: listens ${Math.round(startedMs)} ms after up, first step with the host behind NAT after ${Math.round(performance.now() - upAt)} ms`)
  for (const [one, other] of [[a, b], [b, a]] as const) t.is((await one.to(other))?.via, 'relay')
  t.is((await b.to(m1))?.via, 'direct')
  await until('a round is closed with all four', async () => (await b.status()).round > 0)
  await until('the host has two relays', async () => new Set((await a.status()).addresses.flatMap(address => relayOf(address) ?? [])).size === 2)

  // what others can reach, as doctor says it in each of the namespaces; where a node runs, that node has looked
  const inviting = a.run('invite')
  const doctored = await Promise.all([m1, a, b].map(async site => {
    const network = await site.doctor()
    t.log(`doctor at ${site.name}: ${network.verdict} (asked ${network.peers.length} members)`)
    return network
  }))
  t.regex(doctored[0]?.verdict ?? '', /^others can reach this node at \/ip4\/45\.9\.0\.11\/tcp\/\d+/)
  for (const [i, router] of [SITES.a.router, SITES.b.router].entries()) {
    const { verdict, peers, listen } = doctored[i + 1] as NetworkReport
    t.is(verdict, 'others cannot dial this node; it takes part through a relay')
    t.true(peers.filter(({ seenAs }) => seenAs?.startsWith(`/ip4/${router}/tcp/`)).length >= 2, JSON.stringify(peers))
    t.true(listen.some(({ scope }) => scope === 'private'))
  }

  // a newcomer at the door of a site behind NAT, which it reaches through a relay; then a member dials back, directly
  const own = decodeLink((await inviting).trim())
  t.log(`a's link leads to ${own.addresses.join(', ')}`)
  const aId = await a.id()
  const through = own.addresses.filter(address => address.endsWith(`/p2p-circuit/p2p/${aId}`))
  t.true(through.length > 0, 'the link of a site behind NAT leads through a relay')
  const knocking = m3.run('join', encodeLink({ ...own, addresses: through }), ...data('m3'), '--yes')
  await until('m3 is at the door', async () => (await request<{ pending: unknown[] }>(b.home, 'GET', '/members')).pending.length === 1)
  await a.run('admit')
  await knocking
  await m3.run('up', '--detach', '--role', 'client')
  const ways = new Set<string>()
  const directMs = await until('m3 has a direct connection to the host behind NAT', async () => {
    const { via } = await m3.to(a) ?? {}
    if (via !== undefined) ways.add(via)
    return via === 'direct'
  })
  t.log(`m3, which others can dial, to the host behind NAT: ${[...ways].join(', then ')}, ${Math.round(directMs)} ms after it listens`)

  // the relay in use is killed
  const [m1Id, relay] = [await m1.id(), (await b.to(a))?.relay]
  const [dying, other] = relay === m1Id ? [m1, m2] : [m2, m1]
  const otherId = await other.id()
  const stepBefore = (await b.status()).step
  const diedAt = performance.now()
  dying.kill()
  await until('the sites are connected through the other relay', async () => (await b.to(a))?.relay === otherId, FAILOVER_MS)
  const connectedMs = performance.now() - diedAt
  const stepConnected = Math.max(stepBefore, (await b.status()).step)
  await until('b trains again', async () => (await b.status()).step > stepConnected, FAILOVER_MS - connectedMs)
  t.log(`after the relay's death: connected through the other one after ${Math.round(connectedMs)} ms, steps again after ${Math.round(performance.now() - diedAt)} ms`)

  // where no node runs, doctor asks the members itself, as that node
  const { verdict, peers } = await dying.doctor()
  t.log(`doctor at ${dying.name}, which does not run: ${verdict} (asked ${peers.length} members)`)
  t.regex(verdict, new RegExp(`^others can reach this node at /ip4/${PUBLIC[dying.name as 'm1' | 'm2'].replaceAll('.', '\\.')}/tcp/\\d+`), JSON.stringify(peers))
}

if (SKIPPED === undefined) test.serial(title, body)
else test.skip(`${title} [${SKIPPED}]`, body)
