/** Every code of a status, from facts; and the facts, from what a node tells. */
import test from 'ava'
import { peerTable } from '../../node/cli/peers.ts'
import { Facts } from '../../node/telemetry/facts.ts'
import { LEVEL } from '../helpers/synthetic.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { act, enter, found, invite, knock, signer } from '../membership/helpers.ts'
import { membershipFacts } from '../../node/telemetry/membership-facts.ts'
import { smallCharter } from '../helpers/federation.ts'
import { draw, statusLines } from '../../node/cli/status.ts'
import { statusOf } from '../../node/telemetry/status.ts'
import type { HeardPeer, NodeView } from '../../node/telemetry/facts.ts'
import type { HostCard } from '../../src/backbone/frames.ts'
import type { MembershipFacts } from '../../node/telemetry/membership-facts.ts'
import type { PeerFacts, PeerFigures, StatusFacts } from '../../node/telemetry/status.ts'

const MODEL = 'a1b2c3d4e5f60718'
const OTHER = 'ffffffffffff0000'
const SELF = '12D3KooWself'
const CHARTER = { name: 'lungs', model: MODEL, stepsPerRound: 10, total: 40, quorum: 3, peers: 1, stepMs: 5_000 }
const CLIENT = { peer: SELF, roles: ['client'] as const, addresses: ['/ip4/192.0.2.1/tcp/4001'], backend: 'none' }
const HOST = { ...CLIENT, roles: ['host'] as const, backend: 'cpu' }
const MEMBER: MembershipFacts = {
  consortium: 'lung-consortium',
  state: 'member',
  charterHash: 'c0ffee00c0ffee00',
  digest: 'd1d1d1d1d1d1d1d1',
  members: [{ peer: SELF, name: 'us', role: 'member' }, { peer: 'p-a', name: 'St-A', role: 'client' }, { peer: 'p-b', name: 'St-B', role: 'client' }, { peer: 'p-c', name: 'St-C', role: 'client' }]
}
const friend: PeerFacts = { peer: 'p-friend', name: 'friend', connected: true, lastSeenMs: 0 }
/** A client that has trained a moment ago: nothing to wait for. */
const FINE: StatusFacts = {
  name: 'clinic',
  pid: 42,
  uptimeMs: 90_000,
  started: CLIENT,
  charter: CHARTER,
  bootstrap: 1,
  peers: [friend],
  hosts: [],
  client: { step: 12, attached: { host: 'p-bone', name: 'bone' } },
  lastStepMs: 500,
  done: false
}
const idle = { client: { step: 0 } } // not attached
const { lastStepMs, client, ...REST } = FINE
const HOSTING: StatusFacts = { ...REST, started: HOST, hosting: { step: 0, slots: 4, clients: ['St-A', 'St-C'], waiting: '' } }

const TRADES: PeerFigures = { step: 12, total: 40, done: false, cards: { known: 6, peers: 3, kept: 4, refused: 1, pending: 0, failed: 0 }, members: ['model-1 of its own', 'model-2 of friend'] }
const TRADING: StatusFacts = { ...REST, started: { ...CLIENT, roles: ['peer'] }, trading: TRADES, lastStepMs: 500 }

interface Row { readonly id: string, readonly facts: StatusFacts, readonly codes: readonly string[], readonly reason?: RegExp, readonly next?: RegExp, readonly joined?: boolean, readonly ready?: boolean, readonly contributing?: boolean }

const rows: readonly Row[] = [
  { id: 'a client that trains', facts: FINE, codes: [], joined: true, ready: true, contributing: true },
  { id: 'a host that trains', facts: { ...HOSTING, lastStepMs: 1_000, hosting: { step: 12, slots: 4, clients: ['St-A'], waiting: 'waiting: 0 of 1 gradients of step 12, missing St-A' } }, codes: [], joined: true, ready: true, contributing: true },
  { id: 'NOT_JOINED: it is starting', facts: { ...REST, started: undefined as never, peers: [] }, codes: ['NOT_JOINED'], reason: /starting, for 1 min 30 s/, joined: false, ready: false, contributing: false },
  { id: 'NOT_JOINED: outside', facts: { ...FINE, ...idle, lastStepMs: 1e9, hosts: [card('bone', 0, 4)], membership: { ...MEMBER, state: 'outside' } }, codes: ['NOT_JOINED'], reason: /not a member of lung-consortium/, next: /fmtl-node join/, joined: false },
  { id: 'NOT_JOINED: expelled, with the reason', facts: { ...FINE, ...idle, hosts: [card('bone', 0, 4)], membership: { ...MEMBER, state: 'revoked', reason: 'left the study' } }, codes: ['NOT_JOINED'], reason: /expelled from lung-consortium: left the study/, joined: false },
  { id: 'ADMISSION_PENDING', facts: { ...FINE, ...idle, hosts: [card('bone', 0, 4)], membership: { ...MEMBER, state: 'pending', pendingSince: Date.UTC(2026, 0, 2) } }, codes: ['ADMISSION_PENDING'], reason: /at the door of lung-consortium.*since 2026-01-02.*one of 4 members has to say yes/, next: /fmtl-node admit 12D3KooWself/, joined: false, ready: false, contributing: false },
  { id: 'NO_PEERS: none was named', facts: { ...FINE, ...idle, bootstrap: 0, peers: [], hosts: [card('bone', 1, 4)] }, codes: ['NO_PEERS'], reason: /no address to dial was given/, next: /--bootstrap \/ip4\/192/, joined: true, ready: false },
  { id: 'NO_PEERS: with what the dialled one says and who was lost', facts: { ...FINE, ...idle, peers: [{ ...friend, connected: false, lastSeenMs: 40_000 }], hosts: [card('bone', 1, 4)], waiting: 'waiting: /ip4/192.0.2.9/tcp/1 does not answer (refused), next try in 250 ms' }, codes: ['NO_PEERS'], reason: /1 address to dial first \(\/ip4\/192\.0\.2\.9\/tcp\/1 does not answer \(refused\).*\); lost friend 40 s ago/ },
  { id: 'NO_HOST', facts: { ...FINE, ...idle }, codes: ['NO_HOST'], reason: /no host has announced itself/, next: /up --role host/, ready: false },
  { id: 'NO_HOST: another charter only', facts: { ...FINE, ...idle, hosts: [card('bone', 0, 4, OTHER)] }, codes: ['NO_HOST'], reason: /1 host announced, none with the charter a1b2c3d4e5f6/ },
  { id: 'NO_SLOT', facts: { ...FINE, ...idle, hosts: [card('bone', 4, 4), card('spine', 2, 2)] }, codes: ['NO_SLOT'], reason: /2 hosts announced, all full: bone 4 of 4, spine 2 of 2/, next: /--slots/, ready: false },
  { id: 'NO_QUORUM: clients', facts: { ...HOSTING, membership: MEMBER, peers: [friend, { peer: 'p-b', name: 'St-B', connected: false, lastSeenMs: 40_000 }] }, codes: ['NO_QUORUM'], reason: /2 of 3 clients attached \(St-A and St-C\), missing St-B \(last seen 40 s ago\)/, ready: false, contributing: false },
  { id: 'NO_QUORUM: clients, without a member list', facts: HOSTING, codes: ['NO_QUORUM'], reason: /2 of 3 clients attached.*missing 1$/ },
  { id: 'NO_QUORUM: other hosts', facts: { ...HOSTING, hosting: { step: 0, slots: 4, clients: ['a', 'b', 'c'], waiting: '' } }, codes: ['NO_QUORUM'], reason: /0 of 1 other hosts announced, missing 1/ },
  { id: 'NO_QUORUM: a host that has begun waits for one', facts: { ...HOSTING, hosting: { step: 12, slots: 4, clients: [], waiting: '' } }, codes: ['NO_QUORUM'], reason: /0 of 1 clients attached, missing 1/, ready: false },
  { id: 'COMPUTE_LOST', facts: { ...FINE, client: { step: 12 }, hosts: [card('bone', 0, 4)], computeLost: { message: 'the GPU is gone', agoMs: 3_000 } }, codes: ['COMPUTE_LOST'], reason: /lost 3\.0 s ago and no step since: the GPU is gone/, next: /doctor/, ready: false },
  { id: 'a peer that trades models', facts: TRADING, codes: [], joined: true, ready: true, contributing: true },
  { id: 'NO_CARDS: nobody has offered a model yet', facts: { ...TRADING, trading: { ...TRADES, cards: { ...TRADES.cards, known: 0, peers: 0, kept: 0 } } }, codes: ['NO_CARDS'], reason: /no peer has offered a model yet, of 1 peer connected; its own serve/, ready: true, contributing: true },
  { id: 'NO_PEERS: a peer trains on alone', facts: { ...TRADING, bootstrap: 0, peers: [], trading: { ...TRADES, cards: { ...TRADES.cards, known: 0 } } }, codes: ['NO_PEERS'], ready: true, contributing: true },
  { id: 'CARDS_FAILED', facts: { ...TRADING, trading: { ...TRADES, cards: { ...TRADES.cards, failed: 1, pending: 2 } } }, codes: ['CARDS_FAILED'], reason: /1 model of 6 did not come or was not what was announced, 2 under way/, next: /fmtl-node logs/, contributing: true },
  { id: 'WAITING: what the host says', facts: { ...FINE, lastStepMs: 5_000, waiting: 'waiting: closing round 3' }, codes: ['WAITING'], reason: /^closing round 3$/, contributing: true },
  { id: 'a step long ago is no contribution', facts: { ...FINE, lastStepMs: 61_000, waiting: 'waiting: closing round 3' }, codes: ['WAITING'], ready: true, contributing: false },
  { id: 'a long deadline allows a long pause', facts: { ...FINE, lastStepMs: 61_000, charter: { ...CHARTER, stepMs: 120_000 } }, codes: [], contributing: true },
  { id: 'CHARTER_MISMATCH: of the training', facts: { ...FINE, peers: [{ ...friend, model: OTHER }] }, codes: ['CHARTER_MISMATCH'], reason: /friend has the charter ffffffffffff, this node a1b2c3d4e5f6/, contributing: true },
  { id: 'CHARTER_MISMATCH: of the consortium', facts: { ...FINE, membership: MEMBER, peers: [{ ...friend, model: MODEL, charterHash: 'badbadbadbadbad0' }] }, codes: ['CHARTER_MISMATCH'], reason: /badbadbadbad, this node c0ffee00c0ff/ },
  { id: 'MEMBERS_DIFFER', facts: { ...FINE, membership: MEMBER, peers: [{ ...friend, digest: 'eeeeeeeeeeeeeeee', digestDiffersMs: 75_000 }] }, codes: ['MEMBERS_DIFFER'], reason: /friend has another set of members .* for 1 min 15 s/, contributing: true },
  { id: 'CLOCK_SKEW: ahead', facts: { ...FINE, peers: [{ ...friend, clockSkewMs: 3_600_000 }] }, codes: ['CLOCK_SKEW'], reason: /clock of friend is 3600 s ahead of ours/ },
  { id: 'CLOCK_SKEW: behind', facts: { ...FINE, peers: [{ ...friend, clockSkewMs: -61_000 }] }, codes: ['CLOCK_SKEW'], reason: /61 s behind ours/ },
  { id: 'a minute of skew is borne', facts: { ...FINE, peers: [{ ...friend, clockSkewMs: 60_000 }] }, codes: [] },
  { id: 'DISK_LOW: under 200 MiB', facts: { ...FINE, disk: { freeBytes: 199 * 2 ** 20, checkpointBytes: 1000, path: '/home' } }, codes: ['DISK_LOW'], reason: /199 MiB free on the disk of \/home, 200 MiB needed/, next: /df -h \/home/, contributing: true },
  { id: 'DISK_LOW: under three checkpoints', facts: { ...FINE, disk: { freeBytes: 599 * 2 ** 20, checkpointBytes: 200 * 2 ** 20, path: '/home' } }, codes: ['DISK_LOW'], reason: /599 MiB free.*600 MiB needed \(a checkpoint has 200 MiB\)/ },
  { id: 'three checkpoints are enough', facts: { ...FINE, disk: { freeBytes: 600 * 2 ** 20, checkpointBytes: 200 * 2 ** 20, path: '/home' } }, codes: [] },
  { id: 'TRAINING_DONE is no wait', facts: { ...FINE, ...idle, peers: [], lastStepMs: 1e7, done: true }, codes: [], joined: true, ready: true, contributing: false },
  { id: 'warnings come after what blocks', facts: { ...FINE, ...idle, peers: [{ ...friend, clockSkewMs: 1e6 }] }, codes: ['NO_HOST', 'CLOCK_SKEW'] }
]

for (const { id, facts, codes, reason, next, ...answers } of rows) {
  test(`status: ${id}`, t => {
    const status = statusOf(facts)
    t.deepEqual(status.waiting.map(({ code }) => code), codes)
    if (reason !== undefined) t.regex(status.waiting[0]?.reason ?? '', reason)
    if (next !== undefined) t.regex(status.waiting[0]?.next ?? '', next)
    for (const name of ['joined', 'ready', 'contributing'] as const) if (answers[name] !== undefined) t.is(status[name].yes, answers[name], `${name}: ${status[name].why}`)
    t.is(status.done?.code, facts.done ? 'TRAINING_DONE' : undefined)
    const lines = statusLines(status, facts.peers, 100, (_, text) => text)
    for (const code of codes) t.true(lines.some(line => line.startsWith(`${code}  `)), `printed: ${code}`)
  })
}

test('the table walks every code', t => {
  const walked = new Set(rows.flatMap(({ codes }) => codes))
  t.deepEqual([...walked].sort(), ['ADMISSION_PENDING', 'CARDS_FAILED', 'CHARTER_MISMATCH', 'CLOCK_SKEW', 'COMPUTE_LOST', 'DISK_LOW', 'MEMBERS_DIFFER', 'NOT_JOINED', 'NO_CARDS', 'NO_HOST', 'NO_PEERS', 'NO_QUORUM', 'NO_SLOT', 'WAITING'])
})

test('a peer shows what it made of others\' models, and by whom it is served', t => {
  const lines = statusLines(statusOf({ ...TRADING, trading: { ...TRADES, cards: { ...TRADES.cards, pending: 1, failed: 1 } } }), TRADING.peers, 120, (_, text) => text)
  t.true(lines.includes('6 models of 3 peers offered: 4 on the bench, 1 refused, 1 under way, 1 did not come'))
  t.true(lines.includes('served by model-1 of its own and model-2 of friend'))
  t.true(statusLines(statusOf({ ...TRADING, trading: { ...TRADES, members: [] } }), [], 120, (_, text) => text).includes('no committee chosen yet'))
})

function card (name: string, attached: number, slots: number, model = MODEL): HostCard {
  return { host: `p-${name}`, name, backend: 'cpu', samplesPerSecond: 100, memoryBytes: 1, attached, slots, model, round: 0, step: 0, addresses: [], sentAt: 1_000 }
}

interface Watched { readonly facts: Facts, at: number, wall: number, view: NodeView, heard: HeardPeer[], free: number, asked: number }

function watched (membership?: () => MembershipFacts): Watched {
  const state: Omit<Watched, 'facts'> = { at: 0, wall: 1_000_000, view: { connected: [], hosts: [], client: { step: 0 } }, heard: [], free: 2 ** 40, asked: 0 }
  const facts = new Facts({
    name: 'clinic',
    home: '/home',
    charter,
    bootstrap: 0,
    node: () => state.view,
    now: () => state.at,
    wall: () => state.wall,
    heard: () => state.heard,
    free: async () => { state.asked++; return state.free },
    ...membership === undefined ? {} : { membership }
  })
  facts.note({ type: 'node:started', node: 'clinic', peer: SELF, pid: 1, roles: ['client'], roleReason: '', addresses: [], backend: 'none', falls: [], seconds: 1 })
  return Object.assign(state, { facts })
}

const charter = smallCharter([LEVEL], { training: { rounds: 4 } })

test('facts: a peer that went away is remembered with the time', t => {
  const node = watched()
  node.view = { ...node.view, connected: ['p-friend'], hosts: [{ ...card('bone', 0, 4, charterHash(charter)), sentAt: 990_000 }] }
  t.is(node.facts.current().peers[0]?.connected, true)
  node.at = 40_000
  node.view = { ...node.view, connected: [], hosts: [] }
  const peers = node.facts.current().peers
  t.deepEqual(peers.map(({ peer, connected, lastSeenMs }) => [peer, connected, lastSeenMs]), [['p-bone', false, 40_000], ['p-friend', false, 40_000]])
  t.is(peers[0]?.clockSkewMs, -10_000)
})

test('facts: how a peer is connected, and through whom, until it is not', t => {
  const node = watched()
  const how = (): unknown => node.facts.current().peers.map(({ peer, via, relay }) => [peer, via, relay])
  node.view = { ...node.view, connected: ['p-friend'], relayedBy: new Map([['p-friend', 'p-relay']]) }
  t.deepEqual(how(), [['p-friend', 'relay', 'p-relay']])
  node.view = { ...node.view, relayedBy: new Map() }
  t.deepEqual(how(), [['p-friend', 'direct', undefined]])
  node.view = { ...node.view, connected: [] }
  t.deepEqual(how(), [['p-friend', undefined, undefined]])
})

test('facts: addresses are those of now', t => {
  const node = watched()
  t.deepEqual(node.facts.current().started?.addresses, [])
  node.view = { ...node.view, addresses: ['/ip4/45.9.0.11/tcp/1'] }
  t.deepEqual(node.facts.current().started?.addresses, ['/ip4/45.9.0.11/tcp/1'])
})

test('peers say through whom they are connected', t => {
  const peers: PeerFacts[] = [{ ...friend, via: 'relay', relay: 'p-relay' }, { peer: 'p-relay', name: 'hub', connected: true, via: 'direct', lastSeenMs: 0 }]
  const [, first = '', second = ''] = peerTable(peers, 140)
  t.regex(first, /friend .* by relay hub /)
  t.regex(second, /hub .* direct /)
})

test('facts: an old card says nothing about the clock of now', t => {
  const node = watched()
  node.view = { ...node.view, hosts: [{ ...card('bone', 0, 4), sentAt: 1_000_000 }] }
  t.is(node.facts.current().peers[0]?.clockSkewMs, 0)
  node.at = 25_000
  node.wall += 25_000
  const [bone] = node.facts.current().peers
  t.is(bone?.clockSkewMs, 0)
  t.is(bone?.lastSeenMs, 25_000)
})

test('facts: how long member sets differ counts from the first time, and begins anew', t => {
  const node = watched(() => MEMBER)
  const hear = (digest: string): number | undefined => {
    node.heard = [{ peer: 'p-friend', digest, heardMs: 0 }]
    return node.facts.current().peers[0]?.digestDiffersMs
  }
  t.is(hear('other'), 0)
  node.at = 5_000
  t.is(hear('other'), 5_000)
  t.is(hear(MEMBER.digest), undefined)
  node.at = 9_000
  t.is(hear('other'), 0)
})

test('facts: a step takes back a wait and a lost worker; a checkpoint\'s step is no contribution', t => {
  const node = watched()
  node.view = { ...node.view, client: { step: 10 } } // from a checkpoint
  t.is(node.facts.current().lastStepMs, undefined)
  node.facts.note({ type: 'waiting', node: 'clinic', reason: 'waiting: closing round 1' })
  node.facts.note({ type: 'error', node: 'clinic', code: 'ERR_COMPUTE_LOST', message: 'gone' })
  node.at = 3_000
  t.is(node.facts.current().waiting, 'waiting: closing round 1')
  t.is(node.facts.current().computeLost?.agoMs, 3_000)
  node.view = { ...node.view, client: { step: 11 } }
  node.facts.note({ type: 'client:computing', node: 'clinic', backend: 'cpu', falls: [], seconds: 1 })
  const facts = node.facts.current()
  t.is(facts.waiting, undefined)
  t.is(facts.computeLost, undefined)
  t.is(facts.lastStepMs, 0)
})

test('facts: attached, detached, done', t => {
  const node = watched()
  node.facts.note({ type: 'client:attached', node: 'clinic', host: 'p-bone', hostName: 'bone', step: 0 })
  t.deepEqual(node.facts.current().client?.attached, { host: 'p-bone', name: 'bone' })
  node.facts.note({ type: 'client:detached', node: 'clinic', host: 'p-bone', reason: 'gone' })
  t.is(node.facts.current().client?.attached, undefined)
  t.false(node.facts.current().done)
  node.facts.note({ type: 'report', node: 'clinic', report: {} as never })
  t.true(node.facts.current().done)
})

test('facts: a node of both roles is done when both are', t => {
  const node = watched()
  const host = (done: boolean): NodeView => ({ connected: [], hosts: [], client: { step: 8 }, host: { step: 8, slots: 1, clients: [], waiting: '', done } })
  node.facts.note({ type: 'node:started', node: 'clinic', peer: SELF, pid: 1, roles: ['host', 'client'], roleReason: '', addresses: [], backend: 'cpu', falls: [], seconds: 1 })
  node.view = host(true)
  t.false(node.facts.current().done)
  node.facts.note({ type: 'report', node: 'clinic', report: {} as never })
  t.true(node.facts.current().done)
  node.view = host(false)
  t.false(node.facts.current().done)
})

test('facts: the disk is asked every 10 s at most', async t => {
  const node = watched()
  for (node.at = 0; node.at < 25_000; node.at += 1_000) node.facts.sample()
  t.is(node.asked, 3)
  await Promise.resolve()
  t.is(node.facts.current().disk?.freeBytes, 2 ** 40)
})

test('membership facts follow the member log', async t => {
  const [ann, bea, cyd] = [signer('ann'), signer('bea'), signer('cyd')]
  const log = await found(ann, { quorum: 1 })
  t.is(membershipFacts(log.state, bea.peer).state, 'outside')
  await enter(log, ann, cyd, 'client')
  t.like(membershipFacts(log.state, ann.peer), { consortium: 'Heart consortium', state: 'member', digest: log.state.digest, charterHash: log.state.charterHash })
  t.deepEqual(membershipFacts(log.state, ann.peer).members.map(({ role }) => role).sort(), ['client', 'member'])
  await act(log, ann, { kind: 'revoke', peer: cyd.peer, reason: 'left the trial' })
  t.like(membershipFacts(log.state, cyd.peer), { state: 'revoked', reason: 'left the trial' })
})

test('a newcomer at the door is pending since the knock', async t => {
  const [ann, bea] = [signer('ann'), signer('bea')]
  const log = await found(ann)
  const { at } = await knock(log, ann, bea, await invite(log, ann))
  t.like(membershipFacts(log.state, bea.peer), { state: 'pending', pendingSince: at })
})

test('a watch draws over what it drew, within the screen; without a terminal one block after the other', t => {
  let out = ''
  const screen = { isTTY: true, columns: 11, rows: 4, write: (text: string) => { out += text } }
  t.is(draw(['one', 'a line that is too long', 'three', 'four'], 0, screen), 3)
  t.is(out, '\r\x1b[Jone\na line th…\nthree\n')
  out = ''
  t.is(draw(['none'], 3, screen), 1)
  t.is(out, '\x1b[3A\r\x1b[Jnone\n')
  out = ''
  t.is(draw(['one', 'two'], 0, { ...screen, isTTY: false }), 0)
  t.is(out, 'one\ntwo\n\n')
})
