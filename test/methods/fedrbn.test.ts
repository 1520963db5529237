/** FedRBN: propagation against an independent reference (test/vectors/fedrbn), what stays at a site, and learning under what was taken over. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { DualForm, DualModel } from '../../src/training/dual-model.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { PICTURES, SIDE, clientData } from '../helpers/synthetic.ts'
import { backendOn } from '../helpers/rungs.ts'
import { close } from '../helpers/tensors.ts'
import { createCharter } from '../../src/federation/charter.ts'
import { exchangeOf } from '../../src/methods/index.ts'
import { gaussianSites } from '../helpers/gaussian-sites.ts'
import { normalisationsOf } from '../../src/models/normalisation.ts'
import { normsOf, statisticsGraph } from '../../src/models/batch-norm.ts'
import { parseModelSpec } from '../../src/models/spec.ts'
import { parseTrainingSpec } from '../../src/training/spec.ts'
import { propagated, sourceWeights } from '../../src/robustness/propagation.ts'
import { trainMix } from '../helpers/split-mix.ts'
import { buildTrunk } from '../../src/models/trunk.ts'
import type { MixOutcome } from '../helpers/split-mix.ts'
import type { Norm } from '../../src/models/batch-norm.ts'

interface Layer { readonly cleanMean: number[], readonly cleanVar: number[], readonly noiseMean: number[], readonly noiseVar: number[] }
type Layers = Readonly<Record<'bn1' | 'bn2', Layer>>
type Result = Readonly<Record<'bn1' | 'bn2', Pick<Layer, 'noiseMean' | 'noiseVar'>>>

interface Vectors {
  readonly sources: readonly Layers[]
  readonly destination: Layers
  readonly temperature: number
  readonly cosine: { readonly weights: number[], readonly result: Result }
  readonly equal: { readonly weights: number[], readonly result: Result }
  readonly singleSource: Result
  readonly bytesPerSource: { readonly float32: number }
}

const vectors = JSON.parse(readFileSync(new URL('../vectors/fedrbn/fedrbn-bn-propagation.json', import.meta.url), 'utf8')) as Vectors
const backend = await backendOn('wasm')
const NORMS: readonly Norm[] = [{ name: 'bn1', channels: 3, gain: 0, bias: 3 }, { name: 'bn2', channels: 4, gain: 6, bias: 10 }]
const flat = (of: (layer: 'bn1' | 'bn2') => number[]): Float32Array => Float32Array.of(...of('bn1'), ...of('bn2'))
const sources = vectors.sources.map(layers => ({
  clean: flat(layer => [...layers[layer].cleanMean, ...layers[layer].cleanVar]),
  attacked: flat(layer => [...layers[layer].noiseMean, ...layers[layer].noiseVar])
}))
const own = flat(layer => [...vectors.destination[layer].cleanMean, ...vectors.destination[layer].cleanVar])
const wanted = (result: Result): Float32Array => flat(layer => [...result[layer].noiseMean, ...result[layer].noiseVar])

for (const weights of ['cosine', 'equal'] as const) {
  test(`statistics are taken over as in the reference: ${weights}`, t => {
    const before = own.slice()
    // Cosines stand over .01: what single precision leaves of them is a thousandth of a weight.
    close(t, 'weights', sourceWeights(NORMS, sources, own, { weights, temperature: vectors.temperature }), vectors[weights].weights, 1e-3)
    close(t, 'result', propagated(NORMS, sources, own, { weights, temperature: vectors.temperature }), wanted(vectors[weights].result), 1e-4)
    t.deepEqual(own, before)
  })
}

test('of one source everything is copied, bit for bit', t => {
  const [source] = sources as [typeof sources[number]]
  close(t, 'copy', propagated(NORMS, [source], own, { weights: 'cosine', temperature: 0.01 }), wanted(vectors.singleSource), 1e-6)
  t.deepEqual(propagated(NORMS, [source], own, { weights: 'cosine', temperature: 0.01 }), source.attacked)
})

test('a source shows four numbers per channel', t => {
  t.is(4 * 2 * statisticsGraph(NORMS).parameterCount, vectors.bytesPerSource.float32)
  const trunk = buildTrunk(parseModelSpec({ ...MODEL, trunk: 'client' }, gaussianSites(1, 1, [1, 1, 1]).input).backbone)
  t.is(exchangeOf(charterOf({})).up.get('statistics'), 4 * normsOf(trunk).reduce((sum, { channels }) => sum + channels, 0))
})

const MODEL = { width: 8, layers: 1, heads: 2, hidden: 12, embedder: { kind: 'row' } }
const TRAINING = { rounds: 3, localSteps: 3, batch: 16, lrLocal: 0.02, warmup: 2, weightDecay: 0.05 }
const SITES = gaussianSites(2, 4, [40, 10, 40])

function charterOf (method: Readonly<Record<string, unknown>>, model: Readonly<Record<string, unknown>> = {}): ReturnType<typeof createCharter> {
  return createCharter({ name: 'rbn', seed: 1, input: SITES.input, tasks: SITES.tasks, model: { ...MODEL, trunk: 'client', norm: 'batch', sharedEmbedder: true, sharedHeads: 'all', ...model }, training: TRAINING, merge: { mode: 'all' }, method: { name: 'fedrbn', ...method } })
}

const train = async (method: Readonly<Record<string, unknown>> = {}): Promise<MixOutcome> =>
  await trainMix(backend, SITES, { strategy: 'fedrbn', seed: 1, model: MODEL, training: TRAINING, method: { attackSteps: 2, epsilon: 0.3, ...method } })

function stateOf ({ saved }: MixOutcome, who: string): Readonly<Record<string, Float32Array>> {
  return Object.fromEntries((saved[who] ?? []).map(({ name, tensor }) => [name, tensor.data]))
}

test.serial('weights are common, normalisations are each site\'s own, and only sites that train against attacks show statistics', async t => {
  const outcome = await train()
  const trunk = buildTrunk(outcome.charter.model.backbone)
  const norms = normalisationsOf(trunk)
  const states = SITES.clientIds.map(id => stateOf(outcome, id))
  const host = stateOf(outcome, 'host')
  const inNorms = (i: number): boolean => norms.some(({ offset, size }) => i >= offset && i < offset + size)
  for (const state of states) {
    t.deepEqual(state['head/cloud'], states[0]?.['head/cloud'])
    state.trunk?.forEach((value, i) => { if (!inNorms(i)) t.is(value, host.trunk?.[i] as number) })
  }
  t.notDeepEqual(states[0]?.trunk, states[1]?.trunk)
  const own = (values: Float32Array | undefined): number[] => [...values ?? []].filter((_, i) => inNorms(i))
  t.deepEqual([...new Set(own(host.trunk))].sort(), [0, 1], 'the host\'s gains and biases are the start values')
  const [plain, adversary] = SITES.clientIds.map(id => outcome.sent[id]?.[0] as number) as [number, number]
  const shown = exchangeOf(outcome.charter).up.get('statistics') as number
  t.is(adversary - plain, 4 * shown)
  const sourcesNow = Object.entries(host).filter(([name]) => name.startsWith('source/')).map(([, data]) => ({ clean: data.subarray(0, data.length / 2), attacked: data.subarray(data.length / 2) }))
  t.is(sourcesNow.length, 2)
  const taken = propagated(normsOf(trunk), sourcesNow, states[0]?.statistics as Float32Array, { weights: 'cosine', temperature: 0.01 })
  t.deepEqual(states[0]?.['adversarial/statistics'], taken)
  t.deepEqual(states[1]?.['adversarial/statistics'], sourcesNow[0]?.attacked, 'who has its own keeps it')
  for (const name of ['clean', 'robust', 'clean attacked', 'robust attacked']) t.true(name in outcome.accuracy, name)
})

test.serial('the control takes nothing over: its statistics for attacked rows are its clean ones', async t => {
  const state = stateOf(await train({ propagation: 'own' }), SITES.clientIds[0] as string)
  t.deepEqual(state['adversarial/statistics'], state.statistics)
})

test.serial('sources travel every step where sites learn under them, else after the last one only; learning under them changes what is learnt', async t => {
  const [once, always, warm] = [await train(), await train({ pnc: 0.5, warmupRounds: 1 }), await train({ pnc: 0.5, warmupRounds: 3 })]
  t.true(once.result.bytes.down < always.result.bytes.down)
  t.notDeepEqual(stateOf(once, 'host').trunk, stateOf(always, 'host').trunk)
  t.deepEqual(stateOf(once, 'host').trunk, stateOf(warm, 'host').trunk, 'in the warm-up it counts for nothing')
})

test.serial('the gradient under statistics that stay is that of the loss, gains and biases too', async t => {
  const site = clientData({ id: 'ada', tasks: [SIDE] }, { rows: [24, 4, 4] })
  const model = parseModelSpec({ width: 8, layers: 1, heads: 2, hidden: 12, embedder: { patch: 4 }, trunk: 'client', norm: 'batch' }, PICTURES)
  const form = new DualForm(backend, site, model, 0)
  const dual = new DualModel(form, { seed: 1, training: parseTrainingSpec({}), rate: 0.01, sides: 'statistics' })
  for (let again = 0; again < 5; again++) await dual.pass(site.train, 'attacked')
  const { gradients } = await dual.passFrozen(site.train)
  for (const { name, parameters } of dual.units.filter(({ name }) => gradients.has(name))) {
    const gradient = gradients.get(name) as Float32Array
    const from = parameters.slice()
    const length = Math.hypot(...gradient)
    const lossAt = async (sign: number): Promise<number> => {
      (dual.units.find(unit => unit.name === name) as typeof dual.units[number]).set(from.map((value, i) => value + sign * 0.01 * (gradient[i] as number) / length))
      return (await dual.passFrozen(site.train)).losses[0]?.loss as number
    }
    const slope = (await lossAt(1) - await lossAt(-1)) / 0.02
    await lossAt(0)
    t.true(Math.abs(slope - length) < 0.01 * length + 1e-4, `${name}: ${slope} against ${length}`)
  }
  form.dispose()
})

for (const method of [{ adversaries: 2 }, { propagation: 'nearest' }, { temperature: 0 }, { pnc: -1 }, { warmupRounds: 0.5 }, { attack: 1 }]) {
  test(`options that cannot be are refused: ${JSON.stringify(method)}`, t => { t.throws(() => charterOf(method), { instanceOf: InvalidParametersError }) })
}

test('without batch normalisations there is nothing to take over', t => {
  t.throws(() => charterOf({}, { norm: 'layer' }), { instanceOf: InvalidParametersError })
})
