/** Members with other inputs on one trunk: pictures here, texts there; split and whole models. */
import test from 'ava'
import { backendOn } from '../helpers/rungs.ts'
import { byName } from '../helpers/tensors.ts'
import { charterBy, oneHost } from '../helpers/charters.ts'
import { estimateHost, wholeParameters } from '../../src/training/memory.ts'
import { fewTestRows } from '../helpers/few-test-rows.ts'
import { findStrategy } from '../../src/strategies/index.ts'
import { joinDatasets } from '../../src/data/joined.ts'
import { picturesAndTexts } from '../helpers/several.ts'
import { runExperiment } from '../../src/federation/experiment.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { TrafficPlan, modelFloats, payloadBytes, siteOf } from '../../src/planning/index.ts'
import { openDataset } from '../../src/data/open.ts'
import { withSharedData } from '../helpers/shared-data.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import type { Frame } from '../../src/backbone/frames.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'
import type { OwnSettings } from '../helpers/charters.ts'
import type { SimulationInit, SimulationResult } from '../../src/federation/simulator.ts'

const backend = await backendOn('wasm')
const SMALL = { width: 8, layers: 1, heads: 2, hidden: 12, embedder: { kind: 'patches', patch: 4 } }

interface Run {
  readonly charter: Charter
  readonly result: SimulationResult
  readonly states: Readonly<Record<string, Readonly<Record<string, Float32Array>>>>
  readonly frames: ReadonlyMap<string, readonly Frame[]>
}

async function run (strategy: string, dataset: Dataset, own: Pick<OwnSettings, 'model' | 'training' | 'method'> = {}, init: Partial<SimulationInit> = {}): Promise<Run> {
  const made = findStrategy(strategy)
  const steps = made.kind === 'whole' ? { localSteps: 3 } : { stepsPerRound: 3 }
  const charter = charterBy(strategy, dataset, { seed: 5, ...own, training: { rounds: 2, warmup: 2, ...steps, ...own.training } })
  const states: Record<string, Record<string, Float32Array>> = {}
  const frames = new Map<string, Frame[]>()
  const result = await runExperiment(made, oneHost({
    charter,
    dataset,
    backend,
    onFrame: (client, frame) => { frames.set(client, [...frames.get(client) ?? [], frame]) },
    onTrainers: async (at, { clients, hosts }) => {
      const save = async (name: string, trainer: { save: () => Promise<NamedTensor[]> }): Promise<void> => { if (at === 'end') states[name] = byName(await trainer.save()) as Record<string, Float32Array> }
      for (const [name, trainer] of [...clients, ...hosts]) await save(name, trainer)
    },
    ...init
  }))
  return { charter, result, states, frames }
}

function expectScores (t: { true: (value: boolean, message?: string) => unknown }, { clients }: SimulationResult): void {
  for (const { client, tasks } of clients) for (const { id, scores } of tasks) t.true(Number.isFinite(scores.federated?.all.loss), `${client} ${id}`)
}

// Not fedlinear, flexmod, hyfem and fedrbn, which read one kind of row, nor split-mix-robust, which has no attack on texts: all say so.
for (const strategy of ['fedbone', 'mtsl', 'mas', 'splitfed', 'fedavg', 'fedprox', 'fedper', 'fedln', 'ditto', 'pfedme', 'fedamp', 'fesem', 'split-mix', 'tap', 'fedeq', 'cofed', 'demlearn', 'mupfl', 'local', 'centralised']) {
  test.serial(`${strategy}: pictures here and texts there`, async t => {
    const before = backend.liveTensors()
    const { result, charter } = await run(strategy, picturesAndTexts(), { model: SMALL, training: { batch: 6 }, ...strategy === 'tap' ? { method: { tuneSteps: 2 } } : {} })
    t.deepEqual(result.clients.map(({ client, tasks }) => [client, tasks.map(({ id }) => id)]), [['ada', ['side', 'level']], ['ben', ['side']], ['tom', ['topic']], ['una', ['topic']]])
    t.deepEqual(charter.inputs?.map(({ modality }) => modality), ['image', 'tokens'])
    for (const { missing } of result.rounds) t.deepEqual(missing, [])
    expectScores(t, result)
    t.is(backend.liveTensors(), before)
  })
}

for (const strategy of ['fedlinear', 'flexmod', 'hyfem', 'fedrbn']) {
  test(`${strategy} says before it begins that it reads one kind of row`, async t => {
    await t.throwsAsync(run(strategy, picturesAndTexts(), { model: SMALL }), { instanceOf: InvalidParametersError, message: /reads one kind of input, there are image, tokens/ })
  })
}

test.serial('whole models: all share the trunk, and each input\'s embedder is that of its own sites', async t => {
  const { charter, result, states, frames } = await run('fedavg', picturesAndTexts(), { model: SMALL, training: { batch: 6 } })
  t.deepEqual(charter.shared, ['trunk', 'embed/image', 'embed/tokens', 'head/level', 'head/side', 'head/topic'])
  expectScores(t, result)
  const { ada, ben, tom, una, host } = states as Record<string, Record<string, Float32Array>>
  for (const site of [ada, ben, tom, una]) t.deepEqual(site?.trunk, host?.trunk)
  for (const site of [ada, ben]) t.deepEqual(site?.['embed/image'], host?.['embed/image'])
  for (const site of [tom, una]) t.deepEqual(site?.['embed/tokens'], host?.['embed/tokens'])
  t.false('embed/tokens' in (ada ?? {}) || 'embed/image' in (tom ?? {}))
  const sent = (client: string): string[] => [...new Set(frames.get(client)?.flatMap(({ tensors }) => tensors.map(({ name }) => name)))].sort()
  t.deepEqual([sent('ben'), sent('una')], [['embed/image', 'head/side', 'trunk'], ['embed/tokens', 'head/topic', 'trunk']])
})

test.serial('an embedder may be shared by the sites of one input and private to those of another', async t => {
  const { charter, states } = await run('fedavg', picturesAndTexts(), { model: { ...SMALL, sharedEmbedder: ['tokens'] }, training: { batch: 6 } })
  t.deepEqual(charter.shared.filter(unit => unit.startsWith('embed/')), ['embed/tokens'])
  t.notDeepEqual(states.ada?.['embed/image'], states.ben?.['embed/image'])
  t.deepEqual(states.tom?.['embed/tokens'], states.una?.['embed/tokens'])
})

test.serial('sites of one input train as they would without the others\' input in the charter, where nobody else is there', async t => {
  const [pictures] = picturesAndTexts().parts as [Dataset]
  const alone = await run('fedavg', joinDatasets('both', [pictures]), { model: SMALL, training: { batch: 6 } })
  const { inputs = [], tasks } = picturesAndTexts()
  const among = await run('fedavg', { ...joinDatasets('both', [pictures]), inputs, tasks }, { model: { ...SMALL, attention: true }, training: { batch: 6 } })
  t.is(alone.charter.inputs, undefined)
  for (const unit of ['trunk', 'embed/image', 'head/side']) t.deepEqual(among.states.host?.[unit], alone.states.host?.[unit], unit)
})

test.serial('what a site is told is planned for, and hosts count every input\'s embedder', async t => {
  const { charter, result } = await run('fedavg', picturesAndTexts(), { model: SMALL, training: { batch: 6 } })
  const sites = [['side', 'level'], ['side'], ['topic'], ['topic']].map(tasks => siteOf(charter, { tasks, samples: { train: 24, holdout: 8, test: 12 } }))
  t.deepEqual(sites.map(({ cut }) => cut), [[4, 8], [4, 8], [8, 8], [8, 8]])
  const planned = sites.map(site => new TrafficPlan(charter, site, { codec: 'f32', sizeOf: payloadBytes }).run(0))
  t.is(planned.reduce((sum, { up }) => sum + up, 0), result.bytes.up)
  t.is(planned.reduce((sum, { down }) => sum + down, 0), result.bytes.down)
  const { trunk, parts } = modelFloats(charter, ['level', 'side', 'topic'])
  t.deepEqual(Object.keys(parts), ['embed/image', 'embed/tokens', 'head/level', 'head/side', 'head/topic'])
  t.is(wholeParameters(charter), trunk + Object.values(parts).reduce((sum, size) => sum + size, 0))
  t.true(estimateHost(charter, 4).bytes > 4 * wholeParameters(charter))
})

for (const strategy of ['fedbone', 'fedavg']) {
  withSharedData('digits,sentences', `${strategy}: digits and sentences train on one trunk`, async (t, folders) => {
    const dataset = fewTestRows(await openDataset(folders, { seed: 2, clients: 4, rows: 20, tasks: ['digit', 'polarity'] }), 4)
    t.deepEqual(dataset.clientIds, ['mnist', 'optdigits', 'amazon', 'imdb'])
    const { result, charter } = await run(strategy, dataset, { training: { batch: 8, rounds: 1, ...strategy === 'fedavg' ? { localSteps: 2 } : { stepsPerRound: 2 } } })
    t.deepEqual(charter.shared.filter(unit => unit.startsWith('embed/')), strategy === 'fedavg' ? ['embed/image', 'embed/tokens'] : ['embed/tokens'])
    expectScores(t, result)
  })
}
