/** Peers that trade models: six nodes over loopback TCP, two architectures, and nobody waits for anybody. */
import test from 'ava'
import { KIND, peerCharter, peerSites } from '../helpers/peer-sites.ts'
import { MemoryCheckpoints } from '../../node/store/memory.ts'
import { PeerTrainer } from '../../src/bench/peer-trainer.ts'
import { accuracies, refusals, settled, startTrader, startTraders, taken } from '../helpers/trading.ts'
import { backendOn } from '../helpers/rungs.ts'
import { benchTopic, encodeBenchCard } from '../../protocols/bench/index.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { createProtocols } from '../../protocols/index.ts'
import { flippedCommittees } from '../helpers/flipped.ts'
import { losable } from '../helpers/losable.ts'
import { startNodes, until } from '../protocols/nodes.ts'
import { weightsHash } from '../../src/bench/card.ts'
import type { Losable } from '../helpers/losable.ts'
import type { ModelCard } from '../../src/bench/card.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { Published } from '../../src/bench/peer-trainer.ts'
import type { TestNode } from '../protocols/nodes.ts'

const backend = await backendOn('wasm')
const TASKS = [KIND]
/** Twelve models learn in one thread, and a machine may be busy otherwise. */
const PATIENT_MS = 60_000

test.serial('half of the peers are late: nobody waits for them, and with their models the hold-out never gets worse', async t => {
  const dataset = peerSites({ seed: 5, alpha: 100, sites: 6, rows: [40, 40, 60] })
  const charter = peerCharter(TASKS, 5, { training: { rounds: 3 } })
  const late = new Map(dataset.clientIds.slice(3).map(id => [id, Promise.withResolvers<void>()]))
  const traders = await startTraders(t, { backend, charter, dataset, held: site => late.get(site)?.promise })
  const [early, behind] = [traders.slice(0, 3), traders.slice(3)]
  const reports = await Promise.all(early.map(async ({ report }) => await report))
  t.deepEqual(reports.map(({ client }) => client), ['site-1', 'site-2', 'site-3'])
  t.true(reports.every(({ tasks }) => Number.isFinite(tasks[0]?.scores.committee?.value)))
  t.true(behind.every(({ role }) => role.view.figures.step === 0), 'who is late has not taken a step')
  await until(() => traders.every(trader => taken(trader) === (early.includes(trader) ? 4 : 6)), PATIENT_MS)
  const before = new Map(behind.map(trader => [trader, accuracies(trader, 'kind').length]))
  for (const { resolve } of late.values()) resolve()
  await Promise.all(behind.map(async ({ report }) => await report))
  await settled(traders, 10)
  t.true(traders.every(trader => taken(trader) === 10), 'everybody has all ten models of the others in the end')
  for (const trader of traders) {
    const all = accuracies(trader, 'kind')
    // a late peer's own models change while they learn; what the others' models did is seen before
    const seen = all.slice(0, before.get(trader) ?? all.length)
    seen.slice(1).forEach((accuracy, i) => { t.true(accuracy >= (seen[i] as number), `${trader.name}: ${seen.join(' ')}`) })
    t.log(`${trader.name}: ${all.map(accuracy => accuracy.toFixed(3)).join(' ')}`)
  }
})

test.serial('a peer that flips every label gets into no honest committee', async t => {
  const committees = await flippedCommittees(t, backend, [1])
  t.is(committees.length, 5)
  t.deepEqual(committees.filter(({ flipped }) => flipped), [])
})

test.serial('a hostile card is refused with one line each, and nothing is lost by it', async t => {
  const dataset = peerSites({ seed: 6, alpha: 100, sites: 3, rows: [40, 40, 30] })
  const charter = peerCharter(TASKS, 6, { training: { rounds: 2 }, bench: { maxBytes: 2 ** 16 } })
  const [, , site] = dataset.clientIds as [string, string, string]
  const [one, two, stranger] = await startNodes(t, 3) as [TestNode, TestNode, TestNode]
  const init = { backend, charter, dataset }
  const [ada, ben] = await Promise.all([startTrader(t, one, 'site-1', init), startTrader(t, two, 'site-2', init)])
  await Promise.all([ada.report, ben.report])
  await settled([ada, ben], 2)
  const liar = createProtocols(stranger.components, { consortium: 'traders', model: charterHash(charter) })
  await liar.start()
  const bench = liar.bench({ tasks: ['kind'], modelsPerPeer: 2, maxBytes: 2 ** 30, name: '', addresses: () => stranger.node.getMultiaddrs().map(String), everyMs: 60_000 })
  bench.start()
  t.teardown(() => { bench.stop() })
  await until(() => bench.subscribers.length === 2, PATIENT_MS)
  const trainer = new PeerTrainer(backend, charter, await dataset.client(site), { peer: stranger.id })
  t.teardown(() => { trainer.dispose() })
  await trainer.step(20)
  const [{ card: draft, weights }] = await trainer.publish() as [Published]
  const bytesOf = (numbers: Float32Array): Uint8Array => new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)
  const right: ModelCard = { ...draft, sha256: weightsHash(weights) }
  const nan = weights.map((value, i) => i === 7 ? Number.NaN : value)
  const longer = new Float32Array(weights.length + 1)
  const large = new Float32Array(2 ** 15)
  const sized = (numbers: Float32Array): Partial<ModelCard> => ({ parameters: numbers.length, bytes: numbers.byteLength, sha256: weightsHash(numbers) })
  const hostile: Array<{ id: string, card: Partial<ModelCard>, gives: Uint8Array, line: RegExp }> = [
    { id: 'other weights than its hash says', card: { sha256: '9'.repeat(64) }, gives: bytesOf(weights), line: /not received: .*; try 1 of 3$/ },
    { id: 'fewer weights than it says', card: { sha256: '8'.repeat(64) }, gives: bytesOf(weights).subarray(4), line: /not received: .*; try 1 of 3$/ },
    { id: 'a model of another size', card: sized(longer), gives: bytesOf(longer), line: /weights, a model of this architecture has/ },
    { id: 'an architecture of its own', card: { arch: 'ab'.repeat(8) }, gives: bytesOf(weights), line: /none of the charter's/ },
    { id: 'labels that mean something else', card: { tasks: draft.tasks.map(task => ({ ...task, space: 'cd'.repeat(8) })) }, gives: bytesOf(weights), line: /labels of task kind are not those of the charter/ },
    { id: 'weights that are not finite', card: { sha256: weightsHash(nan) }, gives: bytesOf(nan), line: /its weights are not finite/ },
    { id: 'more than the charter allows', card: sized(large), gives: bytesOf(large), line: /131072 bytes, at most 65536/ }
  ]
  const before = { live: backend.liveTensors(), accuracy: ada.role.committee?.explanation.tasks[0]?.accuracy, kept: taken(ada) }
  const shout = async (card: ModelCard): Promise<void> => { await stranger.node.services.pubsub.publish(benchTopic('traders', charterHash(charter)), encodeBenchCard({ card, name: '', charter: charterHash(charter), addresses: [] })) }
  let version = 1
  for (const { id, card, gives, line } of hostile) {
    const lie: ModelCard = { ...right, ...card, version: version++ }
    liar.blobs.add(lie.sha256, gives)
    const lines = refusals(ada).length
    await shout(lie)
    await until(() => refusals(ada).length > lines, PATIENT_MS)
    t.is(refusals(ada).length, lines + 1, `${id}: one line`)
    t.regex(refusals(ada).at(-1)?.reason ?? '', line, id)
    t.false(refusals(ada).at(-1)?.reason.includes('\n'), id)
  }
  t.deepEqual({ live: backend.liveTensors(), accuracy: ada.role.committee?.explanation.tasks[0]?.accuracy, kept: taken(ada) }, before)
  liar.blobs.add(right.sha256, bytesOf(weights))
  await shout({ ...right, version })
  await until(() => taken(ada) === before.kept + 1, PATIENT_MS)
  await shout({ ...right, version: 1 })
  await until(() => refusals(ada).length === hostile.length + 1, PATIENT_MS)
  t.regex(refusals(ada).at(-1)?.reason ?? '', /^version 1 of model-1, version 8 is known$/)
  t.is(taken(ada), before.kept + 1)
})

test.serial('a peer that is started again goes on where it was, keeps what it had taken, and offers the next version', async t => {
  const dataset = peerSites({ seed: 8, alpha: 100, sites: 2, rows: [30, 30, 30] })
  const charter = peerCharter(TASKS, 8, { training: { rounds: 2 } })
  const [one, two] = await startNodes(t, 2) as [TestNode, TestNode]
  const store = new MemoryCheckpoints()
  const ben = await startTrader(t, two, 'site-2', { backend, charter, dataset })
  const ada = await startTrader(t, one, 'site-1', { backend, charter, dataset, store })
  await Promise.all([ada.report, ben.report])
  await settled([ada, ben], 2)
  await ada.stop()
  const again = await startTrader(t, one, 'site-1', { backend, charter, dataset, store }, ada.protocols)
  await again.report
  t.deepEqual(again.role.view.figures, { ...ada.role.view.figures, cards: { ...again.role.view.figures.cards, kept: 2 }, members: again.role.view.figures.members })
  t.true(again.events.every(({ type }) => type !== 'step'), 'nothing was left to learn')
  t.deepEqual(again.events.filter(({ type }) => type === 'model:considered' || type === 'card:refused'), [], 'nothing was fetched again')
  t.deepEqual(again.events.flatMap(event => event.type === 'card:published' ? [event.version] : []), [2, 2])
  await until(() => ben.events.filter(event => event.type === 'model:considered' && event.version === 2 && event.kept).length === 2, PATIENT_MS)
  t.is(taken(ben), 2, 'they replaced the first version')
})

test.serial('a compute worker that is lost is replaced, and the peer goes on from its newest checkpoint', async t => {
  const dataset = peerSites({ seed: 9, alpha: 100, sites: 2, rows: [30, 30, 30] })
  const charter = peerCharter(TASKS, 9, { training: { rounds: 3 } })
  const [node] = await startNodes(t, 1) as [TestNode]
  const workers: Array<Losable<PeerTrainer>> = []
  const events: NodeEvent[] = []
  const trader = await startTrader(t, node, 'site-1', {
    backend,
    charter,
    dataset,
    store: new MemoryCheckpoints(),
    spawn: trainer => {
      t.teardown(() => { trainer.dispose() })
      const worker = losable(trainer, 'wasm')
      workers.push(worker)
      return worker.compute
    },
    onEvent: event => {
      events.push(event)
      if (event.type === 'checkpoint' && workers.length === 1) workers[0]?.lose()
    }
  })
  const { client } = await trader.report
  t.is(client, 'site-1')
  t.is(workers.length, 2)
  t.is(events.filter(event => event.type === 'error' && event.code === 'ERR_COMPUTE_LOST').length, 1)
  t.is(trader.role.view.figures.step, 60)
})
