/** Predictors taken out of checkpoints: each says what its site serves, and nothing else passes for one. */
import test from 'ava'
import { CARD, readCard } from '../../src/export/card.ts'
import { DecodeError, InvalidParametersError } from '../../src/errors.ts'
import { SavedState, saveUnit } from '../../src/training/saved-state.ts'
import { ContentGuard } from '../../src/backbone/guard.ts'
import { MethodModel } from '../../src/methods/site.ts'
import { backendOn } from '../helpers/rungs.ts'
import { createCharter } from '../../src/federation/charter.ts'
import { decodeSafetensors, encodeSafetensors } from '../../node/store/safetensors.ts'
import { gaussianSites } from '../helpers/gaussian-sites.ts'
import { linesOf, scoresOf } from '../../src/export/answers.ts'
import { loadPredictor } from '../../src/export/predictor.ts'
import { picturesAndTexts } from '../helpers/several.ts'
import { findStrategy, settingsOf, strategies } from '../../src/strategies/index.ts'
import { takePredictor } from '../../src/export/take.ts'
import { trainMix } from '../helpers/split-mix.ts'
import type { ExportWish } from '../../src/export/members.ts'
import type { MixOutcome } from '../helpers/split-mix.ts'

const backend = await backendOn('wasm')
const FULL: ExportWish = { width: 1, robustness: 0 }
const SITES = gaussianSites(1, 2, [40, 10, 60])
const SITE = SITES.clientIds[0] as string
const MODEL = { width: 16, layers: 1, heads: 4, hidden: 16, embedder: { kind: 'row' } }
const TRAINING = { rounds: 3, localSteps: 4, batch: 16, lrLocal: 0.02, warmup: 4, weightDecay: 0.05 }

const train = async (strategy: string, training: Readonly<Record<string, unknown>> = TRAINING, method?: Readonly<Record<string, unknown>>, model = {}): Promise<MixOutcome> =>
  await trainMix(backend, SITES, { strategy, seed: 1, model: { ...MODEL, ...model }, training, ...method === undefined ? {} : { method } })

/** Through a file, and back. */
function exported ({ charter, saved }: MixOutcome, wish: ExportWish, more: MixOutcome['saved'][string] = [], site = SITE): { predictor: ReturnType<typeof loadPredictor>, bytes: number, card: ReturnType<typeof readCard> } {
  const { card, tensors } = takePredictor(charter, new SavedState([...saved[site] ?? [], ...more]), 3, wish)
  const file = encodeSafetensors(tensors, { [CARD]: JSON.stringify(card) })
  const read = decodeSafetensors(file)
  return { predictor: loadPredictor(backend, readCard(read.metadata), read.tensors), bytes: file.length, card: readCard(read.metadata) }
}

async function accuracyOf (outcome: MixOutcome, wish: ExportWish, more: MixOutcome['saved'][string] = [], { dataset, site } = { dataset: SITES, site: SITE }): Promise<number> {
  const { predictor } = exported(outcome, wish, more, site)
  const { test } = await dataset.client(site)
  const [score] = scoresOf(predictor, await predictor.predict(test), test)
  predictor.dispose()
  return score?.value as number
}

function reported ({ result }: MixOutcome, name: string, site = SITE): number { return result.clients.find(({ client }) => client === site)?.tasks[0]?.scores[name]?.value as number }

test.serial('one checkpoint, four exports: full, half, quarter, robust; each says what the site would', async t => {
  const before = backend.liveTensors()
  const outcome = await train('split-mix-robust', TRAINING, { attackSteps: 2, epsilon: 0.3 })
  const sizes: number[] = []
  for (const [wish, name] of [[FULL, 'width 4/4'], [{ width: 0.5, robustness: 0 }, 'width 2/4'], [{ width: 0.25, robustness: 0 }, 'width 1/4'], [{ width: 1, robustness: 1 }, 'lambda 1'], [{ width: 1, robustness: 0.5 }, 'lambda 0.5']] as const) {
    t.is(await accuracyOf(outcome, wish), reported(outcome, name), name)
    const { bytes, card, predictor } = exported(outcome, wish)
    t.is(card.members, 4 * wish.width)
    sizes.push(bytes)
    predictor.dispose()
  }
  t.true((sizes[2] as number) < 0.6 * (sizes[1] as number) && (sizes[1] as number) < 0.6 * (sizes[0] as number), sizes.join(' '))
  t.is(sizes[3], sizes[0], 'robustness costs nothing when the model is used')
  t.is(backend.liveTensors(), before)
})

for (const strategy of ['fedavg', 'ditto', 'fedper', 'fesem', 'demlearn', 'mupfl', 'fedlinear'] as const) {
  test.serial(`${strategy}: the exported predictor is what the site serves as its federated one`, async t => {
    const outcome = await train(strategy, strategy === 'fedlinear' ? { rounds: 3, lrLocal: 0.5 } : TRAINING)
    t.is(await accuracyOf(outcome, FULL), reported(outcome, 'federated'))
    for (const wish of [{ width: 0.5, robustness: 0 }, { width: 1, robustness: 1 }]) t.throws(() => exported(outcome, wish), { instanceOf: InvalidParametersError })
  })
}

/** Options that suit two sites of a table, where a method needs some. */
const METHODS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  cofed: { public: { rows: 16, seed: 1 }, margin: 0, threshold: 0 },
  hyfem: { holds: [[0, 1], [1]] },
  'split-mix-robust': { attackSteps: 1 },
  fedrbn: { attackSteps: 1 }
}

for (const { name, method } of strategies.filter(({ name, method }) => method !== undefined && name !== 'tap')) {
  test.serial(`${name}, method ${String(method?.name)}: an export predicts what its site does`, async t => {
    const before = backend.liveTensors()
    const outcome = await train(name, TRAINING, METHODS[name], name === 'fed-prompt' ? { attention: true } : {})
    t.is(await accuracyOf(outcome, FULL), reported(outcome, 'federated'))
    t.is(backend.liveTensors(), before)
  })
}

for (const [name, method] of [['hyfem', { holds: [[0, 1], [1]] }], ['flora', { ranks: [2, 4] }], ['cofed', { ...METHODS.cofed, widths: [16, 8] }]] as const) {
  test.serial(`${name}: a site whose model is of another size than the first's is exported as it is`, async t => {
    const [, second] = SITES.clientIds as [string, string]
    const outcome = await train(name, TRAINING, method)
    t.is(await accuracyOf(outcome, FULL, [], { dataset: SITES, site: second }), reported(outcome, 'federated', second))
  })
}

test.serial('of several inputs, an exported predictor reads the one of its site', async t => {
  const { input, inputs = [], tasks, recipe, client } = picturesAndTexts()
  const charter = createCharter({ name: 'two', seed: 4, input, inputs, tasks, ...settingsOf(findStrategy('fesem'), recipe, { model: { width: 8, layers: 1, heads: 2, hidden: 12, embedder: { kind: 'patches', patch: 4 } }, training: { rounds: 1, localSteps: 2, batch: 6 } }) })
  const data = await client('tom')
  const site = new MethodModel(backend, { charter, data, seat: { rank: 1, of: 2 }, guard: new ContentGuard(), start: [] })
  const { card, tensors } = takePredictor(charter, new SavedState([...site.units.flatMap(unit => saveUnit(unit.name, unit)), ...site.save()]), 1, FULL)
  t.is(card.input.modality, 'tokens')
  const predictor = loadPredictor(backend, card, tensors)
  t.deepEqual((await predictor.predict(data.test)).get('topic'), (await site.predict(data.test)).get('topic'))
  predictor.dispose()
  site.dispose()
})

for (const strategy of ['fedavg', 'split-mix'] as const) {
  test.serial(`${strategy}: among sites of pictures, one of texts exports what it serves, and they do`, async t => {
    const dataset = picturesAndTexts()
    const outcome = await trainMix(backend, dataset, { strategy, seed: 1, model: { width: 8, layers: 1, heads: 2, hidden: 16, embedder: { kind: 'patches', patch: 4 } }, training: { ...TRAINING, batch: 6 } })
    for (const [site, modality] of [['tom', 'tokens'], ['ben', 'image']] as const) {
      t.is(await accuracyOf(outcome, FULL, [], { dataset, site }), reported(outcome, 'federated', site), site)
      const { card, predictor } = exported(outcome, FULL, [], site)
      t.is(card.input.modality, modality)
      predictor.dispose()
    }
  })
}

test.serial('a split model is refused in one line unless its trunk is at hand', async t => {
  const outcome = await train('fedbone', { rounds: 2, stepsPerRound: 4, batch: 16 })
  const error = t.throws(() => exported(outcome, FULL), { instanceOf: InvalidParametersError })
  t.regex(`${error?.message}; ${error?.next}`, /^the model is split and its trunk is at a host[^\n]*--trunk[^\n]*$/)
  t.is(await accuracyOf(outcome, FULL, outcome.saved.host?.filter(({ name }) => name === 'trunk')), reported(outcome, 'federated'))
})

test.serial('predictions are one line a row, labels with their probability', async t => {
  const { predictor } = exported(await train('fedavg'), FULL)
  const { test: rows } = await SITES.client(SITE)
  const lines = linesOf(predictor, await predictor.predict(rows), rows).trimEnd().split('\n').map(line => JSON.parse(line) as { row: number, cloud: { label: number, probability: number, all: number[] } })
  t.is(lines.length, rows.count)
  for (const { cloud: { label, probability, all } } of lines) {
    t.is(all[label], probability)
    t.true(Math.abs(all.reduce((sum, value) => sum + value, 0) - 1) < 1e-5)
  }
  predictor.dispose()
})

test.serial('a file that is not what its card says is refused', async t => {
  const { charter, saved } = await train('split-mix', { ...TRAINING, rounds: 1 })
  const { card, tensors } = takePredictor(charter, new SavedState(saved[SITE] ?? []), 1, { width: 0.25, robustness: 0 })
  t.throws(() => readCard({}), { instanceOf: DecodeError })
  for (const changes of [{ version: 2 }, { members: 0 }, { members: 1e9 }, { tasks: [] }, { input: { modality: 'table', shape: [1e9] } }, { robustness: 2 }, { model: null }, { model: { ...card.model, backbone: { ...card.model.backbone, width: -1 } } }, { weights: 7 }]) {
    t.throws(() => readCard({ [CARD]: JSON.stringify({ ...card, ...changes }) }), { instanceOf: DecodeError }, JSON.stringify(changes))
  }
  for (const backbone of [{ layers: 4096 }, { width: 4096, hidden: 4096 }, { layers: 2 }]) {
    const lying = readCard({ [CARD]: JSON.stringify({ ...card, model: { ...card.model, backbone: { ...card.model.backbone, ...backbone } } }) })
    t.throws(() => loadPredictor(backend, lying, tensors), { instanceOf: DecodeError }, JSON.stringify(backbone))
  }
  t.throws(() => readCard({ [CARD]: '{' }), { instanceOf: DecodeError })
  t.throws(() => loadPredictor(backend, card, tensors.slice(1)), { instanceOf: DecodeError })
  t.throws(() => loadPredictor(backend, card, [...tensors, { name: 'more', tensor: { shape: [1], data: new Float32Array(1) } }]), { instanceOf: DecodeError })
  const flipped = tensors.map(({ name, tensor: { shape, data } }, i) => ({ name, tensor: { shape, data: i > 0 ? data : data.map(value => -value) } }))
  t.throws(() => loadPredictor(backend, card, flipped), { instanceOf: DecodeError })
})
