/** Members who agree on a split: everybody hears everybody, or not, and one of them lies. No network. */
import test from 'ava'
import { ProtocolError } from '../../../src/errors.ts'
import { SplitMeeting } from '../../../node/groups/split-meeting.ts'
import { LEVEL } from '../../helpers/synthetic.ts'
import { decodeRow, encodeRow } from '../../../protocols/affinity/index.ts'
import { loadAgreed, saveAgreed } from '../../../node/groups/agreed-store.ts'
import { MemoryCheckpoints } from '../../../node/store/memory.ts'
import { mergeId, partitionOfRows, rowOf, sumsOf } from '../../../node/groups/rows.ts'
import { ranked } from '../../../node/groups/claims.ts'
import { smallCharter } from '../../helpers/federation.ts'
import { sha256 } from '../../../protocols/blob/index.ts'
import type { AffinityMessage, AffinityRow } from '../../../protocols/affinity/index.ts'
import type { Agreement, SplitMeetingInit, SplitPort } from '../../../node/groups/split-meeting.ts'
import type { Charter } from '../../../src/federation/charter.ts'
import type { ExecutionContext } from 'ava'

const TASKS = ['a', 'b', 'c']
const CLIENTS = ['client-1', 'client-2', 'client-3', 'client-4', 'client-5']
const HOST = 'host-1'

function charterOf (roundDeadlineMs = 60_000): Charter {
  return smallCharter(TASKS.map(id => ({ ...LEVEL, id })), {
    model: { trunk: 'client', sharedEmbedder: true, sharedHeads: 'all' },
    training: { rounds: 4, stepsPerRound: 1 },
    clock: { roundDeadlineMs },
    grouping: { mergedRounds: 2, affinityRounds: 1 }
  })
}

/** a and b help each other, c hinders both; times a number below 0 the other way round. */
function rowFor (charter: Charter, site: string, times = 1, tasks = TASKS): AffinityRow {
  const truth = [0, 2, -2, 2, 0, -2, -1, -1, 0]
  return rowOf(charter, site, tasks, { sums: Float32Array.from(truth, value => value * times), counts: new Uint32Array(9).fill(2) })
}

/** Everybody's messages to everybody, except what `loses` says. */
class Hub {
  readonly #listeners = new Map<string, (message: AffinityMessage, from: string) => void>()
  readonly #blobs = new Map<string, Map<string, Uint8Array>>()
  readonly fetched: string[] = []
  loses: (message: AffinityMessage, from: string, to: string) => boolean = () => false

  port (self: string): SplitPort {
    const own = new Map<string, Uint8Array>()
    this.#blobs.set(self, own)
    return {
      publish: async message => {
        for (const [to, hear] of this.#listeners) if (to !== self && !this.loses(message, self, to)) queueMicrotask(() => { hear(message, self) })
        return this.#listeners.size - 1
      },
      onMessage: handler => {
        this.#listeners.set(self, handler)
        return () => { this.#listeners.delete(self) }
      },
      provide: row => {
        const bytes = encodeRow(row)
        const hash = sha256(bytes)
        own.set(hash, bytes)
        return { site: row.site, hash, bytes: bytes.byteLength }
      },
      fetch: async ({ hash }, providers) => {
        this.fetched.push(self)
        const bytes = providers.flatMap(peer => this.#blobs.get(peer)?.get(hash) ?? [])[0]
        if (bytes === undefined) throw new ProtocolError('nobody has it')
        return decodeRow(bytes)
      }
    }
  }
}

interface Member { readonly meeting: SplitMeeting, readonly waits: string[], readonly problems: string[] }

function member (t: ExecutionContext, hub: Hub, self: string, charter: Charter, hosts: SplitMeetingInit['hosts'] = () => self === HOST ? [] : [HOST]): Member {
  const [waits, problems]: string[][] = [[], []]
  const meeting = new SplitMeeting(hub.port(self), { self, charter, hosts, againMs: 20, onWaiting: reason => { waits?.push(reason) }, onProblem: line => { problems?.push(line) } })
  t.teardown(() => { meeting.stop() })
  return { meeting, waits: waits as string[], problems: problems as string[] }
}

function meet (t: ExecutionContext, charter: Charter, peers: readonly string[] = [...CLIENTS, HOST]): { hub: Hub, members: Map<string, Member> } {
  const hub = new Hub()
  return { hub, members: new Map(peers.map(peer => [peer, member(t, hub, peer, charter)])) }
}

const signal = (): AbortSignal => AbortSignal.timeout(20_000)

async function decideAll (members: ReadonlyMap<string, Member>): Promise<Agreement[]> {
  return await Promise.all([...members.values()].map(async ({ meeting }) => await meeting.decide(signal())))
}

function groupsOf ({ partition }: Agreement): string { return partition.groups.map(({ tasks }) => tasks.join('+')).join(' ') }

test('in whatever order rows come, everybody agrees, on the same bits', async t => {
  const charter = charterOf()
  const { members } = meet(t, charter)
  const deciding = decideAll(members)
  for (const client of CLIENTS.toReversed()) members.get(client)?.meeting.tellRow(rowFor(charter, client))
  members.get(HOST)?.meeting.tellRoll(CLIENTS)
  const agreed = await deciding
  t.deepEqual(new Set(agreed.map(groupsOf)), new Set(['a+b c']))
  for (const { partition, rows } of agreed) {
    t.deepEqual(partition, agreed[0]?.partition)
    t.deepEqual(rows.map(({ site }) => site), CLIENTS)
  }
})

test('one liar among five does not move the split, however large its numbers', t => {
  const charter = charterOf()
  const honest = CLIENTS.map(client => rowFor(charter, client))
  const want = partitionOfRows(charter, honest)
  for (const times of [-3, -1e6, -1e30]) {
    const lied = [...honest.slice(0, 4), rowFor(charter, 'client-5', times)]
    t.is(partitionOfRows(charter, lied).hash, want.hash, String(times))
    t.is(partitionOfRows(charter, lied.toReversed()).hash, want.hash)
  }
  const alone = partitionOfRows(charter, [rowFor(charter, 'client-5', -3)])
  t.not(alone.hash, want.hash, 'alone it would')
})

test('a client that is gone before it spoke is waited for until the deadline and no longer, and everybody still agrees', async t => {
  const charter = charterOf(400)
  const present = CLIENTS.slice(0, 4)
  const { members } = meet(t, charter, [...present, HOST])
  members.get(HOST)?.meeting.tellRoll(CLIENTS)
  for (const client of present) members.get(client)?.meeting.tellRow(rowFor(charter, client))
  const startedAt = performance.now()
  const agreed = await decideAll(members)
  t.true(performance.now() - startedAt >= 390)
  for (const { partition, rows } of agreed) {
    t.is(agreed[0]?.partition.hash, partition.hash)
    t.deepEqual(rows.map(({ site }) => site), present)
  }
  t.regex(members.get('client-1')?.waits.join('\n') ?? '', /waiting: the affinities of client-5, for 0\.4 s at most/)
})

test('who missed a row that changes the split fetches it by its hash from those who have it', async t => {
  const charter = charterOf(300)
  const { hub, members } = meet(t, charter, ['client-1', 'client-2', 'client-3', HOST])
  const clients = ['client-1', 'client-2', 'client-3']
  const weights: Readonly<Record<string, number>> = { 'client-1': -1, 'client-2': 4, 'client-3': -1 }
  hub.loses = (message, _from, to) => 'row' in message && message.row.site === 'client-2' && to === 'client-1'
  members.get(HOST)?.meeting.tellRoll(clients)
  for (const client of clients) members.get(client)?.meeting.tellRow(rowFor(charter, client, weights[client]))
  t.not(partitionOfRows(charter, [rowFor(charter, 'client-1', -1), rowFor(charter, 'client-3', -1)]).hash, partitionOfRows(charter, clients.map(client => rowFor(charter, client, weights[client]))).hash)
  const agreed = await decideAll(members)
  t.deepEqual(new Set(agreed.map(groupsOf)), new Set(['a+b c']))
  t.deepEqual(hub.fetched, ['client-1'])
  t.deepEqual(agreed[0]?.rows.map(({ site }) => site), clients)
})

test('a claim that does not follow from its rows is left out, however many repeat it', async t => {
  const charter = charterOf(300)
  const { hub, members } = meet(t, charter, ['client-1', HOST])
  for (const liar of ['x', 'y', 'z']) await hub.port(liar).publish({ claim: { charter: mergeId(charter), partition: 'f'.repeat(64), rows: [] } })
  const honest = members.get('client-1') as Member
  members.get(HOST)?.meeting.tellRoll(['client-1'])
  honest.meeting.tellRow(rowFor(charter, 'client-1'))
  const agreed = await decideAll(members)
  t.deepEqual(new Set(agreed.map(groupsOf)), new Set(['a+b c']))
  t.regex(honest.problems.join(), /ffffffffffff.*does not follow from their rows/)
})

test('of whom no host says that it took part, the row does not count', async t => {
  const charter = charterOf()
  const { members } = meet(t, charter, ['client-1', 'stranger', HOST])
  members.get('stranger')?.meeting.tellRow(rowFor(charter, 'stranger', -100))
  members.get('client-1')?.meeting.tellRow(rowFor(charter, 'client-1'))
  members.get(HOST)?.meeting.tellRoll(['client-1'])
  const [first] = await decideAll(members)
  t.deepEqual(first?.rows.map(({ site }) => site), ['client-1'])
})

test('who comes late hears what was claimed, and claims the same after it has looked at the rows', async t => {
  const charter = charterOf(200)
  const { hub, members } = meet(t, charter, ['client-1', HOST])
  members.get(HOST)?.meeting.tellRoll(['client-1'])
  members.get('client-1')?.meeting.tellRow(rowFor(charter, 'client-1'))
  await decideAll(members)
  const late = member(t, hub, 'late', charter, () => [])
  await late.meeting.claimed(signal())
  t.is(groupsOf(await late.meeting.decide(signal())), 'a+b c')
})

test('what was agreed on outlives a restart', async t => {
  const charter = charterOf()
  const { members } = meet(t, charter, ['client-1', HOST])
  members.get(HOST)?.meeting.tellRoll(['client-1'])
  members.get('client-1')?.meeting.tellRow(rowFor(charter, 'client-1', 1, ['a', 'c']))
  const [agreed] = await decideAll(members) as [Agreement]
  const store = new MemoryCheckpoints()
  t.is(await loadAgreed(store), undefined)
  await saveAgreed(store, agreed)
  const kept = await loadAgreed(store)
  if (kept === undefined) return t.fail()
  t.deepEqual(member(t, new Hub(), 'client-1', charter).meeting.resume(kept), agreed)
})

test('the wait for rows ends with its signal', async t => {
  const stop = new AbortController()
  const { meeting } = member(t, new Hub(), 'client-1', charterOf())
  const deciding = meeting.decide(stop.signal)
  stop.abort(new ProtocolError('asked to'))
  await t.throwsAsync(deciding, { message: 'asked to' })
})

test('a row names the tasks of its site alone, and is spread over those of the charter again', t => {
  const charter = charterOf()
  const row = rowFor(charter, 'client-1', 1, ['c', 'a'])
  t.deepEqual([row.tasks, [...row.sums]], [['a', 'c'], [0, -2, -1, 0]])
  const { sums, counts } = sumsOf(charter, row)
  t.deepEqual([[...sums], [...counts]], [[0, 0, -2, 0, 0, 0, -1, 0, 0], [2, 0, 2, 0, 0, 0, 2, 0, 2]])
})

test('most claims come first, then more rows, then the lower hash', t => {
  const claim = (partition: string, rows: number) => ({ charter: 'c', partition, rows: Array.from({ length: rows }, (_, i) => ({ site: `${i}`, hash: `${i}`, bytes: 1 })) })
  const order = (claims: Record<string, ReturnType<typeof claim>>): string[] => ranked(new Map(Object.entries(claims))).map(({ partition }) => partition)
  t.deepEqual(order({ p: claim('x', 9), q: claim('y', 1), r: claim('y', 1) }), ['y', 'x'])
  t.deepEqual(order({ p: claim('x', 1), q: claim('y', 2) }), ['y', 'x'])
  t.deepEqual(order({ p: claim('y', 1), q: claim('x', 1) }), ['x', 'y'])
})
