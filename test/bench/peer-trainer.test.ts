import test from 'ava'
import { charterBy } from '../helpers/charters.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { KIND, REACH, peerCharter, peerSites } from '../helpers/peer-sites.ts'
import { PeerTrainer } from '../../src/bench/peer-trainer.ts'
import { backendOn } from '../helpers/rungs.ts'
import { clientData, MASK, PICTURES, SIDE } from '../helpers/synthetic.ts'
import { withTasks } from '../../src/data/dataset.ts'
import { weightsHash } from '../../src/bench/card.ts'
import type { ClientData } from '../../src/data/dataset.ts'
import type { ExecutionContext } from 'ava'
import type { ModelCard } from '../../src/bench/card.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'

const backend = await backendOn('wasm')
const TASKS = [KIND, REACH]
const dataset = peerSites({ seed: 3, alpha: 100, tasks: TASKS, sites: 3, rows: [40, 30, 40] })
const charter = peerCharter(TASKS, 3, { training: { rounds: 2 }, bench: { rounds: 2 } })
const [one, two] = await Promise.all(dataset.clientIds.map(async id => await dataset.client(id))) as [ClientData, ClientData]

function trainerOf (t: ExecutionContext, peer: string, data: ClientData, of = charter): PeerTrainer {
  const trainer = new PeerTrainer(backend, of, data, { peer })
  t.teardown(() => { trainer.dispose() })
  return trainer
}

interface Model { card: ModelCard, weights: Float32Array }

async function publish (trainer: PeerTrainer): Promise<Model[]> {
  return (await trainer.publish()).map(({ card, weights }) => ({ card: { ...card, sha256: weightsHash(weights) }, weights }))
}

test.serial('a site trains, publishes, considers what others published, chooses and reports; no tensor is left behind', async t => {
  const before = backend.liveTensors()
  const [ada, ben] = [new PeerTrainer(backend, charter, one, { peer: 'ada' }), new PeerTrainer(backend, charter, two, { peer: 'ben' })]
  const { steps, publishAt, models } = ada.describe()
  t.deepEqual([steps, publishAt, models.length], [40, [20, 40], 2])
  t.deepEqual((await ada.step(15)).map(({ task }) => task), ['kind', 'reach', 'kind', 'reach'])
  await ada.step(100)
  t.deepEqual(ada.progress(), { step: 40, version: 0 }, 'a training does not go on beyond its end')
  await ben.step(40)
  const sent = await publish(ada)
  t.deepEqual(sent.map(({ card }) => [card.peer, card.modelId, card.version, card.tasks.map(({ id }) => id)]), [['ada', 'model-1', 1, ['kind', 'reach']], ['ada', 'model-2', 1, ['kind', 'reach']]])
  for (const [i, { card, weights }] of sent.entries()) {
    t.like(card, { arch: models[i]?.arch, parameters: weights.length, bytes: 4 * weights.length })
    t.true(ben.wanted(card).wanted)
    const { accuracy, kept } = await ben.consider(card, weights)
    t.true(kept && accuracy > 0 && accuracy <= 1)
    t.false(ben.wanted(card).wanted, 'it has it now')
  }
  const live = backend.liveTensors()
  for (const { card, weights } of sent) t.true((await ben.consider({ ...card, version: 2 }, weights)).kept)
  t.is(backend.liveTensors(), live, 'models of peers take turns in those that are kept to ask them')
  const explanation = await ben.select()
  t.like(explanation, { peer: 'ben', models: 4, own: 2 })
  t.deepEqual(explanation.tasks.map(({ task, models, samples }) => [task, models, samples]), [['kind', 4, 30], ['reach', 4, 30]])
  t.deepEqual(ben.explain(), explanation)
  const { served, tasks } = await ben.report()
  t.true(['ensemble', 'committee', 'ownEnsemble', 'simple+federated', 'simple'].includes(served))
  for (const { id, scores } of tasks) {
    t.deepEqual(Object.keys(scores).sort(), ['bestLocal', 'bestSingle', 'committee', 'ensemble', 'federated', 'local', 'ownEnsemble', 'served', 'simple', 'simple+federated', 'wholeBench'])
    t.deepEqual([scores.served, scores.federated], [scores[served], scores.committee], id)
    t.true(Number.isFinite(scores.committee?.value))
  }
  ada.dispose()
  ben.dispose()
  t.is(backend.liveTensors(), before)
})

test.serial('a peer\'s model answers as it does at home', async t => {
  const [ada, ben] = [trainerOf(t, 'ada', one), trainerOf(t, 'ben', { ...one, id: 'elsewhere' })]
  await ada.step(20)
  const sent = await publish(ada)
  for (const { card, weights } of sent) {
    const { accuracy } = await ben.consider(card, weights)
    t.is(Number(accuracy.toFixed(3)), card.valAccuracy as number, 'the same rows, the same accuracy')
  }
})

test.serial('what is served stays until a new choice is made, whatever arrives', async t => {
  const [ada, ben] = [trainerOf(t, 'ada', one), trainerOf(t, 'ben', two)]
  await ada.step(40)
  t.throws(() => ben.explain(), { message: 'no committee was chosen yet' })
  const early = await ben.select()
  t.true(early.tasks.every(({ members }) => members.every(({ own }) => own)))
  const report = await ben.report()
  for (const { card, weights } of await publish(ada)) await ben.consider(card, weights)
  t.deepEqual(ben.explain().tasks, early.tasks)
  t.deepEqual((await ben.report()).tasks.map(({ scores }) => scores.committee), report.tasks.map(({ scores }) => scores.committee))
  const late = await ben.select()
  t.true(late.tasks.some(({ members }) => members.some(({ peer }) => peer === 'ada')), 'an untrained site takes a trained one\'s')
  const served = await ben.report()
  for (const { card, weights } of await publish(ada)) t.true((await ben.consider(card, weights.fill(0))).kept, 'version 2, which knows nothing')
  t.deepEqual(ben.explain(), late)
  t.deepEqual((await ben.report()).tasks.map(({ scores }) => scores.committee), served.tasks.map(({ scores }) => scores.committee), 'the old answers serve until a choice is made')
  t.true((await ben.select()).tasks.every(({ members }) => members.every(({ peer, version }) => peer === 'ben' || version === 2)))
})

test.serial('a model that diverges is told in one line, not published', async t => {
  const ada = trainerOf(t, 'ada', one, peerCharter(TASKS, 3, { training: { lrLocal: 1e30 } }))
  await ada.step(5)
  const error = await t.throwsAsync(ada.publish(), { instanceOf: InvalidParametersError })
  t.regex(error?.message ?? '', /^model-1 has diverged in 5 steps: its answers are not finite$/)
})

test.serial('peers start from different values; one of the same name goes the same way', async t => {
  const [ada, again, ben] = [trainerOf(t, 'ada', one), trainerOf(t, 'ada', one), trainerOf(t, 'ben', one)]
  for (const trainer of [ada, again, ben]) await trainer.step(3)
  t.is(ada.fingerprint(), again.fingerprint())
  t.not(ada.fingerprint(), ben.fingerprint())
})

test.serial('hostile models are refused in one line and change nothing', async t => {
  const [ada, ben] = [trainerOf(t, 'ada', one), trainerOf(t, 'ben', two)]
  const [{ card, weights }] = await publish(ada) as [Model]
  const seats = async (): Promise<unknown> => (await ben.select()).tasks.map(({ members, accuracy, models }) => ({ members, accuracy, models }))
  const before = await seats()
  const refused = async (changes: Partial<ModelCard>, of: Float32Array): Promise<string> => {
    const { kept, accuracy, reason } = await ben.consider({ ...card, ...changes }, of)
    t.false(kept)
    t.true(Number.isNaN(accuracy))
    t.false(reason.includes('\n'))
    return reason
  }
  t.regex(await refused({}, weights.subarray(1)), /weights came, the card says/)
  t.regex(await refused({}, weights.with(5, Number.NaN)), /^its weights are not finite$/)
  t.regex(await refused({}, weights.map(() => 3e38)), /^it gives answers that are not finite$/)
  t.regex(await refused({ arch: 'ffffffffffffffff' }, weights), /is none of the charter's$/)
  t.regex(await refused({ parameters: 2 ** 40 }, weights), /weights, a model of this architecture has/)
  t.deepEqual(await seats(), before)
  t.true((await ben.consider(card, weights)).kept, 'the honest one is still welcome')
})

test.serial('a restart goes on where it was: models, versions and the bench', async t => {
  const [ada, ben, again] = [trainerOf(t, 'ada', one), trainerOf(t, 'ben', two), trainerOf(t, 'ben', two)]
  await ada.step(40)
  const models = await publish(ada)
  await ben.step(20)
  await publish(ben)
  for (const { card, weights } of models) await ben.consider(card, weights)
  again.load(ben.save())
  t.deepEqual(again.progress(), { step: 20, version: 1 })
  t.false(again.wanted((models[0] as Model).card).wanted)
  t.deepEqual(await again.select(), await ben.select())
  for (const trainer of [ben, again]) await trainer.step(20)
  t.is(again.fingerprint(), ben.fingerprint())
  t.deepEqual((await publish(again)).map(({ card }) => card), (await publish(ben)).map(({ card }) => card))
  const other = trainerOf(t, 'ben', { ...two, holdout: { ...two.holdout, count: 20 } })
  t.throws(() => { other.load(ben.save()) }, { instanceOf: InvalidParametersError, message: /^checkpoint: the bench has answers to other holdout rows of kind$/ })
  const cut: NamedTensor[] = ben.save().filter(({ name }) => name !== 'model-1/trunk')
  t.throws(() => { again.load(cut) }, { instanceOf: InvalidParametersError })
  t.is(again.fingerprint(), ben.fingerprint(), 'all of it or nothing')
})

test.serial('a site without a hold-out serves its own models', async t => {
  const bare = { ...two, holdout: { ...two.holdout, count: 0, x: new Float32Array(0), y: { kind: new Float32Array(0), reach: new Float32Array(0) }, source: new Int32Array(0) } }
  const [ada, ben] = [trainerOf(t, 'ada', one), trainerOf(t, 'ben', bare)]
  for (const { card, weights } of await publish(ada)) t.true((await ben.consider(card, weights)).kept)
  const { tasks } = await ben.select()
  for (const { by, members } of tasks) {
    t.is(by, 'local')
    t.true(members.every(({ own }) => own))
  }
  t.true(Number.isFinite((await ben.report()).tasks[0]?.scores.committee?.value))
})

test.serial('sites with some of the tasks take each other\'s models for those they share', async t => {
  const [ada, ben] = [trainerOf(t, 'ada', one), trainerOf(t, 'ben', withTasks(two, ['kind']))]
  for (const { card, weights } of await publish(ada)) t.true((await ben.consider(card, weights)).kept)
  for (const { card, weights } of await publish(ben)) t.true((await ada.consider(card, weights)).kept)
  t.deepEqual((await ada.select()).tasks.map(({ task, models }) => [task, models]), [['kind', 4], ['reach', 2]])
  t.deepEqual((await ben.select()).tasks.map(({ task, models }) => [task, models]), [['kind', 4]])
})

test.serial('pixels are compared in the order of the picture, whatever patches a model reads', async t => {
  const tasks = [MASK, SIDE]
  const pictures = charterBy('fedpae', { name: 'pictures', input: PICTURES, tasks, recipe: {} }, {
    seed: 1,
    model: { width: 8, layers: 1, heads: 2, hidden: 8, embedder: { kind: 'patches', patch: 4 } },
    training: { rounds: 4, stepsPerRound: 20, batch: 12, lrLocal: 1e-2, warmup: 5, weightDecay: 0 },
    bench: { architectures: [{}, { embedder: { patch: 2, stride: 2 } }] }
  })
  const ada = trainerOf(t, 'ada', clientData({ id: 'ada', tasks }, { rows: [48, 12, 24] }), pictures)
  await ada.step(80)
  const { tasks: explained } = await ada.select()
  const mask = explained.find(({ task }) => task === 'mask')
  t.true((mask?.accuracy as number) > 0.9, `${mask?.accuracy}`)
  const report = (await ada.report()).tasks.find(({ id }) => id === 'mask')
  t.true((report?.scores.ownEnsemble?.value as number) > 0.9, 'two orders of pixels averaged would be noise')
})
