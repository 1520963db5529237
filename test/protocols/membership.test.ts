/** The member log on its way between real nodes, without what a member does with it. One after the other: a long log keeps the thread busy. */
import test from 'ava'
import fc from 'fast-check'
import { MEMBERSHIP_PROTOCOL, MembershipService, decodeBeat, decodeSyncRequest, decodeSyncResponse, encodeBeat, encodeSyncRequest, encodeSyncResponse, membersTopic } from '../../protocols/membership/index.ts'
import { BUDGETS, MAX_ENTRIES_PER_MESSAGE, MAX_GOSSIP_BYTES, MAX_HEADS, MAX_SYNC_BYTES, MAX_SYNC_REQUEST_BYTES } from '../../protocols/limits.ts'
import { request, respond } from '../../protocols/request.ts'
import { InvalidParametersError, ProtocolError, RefusedError } from '../../src/errors.ts'
import { MAX_ENTRY_BYTES, writeEntry } from '../../src/membership/index.ts'
import { DAY, NOW, act, copy, enter, found, signer } from '../membership/helpers.ts'
import { meshSize, pair, startNodes, until } from './nodes.ts'
import type { Beat, LogPort } from '../../protocols/membership/index.ts'
import type { ExecutionContext } from 'ava'
import type { MemberLog } from '../../src/membership/index.ts'
import type { TestNode } from './nodes.ts'

const ann = signer('ann')
const bea = signer('bea')
/** Beats come when a test calls for one. */
const NEVER_MS = 3_600_000

interface Member {
  readonly node: TestNode
  readonly log: MemberLog
  readonly service: MembershipService
  readonly heard: Array<{ beat: Beat, from: string }>
  readonly problems: string[]
}

function portOf (log: MemberLog): LogPort {
  return {
    get id () { return log.id },
    get heads () { return log.heads },
    has: hash => log.has(hash),
    after: heads => log.after(heads),
    add: async bytes => log.add(bytes)
  }
}

async function member (t: ExecutionContext, node: TestNode, log: MemberLog, now: () => number = () => NOW): Promise<Member> {
  const heard: Member['heard'] = []
  const problems: string[] = []
  const service = new MembershipService(node.components, {
    consortium: 'c',
    log: portOf(log),
    beat: () => ({ name: 'site', digest: log.state.digest, charter: log.state.charterHash, addresses: ['/ip4/192.0.2.1/tcp/4001'], round: 3 }),
    now,
    everyMs: () => NEVER_MS,
    onBeat: (beat, from) => { heard.push({ beat, from }) },
    onProblem: line => { problems.push(line) }
  })
  await service.start()
  t.teardown(async () => { await service.stop() })
  return { node, log, service, heard, problems }
}

async function two (t: ExecutionContext, a: MemberLog, b: MemberLog): Promise<[Member, Member]> {
  const [host, client] = await pair(t)
  const [x, y] = [await member(t, host, a), await member(t, client, b)]
  await until(() => [x, y].every(({ node }) => meshSize(node, membersTopic('c')) === 1))
  return [x, y]
}

async function invitations (log: MemberLog, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await act(log, ann, { kind: 'invite', key: signer('door').peer, role: 'member', from: NOW, until: NOW + DAY, uses: 1 }, NOW + log.size)
}

/** A log of two members and more than one page. */
const longLog = (async () => {
  const log = await found(ann)
  await enter(log, ann, bea)
  await invitations(log, MAX_ENTRIES_PER_MESSAGE + 60)
  return log
})()

test.before('signing takes its time, and connections have theirs', async () => { await longLog })

test.serial('a new entry reaches every other member by gossip, with what its author says of itself', async t => {
  const log = await found(ann)
  const nodes = await startNodes(t, 3)
  const members = await Promise.all(nodes.map(async node => await member(t, node, copy(log))))
  const [a, b, c] = members as [Member, Member, Member]
  await until(() => meshSize(a.node, membersTopic('c')) === 2)
  const entry = await act(b.log, ann, { kind: 'invite', key: signer('door').peer, role: 'member', from: NOW, until: NOW + DAY, uses: 1 })
  b.service.beat([entry])
  await until(() => [a, c].every(({ log }) => log.has(entry.hash)))
  const said = c.heard.find(({ from, beat }) => from === b.node.id && beat.entries.length > 0)?.beat
  t.like(said, { name: 'site', digest: b.log.state.digest, charter: b.log.state.charterHash, heads: [entry.hash], sentAt: NOW, round: 3, addresses: ['/ip4/192.0.2.1/tcp/4001'] })
  t.deepEqual([a, b, c].flatMap(({ problems }) => problems), [])
})

test.serial('who missed entries asks whoever names a head that it does not have', async t => {
  const log = await found(ann)
  const [a, b] = await two(t, copy(log), copy(log))
  await invitations(a.log, 3)
  a.service.beat() // names its heads, brings no entries
  await until(() => b.log.heads.join() === a.log.heads.join())
  t.is(b.log.state.digest, a.log.state.digest)
})

test.serial('a log of more than one page comes page by page, each entry once', async t => {
  const log = await longLog
  const genesis = await found(ann)
  t.is(genesis.id, log.id)
  const [host, client] = await pair(t)
  await member(t, host, copy(log))
  const newcomer = await member(t, client, genesis)
  t.is(await newcomer.service.pull(host.id), log.size - 1)
  t.deepEqual(newcomer.log.heads, log.heads)
  t.is(await newcomer.service.pull(host.id), 0)
})

test.serial('two long logs that went different ways meet: of heads that are unknown nothing can be said, and the pages go on all the same', async t => {
  const [here, there] = [copy(await longLog), copy(await longLog)]
  await act(here, ann, { kind: 'invite', key: signer('door').peer, role: 'member', from: NOW, until: NOW + DAY, uses: 2 })
  await act(there, bea, { kind: 'invite', key: signer('door').peer, role: 'member', from: NOW, until: NOW + DAY, uses: 3 })
  const [host, client] = await pair(t)
  const [a, b] = [await member(t, host, here), await member(t, client, there)]
  t.is(await b.service.pull(host.id), 1)
  t.is(await a.service.pull(client.id), 1)
  t.deepEqual(a.log.heads, b.log.heads)
  t.is(a.log.heads.length, 2)
})

test.serial('asked for what comes after heads that nobody knows, a member sends all, and past the end nothing', async t => {
  const log = await found(ann)
  await invitations(log, 2)
  const [host, client] = await pair(t)
  await member(t, host, log)
  const page = async (heads: readonly string[], skip = 0): Promise<unknown> => decodeSyncResponse(await request(client.components, host.id, MEMBERSHIP_PROTOCOL, encodeSyncRequest({ consortium: log.id, heads, skip }), { maxRequestBytes: MAX_SYNC_REQUEST_BYTES, maxResponseBytes: MAX_SYNC_BYTES }))
  const all = log.entries().map(({ bytes }) => bytes)
  t.deepEqual(await page(['f'.repeat(64)]), { entries: all, more: false, heads: log.heads })
  t.deepEqual(await page([]), { entries: all, more: false, heads: log.heads })
  t.deepEqual(await page([], 2), { entries: all.slice(2), more: false, heads: log.heads })
  t.deepEqual(await page(log.heads), { entries: [], more: false, heads: log.heads })
  t.deepEqual(await page([], 10_000), { entries: [], more: false, heads: log.heads })
})

test.serial('who is of another consortium gets its refusal and not an entry', async t => {
  const other = await found(bea)
  const [host, client] = await pair(t)
  await member(t, host, await found(ann))
  const stranger = await member(t, client, other)
  const err = await t.throwsAsync(stranger.service.pull(host.id), { instanceOf: RefusedError, message: /not of/ })
  t.like(err?.cause, { code: 'ERR_CONSORTIUM' })
  t.is(stranger.log.size, 1)
})

/** A peer that answers each sync with what `answer` says. */
async function liar (t: ExecutionContext, node: TestNode, answer: (asked: number) => Uint8Array): Promise<() => number> {
  let asked = 0
  t.teardown(await respond(node.components, MEMBERSHIP_PROTOCOL, {
    maxRequestBytes: MAX_SYNC_REQUEST_BYTES, maxResponseBytes: MAX_SYNC_BYTES, budget: BUDGETS.membership, busy: () => answer(asked), answer: async () => answer(asked++)
  }))
  return () => asked
}

test.serial('a peer that sends the same page for ever is given up with the second, and one that sends empty ones with the first', async t => {
  const log = await found(ann)
  const [host, client] = await pair(t)
  const victim = await member(t, client, copy(log))
  const page = encodeSyncResponse({ entries: log.entries().map(({ bytes }) => bytes), more: true, heads: log.heads })
  const empty = encodeSyncResponse({ entries: [], more: true, heads: [] })
  let answer = page
  const asked = await liar(t, host, () => answer)
  await t.throwsAsync(victim.service.pull(host.id), { instanceOf: ProtocolError, message: /sends the same entries again/ })
  t.is(asked(), 2)
  answer = empty
  await t.throwsAsync(victim.service.pull(host.id), { instanceOf: ProtocolError, message: /sends the same entries again/ })
  t.is(asked(), 3)
})

test.serial('a peer whose pages hang in the air is named with how much is missing, and what it sent is no part of the log', async t => {
  const log = await longLog
  const [host, client] = await pair(t)
  const victim = await member(t, client, await found(ann))
  const late = log.entries().slice(-3).map(({ bytes }) => bytes)
  await liar(t, host, () => encodeSyncResponse({ entries: late, more: true, heads: [] }))
  await t.throwsAsync(victim.service.pull(host.id), { instanceOf: ProtocolError, message: /1 of those they cite are missing/ })
  t.is(victim.log.size, 1)
})

test.serial('a forged entry changes nothing and is reported, once a minute', async t => {
  const log = await found(ann)
  let now = NOW
  const [host, client] = await pair(t)
  const a = await member(t, host, copy(log))
  const b = await member(t, client, copy(log), () => now)
  await until(() => [a, b].every(({ node }) => meshSize(node, membersTopic('c')) === 1))
  // written by bea, with ann's name put in place of hers
  const honest = await writeEntry(bea, { kind: 'invite', key: signer('door').peer, role: 'member', from: NOW, until: NOW + DAY, uses: 1 }, NOW, log.entries())
  const bytes = Uint8Array.from(Buffer.from(Buffer.from(honest.bytes).toString('latin1').replace(bea.peer, ann.peer), 'latin1'))
  const forged = { ...honest, bytes }
  const before = b.heard.length
  const send = async (): Promise<void> => {
    const problems = b.problems.length
    for (let i = 0; i < 5; i++) a.service.beat([forged])
    await act(a.log, ann, { kind: 'invite', key: signer('door').peer, role: 'member', from: NOW, until: NOW + DAY, uses: 1 }, NOW + a.log.size)
    a.service.beat() // a good one behind the bad ones
    await until(() => b.log.heads.join() === a.log.heads.join())
    t.is(b.problems.length, problems + 1)
  }
  await send()
  t.is(b.problems[0], `member log from ${host.id}: member log entry: not signed by ${ann.peer}`)
  now += 60_000
  await send()
  t.is(b.log.size, 3)
  t.false(b.log.entries().some(({ by }) => by === bea.peer))
  t.true(b.heard.slice(before).every(({ beat }) => beat.entries.length === 0), 'a beat with a forged entry says nothing')
})

test.serial('entries that do not fit into a beat are left out, and fetched', async t => {
  const log = await found(ann)
  const [a, b] = await two(t, copy(log), copy(log))
  await invitations(a.log, 300) // 300 bytes each: more than 64 KiB
  const entries = a.log.entries().slice(1)
  const total = entries.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
  t.true(total > 65_536)
  a.service.beat(entries)
  await until(() => b.log.heads.join() === a.log.heads.join())
  const pushed = b.heard.find(({ beat }) => beat.entries.length > 0)?.beat.entries ?? []
  t.true(pushed.length > 100 && pushed.length < entries.length, `${pushed.length} of ${entries.length}`)
  t.deepEqual(b.problems, [])
})

test.serial('a beat says no more than its limits, and neither does a decoder take more', t => {
  const beat: Beat = { name: 'n', digest: '0'.repeat(64), charter: '1'.repeat(64), heads: [], addresses: [], sentAt: 1, round: 0, entries: [] }
  const one = Uint8Array.of(1)
  t.is(decodeBeat(encodeBeat({ ...beat, addresses: new Array<string>(20).fill('/ip4/192.0.2.1/tcp/1') })).addresses.length, 8)
  for (const bad of [
    { heads: new Array<string>(MAX_HEADS + 1).fill('0'.repeat(64)) },
    { heads: ['0'.repeat(63)] },
    { entries: new Array<Uint8Array>(MAX_ENTRIES_PER_MESSAGE + 1).fill(one) },
    { entries: [new Uint8Array(0)] },
    { entries: [new Uint8Array(MAX_ENTRY_BYTES + 1)] },
    { sentAt: -1 },
    { digest: 'x' }
  ]) t.throws(() => encodeBeat({ ...beat, ...bad }), { instanceOf: InvalidParametersError }, Object.keys(bad).join())
  t.throws(() => decodeBeat(new Uint8Array(MAX_GOSSIP_BYTES + 1)), { instanceOf: ProtocolError })
  t.throws(() => encodeSyncRequest({ consortium: '0'.repeat(64), heads: [], skip: -1 }), { instanceOf: InvalidParametersError })
  t.throws(() => decodeSyncRequest(new Uint8Array(MAX_SYNC_REQUEST_BYTES + 1)), { instanceOf: ProtocolError })
})

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(bytes => Buffer.from(bytes).toString('hex'))
const heads = fc.array(hash, { maxLength: MAX_HEADS })
const entries = fc.array(fc.uint8Array({ minLength: 1, maxLength: 400 }), { maxLength: 20 })
const line = fc.string({ maxLength: 60 }).map(text => text.replace(/[\u0000-\u001f\u007f]/g, ' ')) // eslint-disable-line no-control-regex

test.serial('what is encoded is decoded to the same', t => {
  fc.assert(fc.property(fc.record({ name: line, digest: hash, charter: hash, heads, addresses: fc.array(line.map(text => `a${text}`), { maxLength: 8 }), sentAt: fc.maxSafeNat(), round: fc.nat(), entries }), beat => {
    t.deepEqual(decodeBeat(encodeBeat(beat)), beat)
  }), { numRuns: 200 })
  fc.assert(fc.property(fc.record({ consortium: hash, heads, skip: fc.nat(10_000) }), asked => { t.deepEqual(decodeSyncRequest(encodeSyncRequest(asked)), asked) }), { numRuns: 200 })
  fc.assert(fc.property(fc.oneof(fc.record({ entries, more: fc.boolean(), heads }), fc.record({ code: fc.constant('ERR_BUSY'), reason: line })), answer => { t.deepEqual(decodeSyncResponse(encodeSyncResponse(answer)), answer) }), { numRuns: 200 })
})
