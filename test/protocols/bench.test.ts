import test from 'ava'
import { BENCH_REFUSALS, BUDGETS } from '../../protocols/limits.ts'
import { BenchService, benchTopic, encodeBenchCard } from '../../protocols/bench/index.ts'
import { BlobService, sha256 } from '../../protocols/blob/index.ts'
import { DecodeError, InvalidParametersError, ProtocolError } from '../../src/errors.ts'
import { BenchCard as WireCard } from '../../protocols/bench/messages.generated.ts'
import { meshSize, startNodes, until } from './nodes.ts'
import type { BenchCard, BenchInit, CardRefusal } from '../../protocols/bench/index.ts'
import type { ExecutionContext } from 'ava'
import type { ModelCard } from '../../src/bench/card.ts'
import type { TestNode } from './nodes.ts'

const CONSORTIUM = 'test'
const CHARTER = 'ab'.repeat(8)
const TOPIC = benchTopic(CONSORTIUM, CHARTER)
const MAX_BYTES = 4096

interface Member {
  readonly node: TestNode
  readonly bench: BenchService
  readonly blobs: BlobService
  readonly heard: BenchCard[]
  readonly refused: CardRefusal[]
}

async function members (t: ExecutionContext, count: number, init: Partial<BenchInit> = {}): Promise<Member[]> {
  const made: Member[] = []
  for (const [i, node] of (await startNodes(t, count)).entries()) {
    const blobs = new BlobService(node.components, { maxBytes: 2 ** 24 })
    await blobs.start()
    const bench = new BenchService(node.components, blobs, {
      consortium: CONSORTIUM, charter: CHARTER, tasks: ['a', 'b', 'c'], modelsPerPeer: 2, maxBytes: MAX_BYTES, name: `node-${i}`, addresses: () => node.node.getMultiaddrs().map(String), everyMs: 60_000, now: () => 0, ...init
    })
    t.teardown(() => { if (node.node.status === 'started') bench.stop() })
    bench.start()
    const heard: BenchCard[] = []
    const refused: CardRefusal[] = []
    bench.onCard(offer => { heard.push(offer) })
    bench.onRefused(refusal => { refused.push(refusal) })
    made.push({ node, bench, blobs, heard, refused })
  }
  if (count > 1) await until(() => made.every(({ node }, i) => meshSize(node, TOPIC) >= (i === 0 ? count - 1 : 1)))
  return made
}

function weightsOf (length: number, seed: number): Uint8Array { return new Uint8Array(Float32Array.from({ length }, (_, i) => Math.sin(seed + i)).buffer) }

function cardOf (peer: string, weights: Uint8Array, more: Partial<ModelCard> = {}): ModelCard {
  return { peer, modelId: 'small', version: 1, arch: 'cd'.repeat(8), parameters: weights.byteLength / 4, bytes: weights.byteLength, sha256: sha256(weights), tasks: [{ id: 'a', classes: 4, space: 'ef'.repeat(8) }], valAccuracy: 0.5, ...more }
}

/** Past the checks of the sender. */
async function shout ({ node }: Member, offer: Partial<BenchCard> & Pick<BenchCard, 'card'>): Promise<void> {
  await node.node.services.pubsub.publish(TOPIC, encodeBenchCard({ name: '', charter: CHARTER, addresses: [], ...offer }))
}

test.serial('a card reaches everybody, and its weights are fetched from whoever has them, the author gone or not', async t => {
  const [author, first, second] = await members(t, 3) as [Member, Member, Member]
  const weights = weightsOf(300, 1)
  const card = cardOf(author.node.id, weights)
  await author.bench.publish(card, weights)
  await until(() => [first, second].every(({ heard }) => heard.length === 1))
  t.deepEqual(second.heard.map(({ card, name, charter }) => ({ card, name, charter })), [{ card, name: 'node-0', charter: CHARTER }])
  t.deepEqual(second.bench.cards.map(({ card }) => card), [card])
  t.deepEqual(await first.bench.fetch(card, { signal: AbortSignal.timeout(5000) }), weights)
  // the two met through the author; that they can reach each other without it, they have from its cards of their own
  await first.bench.publish(cardOf(first.node.id, weightsOf(8, 2), { parameters: 8, bytes: 32 }), weightsOf(8, 2))
  await until(() => second.heard.length === 2 && second.node.node.getPeers().some(peer => peer.toString() === first.node.id))
  await author.node.node.stop()
  await until(() => second.bench.subscribers.includes(first.node.id))
  t.deepEqual(await second.bench.fetch(card, { signal: AbortSignal.timeout(5000) }), weights)
})

test.serial('who comes late hears of the models too', async t => {
  const [author, late] = await members(t, 2, { everyMs: 50 }) as [Member, Member]
  late.bench.stop()
  const weights = weightsOf(10, 1)
  await author.bench.publish(cardOf(author.node.id, weights), weights)
  t.deepEqual(late.heard, [])
  late.bench.start()
  await until(() => late.heard.length > 1)
  t.is(late.bench.cards.length, 1, 'repetitions are one model')
})

test.serial('a version replaces an older one, and never the other way round', async t => {
  const [author, peer] = await members(t, 2) as [Member, Member]
  const { id } = author.node
  const [one, two] = [weightsOf(10, 1), weightsOf(10, 2)]
  await author.bench.publish(cardOf(id, one), one)
  await author.bench.publish(cardOf(id, two, { version: 2 }), two)
  await t.throwsAsync(author.bench.publish(cardOf(id, one), one), { instanceOf: InvalidParametersError, message: /version 1 of small after version 2/ })
  await until(() => peer.heard.length === 2)
  await shout(author, { card: cardOf(id, one) })
  await shout(author, { card: cardOf(id, one, { version: 2 }) })
  await until(() => peer.refused.length === 2)
  t.deepEqual(peer.refused.map(({ reason }) => reason), ['version 1 of small, version 2 is known', 'two different models are version 2 of small'])
  t.deepEqual(peer.bench.cards.map(({ card }) => card.sha256), [sha256(two)])
})

test.serial('a card that nobody may send is not published, not passed on, and told of in one line', async t => {
  const [liar, peer] = await members(t, 2) as [Member, Member]
  const { id } = liar.node
  const weights = weightsOf(10, 1)
  const large = weightsOf(MAX_BYTES, 1)
  const wrong: Array<{ offer: Partial<BenchCard> & Pick<BenchCard, 'card'>, bytes?: Uint8Array, reason: RegExp }> = [
    { offer: { card: cardOf(peer.node.id, weights) }, reason: /is a model of .*, not of/ },
    { offer: { card: cardOf(id, weights), charter: 'other' }, reason: /is of charter other, not abab/ },
    { offer: { card: cardOf(id, large) }, bytes: large, reason: /has 16384 bytes, at most 4096/ },
    { offer: { card: cardOf(id, weights, { tasks: [{ id: 'x', classes: 2, space: 'x' }] }) }, reason: /not the charter's/ },
    { offer: { card: cardOf(id, weights, { tasks: [{ id: 'b', classes: 2, space: 'x' }, { id: 'a', classes: 2, space: 'x' }] }) }, reason: /in their order/ },
    { offer: { card: cardOf(id, weights), addresses: [`/ip4/127.0.0.1/tcp/1/p2p/${peer.node.id}`] }, reason: /address of somebody else/ }
  ]
  for (const { offer } of wrong) await shout(liar, offer)
  for (const { offer: { card, charter, addresses }, bytes = weights } of wrong) {
    if (charter === undefined && addresses === undefined) await t.throwsAsync(liar.bench.publish(card, bytes), { instanceOf: InvalidParametersError })
  }
  await liar.node.node.services.pubsub.publish(TOPIC, new Uint8Array(2000))
  await liar.node.node.services.pubsub.publish(TOPIC, WireCard.encode({ peer: id }))
  await until(() => peer.refused.length === wrong.length + 2)
  wrong.forEach(({ reason }, i) => { t.regex(peer.refused[i]?.reason ?? '', reason) })
  t.regex(peer.refused.at(-2)?.reason ?? '', /2000 bytes, at most 1024/)
  t.true(peer.refused.every(({ reason, peer }) => !reason.includes('\n') && peer === id))
  await t.throwsAsync(liar.bench.publish(cardOf(id, weights), weightsOf(10, 2)), { instanceOf: InvalidParametersError, message: /other weights/ })
  await liar.bench.publish(cardOf(id, weights), weights)
  await until(() => peer.heard.length > 0)
  t.is(peer.heard.length, 1, 'only the right one')
})

test.serial('a peer has as many models as the charter, and says no more than its budget', async t => {
  const [loud, peer, quiet] = await members(t, 3) as [Member, Member, Member]
  const weights = weightsOf(10, 1)
  for (const modelId of ['one', 'two', 'three']) await shout(loud, { card: cardOf(loud.node.id, weights, { modelId }) })
  await until(() => peer.refused.length === 1)
  t.regex(peer.refused[0]?.reason ?? '', /three would be more than 2 models of one peer/)
  for (const modelId of ['one', 'two']) await loud.bench.publish(cardOf(loud.node.id, weights, { modelId }), weights)
  await t.throwsAsync(loud.bench.publish(cardOf(loud.node.id, weights, { modelId: 'three' }), weights), { instanceOf: InvalidParametersError, message: /more than 2 models/ })
  for (let version = 2; version < BUDGETS.bench.requestsPerMinute + 40; version++) await shout(loud, { card: cardOf(loud.node.id, weights, { modelId: 'one', version }) })
  await quiet.bench.publish(cardOf(quiet.node.id, weights), weights)
  await until(() => peer.heard.some(({ card }) => card.peer === quiet.node.id))
  t.is(peer.heard.filter(({ card }) => card.peer === loud.node.id).length, BUDGETS.bench.requestsPerMinute - 1)
  t.is(peer.refused.filter(({ peer }) => peer === loud.node.id).length, BENCH_REFUSALS.requestsPerMinute, 'and its lines are few')
})

test.serial('weights of another size or hash than announced are not used', async t => {
  const [liar, peer] = await members(t, 2) as [Member, Member]
  const { id } = liar.node
  const [said, given] = [weightsOf(10, 1), weightsOf(11, 2)]
  liar.blobs.add(sha256(said), given)
  await t.throwsAsync(peer.bench.fetch(cardOf(id, said), { signal: AbortSignal.timeout(5000) }), { instanceOf: ProtocolError, code: 'ERR_BLOB' })
  const same = weightsOf(10, 3)
  liar.blobs.add('9'.repeat(64), same)
  await t.throwsAsync(peer.bench.fetch(cardOf(id, said, { sha256: '9'.repeat(64) }), { signal: AbortSignal.timeout(5000) }), { instanceOf: ProtocolError, code: 'ERR_BLOB' })
  await t.throwsAsync(peer.bench.fetch(cardOf(id, said, { bytes: MAX_BYTES + 4 })), { instanceOf: DecodeError })
  t.is(peer.blobs.store.bytes, 0)
})
