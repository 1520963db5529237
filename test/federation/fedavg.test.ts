/** Whole models at the clients: what is sent, what is averaged, and that everybody goes on from the same values. */
import test from 'ava'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { InvalidParametersError, ProtocolError } from '../../src/errors.ts'
import { LocalTrainer } from '../../src/training/local-trainer.ts'
import { attach, makeClient, makeHost, smallCharter, until } from '../helpers/federation.ts'
import { backendOn } from '../helpers/rungs.ts'
import { byName, close } from '../helpers/tensors.ts'
import { charterHash, readCharter } from '../../src/federation/charter.ts'
import { channelPair } from '../../src/backbone/memory-channel.ts'
import { runInHalves } from '../helpers/halves.ts'
import { findStrategy, settingsOf } from '../../src/strategies/index.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { LEVEL, SIDE, clientData, syntheticDataset } from '../helpers/synthetic.ts'
import type { Charter, CharterOptions } from '../../src/federation/charter.ts'
import type { ClientTrainer } from '../../src/training/client-trainer.ts'
import type { Frame, RoundReport } from '../../src/backbone/frames.ts'
import type { SimulationInit, SimulationResult } from '../../src/federation/simulator.ts'

const backend = await backendOn('wasm')
/** The same tasks, different numbers of rows. */
const SITES = [{ id: 'ada', rows: [12, 6, 6] }, { id: 'ben', rows: [24, 6, 6] }, { id: 'cyd', rows: [18, 6, 6] }] as const
const TASKS = [LEVEL, SIDE]
const strategy = findStrategy('fedavg')

function charterOf (changes: Partial<CharterOptions> = {}): Charter {
  return smallCharter(TASKS, {
    ...changes,
    ...settingsOf(strategy, {}, { ...changes, training: { rounds: 4, stepsPerRound: 1, localSteps: 3, batch: 6, warmup: 2, ...changes.training } })
  })
}

function site (id: string) {
  return clientData({ id, tasks: TASKS }, { rows: SITES.find(site => site.id === id)?.rows ?? [12, 6, 6] })
}

const dataset = { ...syntheticDataset({ clients: SITES.map(({ id }) => ({ id, tasks: TASKS })) }), client: async (id: string) => site(id) }

async function run (changes: Partial<CharterOptions> = {}, init: Partial<SimulationInit> = {}): Promise<SimulationResult> {
  return await simulate({ charter: charterOf(changes), dataset, backend, hosts: ['host'], clients: dataset.clientIds, control: false, ...init })
}

function timeless ({ seconds, ...rest }: RoundReport): Omit<RoundReport, 'seconds'> { return rest }

/** Shared units of a client, or of a host, by name. */
function sharedOf (charter: Charter, trainer: ClientTrainer | HostTrainer): Record<string, Float32Array> {
  const all = byName(trainer.save())
  return Object.fromEntries(charter.shared.map(name => [name, all[name] as Float32Array]))
}

test('a charter without these settings is what it was; with them, it is one that can be read back', t => {
  const before = smallCharter(TASKS)
  t.false('trunk' in before.model || 'localSteps' in before.training || 'optimiser' in before.training)
  t.is(charterHash(smallCharter(TASKS, { model: { trunk: 'host' }, training: { localSteps: 1, optimiser: 'adamw' } })), charterHash(before))
  const charter = charterOf({ training: { optimiser: 'sgd' } })
  t.deepEqual(charter.shared, ['trunk', 'embed/image', 'head/level', 'head/side'])
  t.deepEqual(readCharter(structuredClone(charter)), charter)
  t.not(charterHash(charterOf({ training: { localSteps: 4 } })), charterHash(charterOf()))
})

for (const { id, changes } of [
  { id: 'local steps of a split model', changes: { training: { localSteps: 2 } } },
  { id: 'no local step', changes: { model: { trunk: 'client' }, training: { localSteps: 0 } } },
  { id: 'a third place for the trunk', changes: { model: { trunk: 'cloud' } } },
  { id: 'an unknown optimiser', changes: { training: { optimiser: 'lion' } } }
]) {
  test(`is refused: ${id}`, t => { t.throws(() => smallCharter(TASKS, changes), { instanceOf: InvalidParametersError }) })
}

test.serial('sites train to the end, report every task, and leave nothing behind', async t => {
  const before = backend.liveTensors()
  const { clients, rounds, fingerprints } = await run()
  t.deepEqual(rounds.map(({ round, steps, contributors, missing, pairs }) => [round, steps, contributors.join(), missing.length, pairs]), [0, 1, 2, 3].map(round => [round, 1, 'ada,ben,cyd', 0, 3]))
  for (const { tasks } of clients) for (const { scores } of tasks) t.deepEqual(Object.keys(scores).sort(), ['bestLocal', 'ensemble', 'federated', 'local', 'served', 'simple', 'simple+federated', 'simpleRefit'])
  t.is(Object.keys(fingerprints).length, 4)
  t.is(backend.liveTensors(), before)
})

test.serial('two runs give the same weights and reports, in whatever order the clients come', async t => {
  const [first, second] = [await run(), await run()]
  t.deepEqual(second.fingerprints, first.fingerprints)
  t.deepEqual(second.clients, first.clients)
  t.deepEqual(second.rounds.map(timeless), first.rounds.map(timeless))
  const turned = await run({}, { dataset: { ...dataset, clientIds: ['cyd', 'ada', 'ben'] }, clients: ['cyd', 'ada', 'ben'] })
  t.deepEqual(turned.fingerprints, first.fingerprints)
})

test.serial('one client alone is plain training: the same weights as the local model of the same start and rows', async t => {
  const charter = charterOf()
  const home = makeHost(backend, charter)
  const ada = makeClient(backend, charter, site('ada'))
  const { ran } = attach(home, ada, charter)
  home.host.start()
  await ran
  const local = new LocalTrainer(backend, site('ada'), charter.model, charter.training, charter.seed)
  for (let step = 0; step < 12; step++) await local.step(step)
  const got = sharedOf(charter, ada.trainer)
  for (const unit of local.units) close(t, unit.name, got[unit.name] as Float32Array, unit.parameters, 1e-5)
  await home.host.stop()
  local.dispose()
})

for (const codec of ['f32', 'int8'] as const) {
  test.serial(`${codec}: after every step all clients hold the host's bits; per step one set of changes goes each way`, async t => {
    const charter = charterOf({ cutCodec: codec })
    const bytes = { up: 0, down: 0 }
    const home = makeHost(backend, charter)
    const clients = SITES.map(({ id }) => makeClient(backend, charter, site(id)))
    const start = sharedOf(charter, home.trainer)
    const attached = clients.map(client => attach(home, client, charter))
    home.host.start()
    await Promise.all(attached.map(({ ran }) => ran))
    const want = sharedOf(charter, home.trainer)
    for (const { name, trainer } of clients) t.deepEqual(sharedOf(charter, trainer), want, name)
    for (const unit of charter.shared) t.notDeepEqual(want[unit], start[unit], unit)
    for (const { channels } of attached) {
      bytes.up += channels.client.bytes.sent
      bytes.down += channels.client.bytes.received
    }
    await home.host.stop()
    // Helpers' channels are f32 whatever the charter says; what the host rounds it says in its frames.
    const numbers = Object.values(want).reduce((sum, unit) => sum + unit.length, 0)
    t.is(bytes.up, 3 * 4 * 4 * numbers, 'start values do not travel')
    if (codec === 'f32') t.is(bytes.down, bytes.up)
    else t.true(bytes.down < 0.3 * bytes.up, `${bytes.down} of ${bytes.up}`)
  })
}

test.serial('int8 ends near f32', async t => {
  const losses = ({ clients }: SimulationResult): number[] => clients.flatMap(({ tasks }) => tasks.map(({ scores }) => scores.federated?.all.loss as number))
  const [exact, rounded] = [losses(await run()), losses(await run({ cutCodec: 'int8' }))]
  t.notDeepEqual(rounded, exact)
  close(t, 'losses', rounded, exact, 0.02)
})

test.serial('private heads stay: no frame carries one, and every site ends with its own', async t => {
  const frames: Frame[] = []
  const charter = charterOf({ model: { sharedHeads: [] } })
  t.deepEqual(charter.shared, ['trunk', 'embed/image'])
  const home = makeHost(backend, charter)
  const clients = SITES.map(({ id }) => makeClient(backend, charter, site(id)))
  const attached = clients.map(client => attach(home, client, charter, frame => { frames.push(frame) }))
  home.host.start()
  await Promise.all(attached.map(({ ran }) => ran))
  await home.host.stop()
  t.deepEqual([...new Set(frames.map(({ kind }) => kind))].sort(), ['leave', 'share'])
  t.deepEqual([...new Set(frames.flatMap(({ tensors }) => tensors.map(({ name }) => name)))].sort(), ['embed/image', 'trunk'])
  const heads = clients.map(({ trainer }) => byName(trainer.save())['head/side'] as Float32Array)
  t.notDeepEqual(heads[0], heads[1])
})

test.serial('a client that leaves is named, and the others go on with their own weights', async t => {
  const charter = charterOf({ clock: { quorum: 3 } })
  const home = makeHost(backend, charter)
  const reports: RoundReport[] = []
  home.host.addEventListener('round:closed', ({ detail }) => { reports.push(detail) })
  const clients = SITES.map(({ id }) => makeClient(backend, charter, site(id)))
  const attached = clients.map(client => attach(home, client, charter))
  home.host.addEventListener('step:done', ({ detail }) => { if (detail.step === 1) void attached[1]?.channels.client.close() })
  home.host.start()
  await t.throwsAsync(attached[1]?.ran as Promise<void>, { instanceOf: ProtocolError })
  await Promise.all([attached[0]?.ran, attached[2]?.ran])
  t.deepEqual(reports.map(({ contributors }) => contributors.join()), ['ada,ben,cyd', 'ada,ben,cyd', 'ada,cyd', 'ada,cyd'])
  t.true(reports.some(({ missing }) => /^ben: left at step [12]/.test(missing.join())))
  for (const i of [0, 2]) t.deepEqual(sharedOf(charter, (clients[i] as typeof clients[number]).trainer), sharedOf(charter, home.trainer))
  await home.host.stop()
})

test.serial('who misses a step, and who comes later, gets the values exactly, even where changes are rounded', async t => {
  const charter = charterOf({ cutCodec: 'int8', clock: { quorum: 1, stepDeadlineMs: 40 }, training: { rounds: 6 } })
  const home = makeHost(backend, charter)
  const [ada, ben, cyd] = SITES.map(({ id }) => makeClient(backend, charter, site(id))) as [ReturnType<typeof makeClient>, ReturnType<typeof makeClient>, ReturnType<typeof makeClient>]
  // ben holds his contribution to step 1 back until that step is over.
  const slow = until<{ step: number }>(home.host, 'step:done', ({ step }) => step === 1)
  let skipped = 0
  ben.client.addEventListener('step:skipped', () => { skipped++ })
  const joins = until<{ step: number }>(home.host, 'step:done', ({ step }) => step === 0)
  const first = attach(home, ada, charter)
  const contribute = ben.trainer.contribute.bind(ben.trainer)
  ben.trainer.contribute = async step => {
    if (step === 1) await slow
    return await contribute(step)
  }
  const second = attach(home, ben, charter)
  home.host.start()
  await joins
  const third = attach(home, cyd, charter)
  await Promise.all([first.ran, second.ran, third.ran])
  t.true(skipped >= 1)
  for (const { name, trainer } of [ada, ben, cyd]) t.deepEqual(sharedOf(charter, trainer), sharedOf(charter, home.trainer), name)
  await home.host.stop()
})

test.serial('saved and loaded between two rounds, a run ends as if nothing had happened', async t => {
  const charter = charterOf({ clock: { quorum: 3 } })
  t.deepEqual(await runInHalves(backend, charter, SITES.map(({ id }) => site(id)), 2), (await run()).fingerprints)
})

test.serial('hosts that average all end with one model; hosts that choose ask their clients, who answer alone', async t => {
  const all = await run({}, { hosts: ['h1', 'h2'] })
  t.is(all.fingerprints.h1, all.fingerprints.h2)
  for (const { merged } of all.rounds) t.deepEqual(merged, ['h1', 'h2'])
  const chosen = await run({ merge: { mode: 'select' } }, { hosts: ['h1', 'h2'], onFrame: (_, { kind }) => { t.true(['share', 'eval-result', 'leave'].includes(kind), kind) } })
  t.is(chosen.rounds.length, 8)
  for (const { missing, mergeReason } of chosen.rounds) t.regex(`${missing.join()}${mergeReason}`, /^hold-out loss/)
})

test.serial('two hosts that average are one host, where both have the same rows', async t => {
  const even = { ...dataset, clientIds: ['ada', 'bob'], client: async (id: string) => clientData({ id, tasks: TASKS }) }
  const last = async (hosts: readonly string[]): Promise<SimulationResult> => await run({}, { dataset: even, clients: even.clientIds, hosts })
  const losses = ({ clients }: SimulationResult): number[] => clients.flatMap(({ tasks }) => tasks.map(({ scores }) => scores.federated?.all.loss as number))
  close(t, 'losses', losses(await last(['h1', 'h2'])), losses(await last(['host'])), 1e-4)
})

test.serial('without a baseline the report has the federated model alone', async t => {
  const { clients } = await run({}, { baseline: false, control: true })
  for (const { served, bestLocal, simple, tasks } of clients) {
    t.deepEqual([served, bestLocal, simple], ['federated', undefined, undefined])
    for (const { scores } of tasks) t.deepEqual(Object.keys(scores).sort(), ['federated', 'served'])
  }
})

test.serial('a client that sends activations to a host of whole models is let go', async t => {
  const charter = charterOf()
  const home = makeHost(backend, charter)
  const { request } = makeClient(backend, charter, site('ada'))
  for (const kind of ['forward', 'grads', 'eval-forward'] as const) {
    const { client, host } = channelPair({ client: 'ada', host: 'host' })
    const served = home.host.serve(request, host)
    await client.send({ kind, step: 0, tensors: [{ name: 'activations', tensor: { shape: [6, 4, 8], data: new Float32Array(192) } }] })
    t.regex(await served, new RegExp(`does not send ${kind} frames`))
  }
  await home.host.stop()
})

test.serial('a trainer does what its charter says and no more', async t => {
  const whole = makeClient(backend, charterOf(), site('ada')).trainer
  await t.throwsAsync(whole.forward(0), { instanceOf: ProtocolError })
  const split = makeClient(backend, smallCharter(TASKS), site('ada')).trainer
  t.throws(() => { split.restart() }, { instanceOf: ProtocolError })
  await t.throwsAsync(split.contribute(0), { instanceOf: ProtocolError })
  t.throws(() => { whole.advance([{ name: 'trunk', tensor: { shape: [1], data: new Float32Array(1) } }]) }, { instanceOf: ProtocolError })
  for (const trainer of [whole, split]) trainer.dispose()
})
