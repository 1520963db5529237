/** The federated baselines in the simulator: what each leaves at its clients, and where each falls together with another. */
import test from 'ava'
import { InvalidParametersError, PrivacyError, ProtocolError } from '../../src/errors.ts'
import { LEVEL, SIDE, clientData, syntheticDataset } from '../helpers/synthetic.ts'
import { LocalTrainer } from '../../src/training/local-trainer.ts'
import { attach, makeClient, makeHost, smallCharter, until } from '../helpers/federation.ts'
import { backendOn } from '../helpers/rungs.ts'
import { buildTrunk } from '../../src/models/trunk.ts'
import { byName } from '../helpers/tensors.ts'
import { charterHash, readCharter } from '../../src/federation/charter.ts'
import { estimateClient } from '../../src/training/memory.ts'
import { findStrategy, settingsOf } from '../../src/strategies/index.ts'
import { normalisationsOf } from '../../src/models/normalisation.ts'
import { runInHalves } from '../helpers/halves.ts'
import { simulate } from '../../src/federation/simulator.ts'
import type { Charter, CharterOptions } from '../../src/federation/charter.ts'
import type { Frame, RoundReport } from '../../src/backbone/frames.ts'
import type { SimulationResult } from '../../src/federation/simulator.ts'

const backend = await backendOn('wasm')
const TASKS = [LEVEL, SIDE]
const SITES = [['ada', 12], ['ben', 24], ['cyd', 18]] as const
const sites = SITES.map(([id, rows]) => clientData({ id, tasks: TASKS }, { rows: [rows, 6, 6] }))
const dataset = { ...syntheticDataset({ clients: SITES.map(([id]) => ({ id, tasks: TASKS })) }), client: async (id: string) => sites.find(site => site.id === id) as typeof sites[number] }
const WHOLE = ['fedavg', 'fedprox', 'fedper', 'fedln', 'ditto', 'pfedme', 'fedamp'] as const

function charterOf (name: string, changes: Partial<CharterOptions> = {}): Charter {
  const strategy = findStrategy(name)
  const clock = strategy.kind === 'whole' ? { rounds: 3, stepsPerRound: 1, localSteps: 2 } : { rounds: 2, stepsPerRound: 2 }
  return smallCharter(TASKS, { ...changes, ...settingsOf(strategy, {}, { ...changes, training: { ...clock, batch: 6, warmup: 2, ...changes.training } }) })
}

async function run (charter: Charter): Promise<SimulationResult> {
  return await simulate({ charter, dataset, backend, hosts: ['host'], clients: dataset.clientIds, control: false, baseline: true })
}

interface End {
  /** Client -> unit -> weights. */
  readonly clients: Readonly<Record<string, Readonly<Record<string, Float32Array>>>>
  readonly host: Readonly<Record<string, Float32Array>>
  readonly frames: readonly Frame[]
  readonly reports: readonly RoundReport[]
}

/** A run whose trainers can be looked into. @param init.leaving - closes its channel after step 0 */
async function runOpen (charter: Charter, init: { leaving?: string } = {}): Promise<End> {
  const agreed = { ...charter, clock: { ...charter.clock, quorum: sites.length } }
  const home = makeHost(backend, agreed)
  const frames: Frame[] = []
  const reports: RoundReport[] = []
  home.host.addEventListener('round:closed', ({ detail }) => { reports.push(detail) })
  const clients = sites.map(site => makeClient(backend, agreed, site))
  const attached = clients.map(client => ({ name: client.name, ...attach(home, client, agreed, frame => { frames.push(frame) }) }))
  home.host.addEventListener('step:done', ({ detail }) => {
    if (detail.step === 0) void attached.find(({ name }) => name === init.leaving)?.channels.client.close()
  })
  home.host.start()
  await Promise.all(attached.map(async ({ name, ran }) => { await (name === init.leaving ? ran.catch(() => undefined) : ran) }))
  await home.host.stop()
  const end = { clients: Object.fromEntries(clients.map(({ name, trainer }) => [name, byName(trainer.save())])), host: byName(home.trainer.save()), frames, reports }
  for (const { trainer } of [...clients, home]) trainer.dispose()
  return end
}

function lossesOf ({ clients }: SimulationResult): number[] {
  return clients.flatMap(({ tasks }) => tasks.map(({ scores }) => scores.federated?.all.loss as number))
}

for (const name of [...WHOLE.slice(1), 'splitfed']) {
  test.serial(`${name}: two runs are one, and so is a run in two halves; nothing is left behind`, async t => {
    const charter = charterOf(name)
    const before = backend.liveTensors()
    const first = await run(charter)
    const second = await run(charter)
    t.deepEqual(second.fingerprints, first.fingerprints)
    t.deepEqual(second.clients, first.clients)
    t.deepEqual(await runInHalves(backend, { ...charter, clock: { ...charter.clock, quorum: sites.length } }, sites, 2), first.fingerprints)
    t.is(backend.liveTensors(), before)
  })

  if (name === 'fedamp') continue // there is no common model to compare with
  test.serial(`${name}: a client that leaves is named, and the others go on`, async t => {
    const { reports, host, clients } = await runOpen(charterOf(name), { leaving: 'ben' })
    t.deepEqual(reports.at(-1)?.contributors, ['ada', 'cyd'])
    t.true(reports.some(({ missing }) => missing.join().startsWith('ben: left at step')))
    t.deepEqual(clients.ada?.['embed/image'], host['embed/image'])
    t.deepEqual(clients.cyd?.['embed/image'], host['embed/image'])
    t.notDeepEqual(clients.ben?.['embed/image'], host['embed/image'])
  })
}

for (const { id, name, changes } of [
  { id: 'FedProx without its pull', name: 'fedprox', changes: { training: { proximal: 0 } } },
  { id: 'FedPer with nothing private', name: 'fedper', changes: { model: { sharedHeads: 'all' } } },
  { id: 'FedLN with nothing private', name: 'fedln', changes: { model: { privateNorms: false } } },
  { id: 'FedAvg with a server rate of 1', name: 'fedavg', changes: { training: { serverRate: 1, innerSteps: 1, pull: 0 } } }
]) {
  test(`${id} is FedAvg: the same charter, so the same bits`, t => {
    t.deepEqual(charterOf(name, changes), charterOf('fedavg'))
    if (name !== 'fedavg') t.not(charterHash(charterOf(name)), charterHash(charterOf('fedavg')))
  })
}

for (const name of WHOLE) {
  test(`${name}: the charter can be read back`, t => {
    const charter = charterOf(name)
    t.deepEqual(readCharter(structuredClone(charter)), charter)
  })
}

for (const { id, changes } of [
  { id: 'a proximal term of a split model', changes: { training: { proximal: 0.1 } } },
  { id: 'a personal model beside a split one', changes: { training: { personal: 'ditto' } } },
  { id: 'a server rate of a split model', changes: { training: { serverRate: 2 } } },
  { id: 'private normalisations of a split model', changes: { model: { privateNorms: true } } },
  { id: 'an unknown personal model', changes: { model: { trunk: 'client' }, training: { personal: 'fedamp' } } },
  { id: 'a pull with nothing to pull', changes: { model: { trunk: 'client' }, training: { pull: 0.1 } } },
  { id: 'inner steps without pfedme', changes: { model: { trunk: 'client' }, training: { personal: 'ditto', innerSteps: 2 } } },
  { id: 'a rate with no personal model to take it', changes: { model: { trunk: 'client' }, training: { lrPersonal: 0.1 } } },
  { id: 'pfedme whose own rate overshoots', changes: { model: { trunk: 'client' }, training: { personal: 'pfedme', pull: 15, lrPersonal: 0.1 } } },
  { id: 'half an inner step', changes: { model: { trunk: 'client' }, training: { personal: 'pfedme', pull: 1, innerSteps: 1.5 } } },
  { id: 'attention of a split model', changes: { training: { attention: 0.5 } } },
  { id: 'attention where hosts merge', changes: { model: { trunk: 'client' }, training: { attention: 0.5 } } },
  { id: 'attention with normalisations kept apart', changes: { model: { trunk: 'client', privateNorms: true }, training: { attention: 0.5 }, merge: { mode: 'none' } } },
  { id: 'attention beside a personal model', changes: { model: { trunk: 'client' }, training: { attention: 0.5, personal: 'ditto' }, merge: { mode: 'none' } } },
  { id: 'a width of attention with nothing to pay it to', changes: { model: { trunk: 'client' }, training: { sigma: 2 } } },
  { id: 'pfedme without a pull', changes: { model: { trunk: 'client' }, training: { personal: 'pfedme' } } },
  { id: 'pfedme that overshoots', changes: { model: { trunk: 'client' }, training: { personal: 'pfedme', pull: 15, lrLocal: 0.1 } } },
  { id: 'pfedme with a proximal term', changes: { model: { trunk: 'client' }, training: { personal: 'pfedme', pull: 1, proximal: 0.1 } } },
  { id: 'a server rate of 0', changes: { model: { trunk: 'client' }, training: { serverRate: 0 } } },
  { id: 'private normalisations by a word', changes: { model: { trunk: 'client', privateNorms: 'yes' } } }
] satisfies ReadonlyArray<{ id: string, changes: Partial<CharterOptions> }>) {
  test(`is refused in one line: ${id}`, t => {
    const error = t.throws(() => smallCharter(TASKS, changes), { instanceOf: InvalidParametersError })
    t.false(/\n/.test(`${error?.message}${error?.next}`))
  })
}

test.serial('FedProx ends nearer to where it began, the more the stronger its pull', async t => {
  const moved = async (proximal: number): Promise<number> => {
    // Plain steps: under AdamW the length of a step does not tell how strong the pull is.
    const charter = charterOf('fedprox', { training: { proximal, optimiser: 'sgd', lrLocal: 0.05, weightDecay: 0, rounds: 1, localSteps: 6, warmup: 0 } })
    const start = makeHost(backend, charter)
    const before = byName(start.trainer.save()).trunk as Float32Array
    start.trainer.dispose()
    return ((await runOpen(charter)).host.trunk as Float32Array).reduce((sum, value, i) => sum + (value - (before[i] as number)) ** 2, 0)
  }
  const [free, pulled, held] = [await moved(0), await moved(1), await moved(10)]
  t.true(held < pulled && pulled < free, `${held}, ${pulled}, ${free}`)
})

test.serial('FedPer: heads are in no frame and every site ends with its own; the rest is one', async t => {
  const { clients, host, frames } = await runOpen(charterOf('fedper'))
  t.deepEqual([...new Set(frames.flatMap(({ tensors }) => tensors.map(({ name }) => name)))].sort(), ['embed/image', 'trunk'])
  for (const unit of ['trunk', 'embed/image']) for (const site of Object.values(clients)) t.deepEqual(site[unit], host[unit])
  t.notDeepEqual(clients.ada?.['head/side'], clients.ben?.['head/side'])
})

test.serial('FedLN: normalisations go out as zeros and differ from site to site; the rest of the trunk is one', async t => {
  const charter = charterOf('fedln')
  const stretches = normalisationsOf(buildTrunk(charter.model.backbone))
  const norm = new Set(stretches.flatMap(({ offset, size }) => Array.from({ length: size }, (_, i) => offset + i)))
  const { clients, host, frames } = await runOpen(charter)
  const split = (trunk: Float32Array): { norms: Float32Array, rest: Float32Array } => ({ norms: trunk.filter((_, i) => norm.has(i)), rest: trunk.filter((_, i) => !norm.has(i)) })
  const sent = frames.flatMap(({ tensors }) => tensors.filter(({ name }) => name === 'trunk').map(({ tensor }) => split(tensor.data)))
  t.is(sent.length, 9)
  for (const { norms, rest } of sent) {
    t.true(norms.every(value => value === 0))
    t.true(rest.some(value => value !== 0))
  }
  const at = Object.values(clients).map(site => split(site.trunk as Float32Array))
  const home = split(host.trunk as Float32Array)
  for (const { norms, rest } of at) {
    t.deepEqual(rest, home.rest)
    t.notDeepEqual(norms, home.norms, 'they have learnt')
  }
  t.notDeepEqual(at[0]?.norms, at[1]?.norms)
})

test.serial('Ditto without its pull is local training, and what it sends is what FedAvg sends', async t => {
  const charter = charterOf('ditto', { training: { pull: 0 } })
  const [own, averaged] = [await runOpen(charter), await runOpen(charterOf('fedavg'))]
  t.deepEqual(own.host, averaged.host)
  for (const site of sites) {
    const local = new LocalTrainer(backend, site, charter.model, charter.training, charter.seed)
    for (let step = 0; step < 6; step++) await local.step(step)
    for (const { name, parameters } of local.units) t.deepEqual(own.clients[site.id]?.[`personal/${name}`], parameters.slice(), `${name} of ${site.id}`)
    local.dispose()
  }
  const pulled = await runOpen(charterOf('ditto'))
  t.deepEqual(pulled.host, averaged.host, 'the pull is the personal model\'s alone')
  t.notDeepEqual(pulled.clients.ada?.['personal/trunk'], own.clients.ada?.['personal/trunk'])
})

for (const name of ['ditto', 'pfedme']) {
  test.serial(`${name}: the personal model is what is served`, async t => {
    const [own, averaged] = [await run(charterOf(name)), await run(charterOf('fedavg'))]
    t.notDeepEqual(lossesOf(own), lossesOf(averaged))
  })
}

test.serial('with a rate of its own the personal model goes plain steps; the whole model and the local one go on as they were', async t => {
  const [own, alike] = [await runOpen(charterOf('ditto', { training: { lrPersonal: 0.05, pull: 0 } })), await runOpen(charterOf('ditto'))]
  t.deepEqual(own.host, alike.host)
  t.deepEqual(own.clients.ada?.['local0/trunk'], alike.clients.ada?.['local0/trunk'])
  t.false('personal/trunk.first' in (own.clients.ada ?? {}))
  for (const site of sites) {
    const charter = charterOf('fedavg', { training: { optimiser: 'sgd', lrLocal: 0.05, weightDecay: 0 } })
    const local = new LocalTrainer(backend, site, charter.model, charter.training, charter.seed)
    for (let step = 0; step < 6; step++) await local.step(step)
    for (const { name, parameters } of local.units) t.deepEqual(own.clients[site.id]?.[`personal/${name}`], parameters.slice(), `${name} of ${site.id}`)
    local.dispose()
  }
})

test.serial('a personal model cannot be sent under the name of a change', async t => {
  // Both models begin at zeros and learn alike: the change of the shared trunk is the personal trunk, number by number.
  const contribute = async (name: string): Promise<number> => {
    const { trainer } = makeClient(backend, charterOf(name, { training: name === 'ditto' ? { pull: 0 } : {} }), sites[0] as typeof sites[number])
    try {
      trainer.load(trainer.save().map(({ name, tensor: { shape, data } }) => ({ name, tensor: { shape, data: /^(personal\/)?trunk$/.test(name) ? data.fill(0) : data } })))
      return (await trainer.contribute(0)).changes.length
    } finally {
      trainer.dispose()
    }
  }
  t.is(await contribute('fedavg'), 4)
  await t.throwsAsync(contribute('ditto'), { instanceOf: PrivacyError, message: /personal weights of trunk/ })
})

test.serial('pFedMe: the agreed model follows the personal ones; twice the server rate is twice the first change', async t => {
  const change = async (serverRate: number): Promise<Float32Array> => {
    const charter = charterOf('pfedme', { training: { rounds: 1, serverRate } })
    const start = makeHost(backend, charter)
    const before = byName(start.trainer.save()).trunk as Float32Array
    start.trainer.dispose()
    return ((await runOpen(charter)).host.trunk as Float32Array).map((value, i) => value - (before[i] as number))
  }
  const [once, twice] = [await change(1), await change(2)]
  const length = Math.hypot(...once)
  t.true(length > 0)
  t.true(Math.hypot(...twice.map((value, i) => value - 2 * (once[i] as number))) < 1e-4 * length)
})

test.serial('FedAMP: every site ends with a model of its own, 8 |w| bytes a client and round go over the wire, and the host holds no common one', async t => {
  const charter = charterOf('fedamp')
  const { clients, host, frames, reports } = await runOpen(charter)
  const start = makeHost(backend, charter)
  const size = Object.values(start.trainer.unitSizes()).reduce((sum, count) => sum + count, 0)
  for (const unit of charter.shared) {
    t.deepEqual(host[unit], byName(start.trainer.save())[unit])
    t.notDeepEqual(clients.ada?.[unit], clients.ben?.[unit])
  }
  start.trainer.dispose()
  t.deepEqual([...new Set(frames.filter(({ tensors }) => tensors.length > 0).map(({ kind }) => kind))], ['share'])
  // What a round was answered with is told after it is closed: the first report has none of it.
  t.deepEqual(reports.map(({ bytesUp, bytesDown }) => [bytesUp, bytesDown]), [0, 1, 1].map(down => [3 * 4 * size, 3 * down * 4 * size]))
})

test.serial('FedAMP: what a site sends is how far its model is from the start values, and what it hears is what the pull is to', async t => {
  const charter = charterOf('fedamp', { training: { pull: 0 } })
  const { trainer } = makeClient(backend, charter, sites[0] as typeof sites[number])
  const start = byName(trainer.save())
  await trainer.contribute(0)
  const { changes } = await trainer.contribute(1)
  const now = byName(trainer.save())
  for (const { name, tensor: { data } } of changes) t.deepEqual(data, (now[name] as Float32Array).map((value, i) => value - (start[name]?.[i] as number)))
  trainer.dispose()

  const trunkAfter = async (pull: number, anchor: number): Promise<Float32Array> => {
    const { trainer } = makeClient(backend, charterOf('fedamp', { training: { pull, optimiser: 'sgd', lrLocal: 0.05, weightDecay: 0, warmup: 0 } }), sites[0] as typeof sites[number])
    trainer.aim([{ name: 'trunk', tensor: { shape: [start.trunk?.length as number], data: new Float32Array(start.trunk?.length as number).fill(anchor) } }])
    await trainer.contribute(0)
    const { trunk } = byName(trainer.save())
    trainer.dispose()
    return trunk as Float32Array
  }
  const mean = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0) / values.length
  t.deepEqual(await trunkAfter(0, 1), await trunkAfter(0, 0))
  t.true(mean(await trunkAfter(1, 1)) > mean(await trunkAfter(1, 0)) && mean(await trunkAfter(1, 0)) > mean(await trunkAfter(1, -1)))
})

test.serial('FedAMP: sites that are alike end nearer to each other than with a weaker pull', async t => {
  const apart = async (pull: number): Promise<number> => {
    const { clients } = await runOpen(charterOf('fedamp', { training: { pull, optimiser: 'sgd', lrLocal: 0.05, weightDecay: 0, rounds: 6, warmup: 0 } }))
    return (clients.ada?.trunk as Float32Array).reduce((sum, value, i) => sum + (value - (clients.ben?.trunk?.[i] as number)) ** 2, 0)
  }
  const [free, pulled] = [await apart(0), await apart(5)]
  t.true(pulled < free, `${pulled} and ${free}`)
})

test.serial('FedAMP: two hosts make the anchors of their own clients and never meet', async t => {
  const charter = charterOf('fedamp')
  const { rounds, fingerprints } = await simulate({ charter, dataset, backend, hosts: ['h1', 'h2'], clients: dataset.clientIds, control: false, baseline: false })
  t.deepEqual(rounds.map(({ merged }) => merged.length), [1, 1, 1, 1, 1, 1])
  const alone = await simulate({ charter, dataset: { ...dataset, clientIds: ['ben'] }, backend, hosts: ['h2'], clients: ['ben'], control: false, baseline: false })
  t.is(fingerprints.ben, alone.fingerprints.ben)
})

test.serial('FedAMP: who is late keeps its model and is told of an anchor; changes may be rounded on their way', async t => {
  const charter = charterOf('fedamp', { training: { rounds: 5 } })
  const agreed = { ...charter, cutCodec: 'int8' as const, clock: { ...charter.clock, quorum: 2, stepDeadlineMs: 1_000 } }
  const home = makeHost(backend, agreed)
  const [ada, ben] = [makeClient(backend, agreed, sites[0] as typeof sites[number]), makeClient(backend, agreed, sites[1] as typeof sites[number])]
  const over = until<{ step: number }>(home.host, 'step:done', ({ step }) => step === 1)
  const contribute = ben.trainer.contribute.bind(ben.trainer)
  ben.trainer.contribute = async step => {
    if (step === 1) await over
    return await contribute(step)
  }
  const skipped = until<{ from: number }>(ben.client, 'step:skipped')
  const steps: string[] = []
  home.host.addEventListener('step:done', ({ detail }) => { steps.push(detail.contributors.join()) })
  const attached = [attach(home, ada, agreed), attach(home, ben, agreed)]
  home.host.start()
  t.is((await skipped).from, 1)
  await Promise.all(attached.map(({ ran }) => ran))
  t.is(steps[1], 'ada')
  t.true(steps.slice(2).some(contributors => contributors.includes('ben')), steps.join(' '))
  for (const { trainer } of [ada, ben]) t.true(Object.values(byName(trainer.save())).every(values => values.every(Number.isFinite)))
  await home.host.stop()
})

test('SplitFed averages what MTSL keeps apart', t => {
  t.deepEqual(charterOf('splitfed').shared, ['embed/image', 'head/level', 'head/side'])
  t.deepEqual(charterOf('mtsl').shared, [])
})

test('a personal model is counted in what a client needs', t => {
  const [site] = sites
  t.true(estimateClient(charterOf('ditto'), site as typeof sites[number], 1).bytes > estimateClient(charterOf('fedavg'), site as typeof sites[number], 1).bytes)
})

test.serial('changes that are not finite are refused, whatever trained them', async t => {
  const charter = charterOf('fedprox')
  const { trainer } = makeHost(backend, charter)
  t.throws(() => { trainer.contribute('ada', 0, 1, [{ name: 'trunk', tensor: { shape: [1], data: Float32Array.of(Number.NaN) } }]) }, { instanceOf: ProtocolError })
  trainer.dispose()
})
