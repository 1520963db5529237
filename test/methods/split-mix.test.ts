/** Split-Mix as a consortium: its host's mean against an independent reference (test/vectors/split-mix), its bytes, its shape at toy scale. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { Contributions } from '../../src/training/contributions.ts'
import { GraphBuilder } from '../../src/graph/graph.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { Weights } from '../../src/training/unit.ts'
import { backendOn } from '../helpers/rungs.ts'
import { close, fromNested } from '../helpers/tensors.ts'
import { createCharter } from '../../src/federation/charter.ts'
import { gaussianSites } from '../helpers/gaussian-sites.ts'
import { hostOf, trafficOf } from '../../src/methods/index.ts'
import { numbersOf } from '../../src/graph/graph.ts'
import { baseUnits } from '../../src/methods/split-mix/bases.ts'
import { budgetOf } from '../../src/methods/split-mix/plan.ts'
import { parseTrainingSpec } from '../../src/training/spec.ts'
import { trainMix } from '../helpers/split-mix.ts'
import { vector } from '../../src/training/saved-state.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { MixOutcome, MixRun } from '../helpers/split-mix.ts'
import type { Nested } from '../helpers/tensors.ts'

interface Vectors {
  readonly aggregation: {
    readonly server: Readonly<Record<string, Nested>>
    readonly clients: ReadonlyArray<{ readonly weight: number, readonly params: Readonly<Record<string, Nested>> }>
    readonly expected: Readonly<Record<string, Nested>>
  }
  readonly roundTraffic: { readonly bytesOneWayFloat32: number[] }
  readonly sizes: { readonly base: number }
}

const vectors = JSON.parse(readFileSync(new URL('../vectors/split-mix/splitmix-slices.json', import.meta.url), 'utf8')) as Vectors
const backend = await backendOn('wasm')

const BASES = 4
const MODEL = { width: 16, layers: 1, heads: 4, hidden: 16, embedder: { kind: 'row' } }
const TRAINING = { rounds: 12, localSteps: 4, batch: 16, lrLocal: 0.02, warmup: 10, weightDecay: 0.05 }
const toy = (run: Partial<MixRun>, clients = 8): Promise<MixOutcome> => trainMix(backend, gaussianSites(1, clients, [60, 10, 200]), { seed: 1, model: MODEL, training: TRAINING, ...run })

function charterOf (method: Readonly<Record<string, unknown>>, model: Readonly<Record<string, unknown>> = MODEL): Charter {
  const { input, tasks } = gaussianSites(1, 1, [1, 1, 1])
  return createCharter({ name: 'mix', seed: 1, input, tasks, model: { trunk: 'client', sharedEmbedder: true, sharedHeads: 'all', ...model }, training: TRAINING, merge: { mode: 'all' }, method: { name: 'split-mix', ...method } })
}

test('a base is the mean by samples over those who trained it; one that nobody trained keeps its bits', t => {
  const { server, clients, expected } = vectors.aggregation
  const g = new GraphBuilder()
  g.output('out', g.parameter('weight', [2, 3], { value: 0 }))
  const graph = g.build()
  const units = new Map(Object.entries(server).map(([base, values]) => {
    const unit = new Weights(`base/${base}/trunk`, graph, { seed: 1, training: parseTrainingSpec({}), rate: 1, optimiser: 'sgd' })
    unit.set(fromNested(values).data)
    return [unit.name, unit] as const
  }))
  const untouched = units.get('base/3/trunk')?.parameters.slice()
  const contributions = new Contributions({ ...Object.fromEntries([...units].map(([name]) => [name, 6])), wish: BASES })
  for (const [i, { weight, params }] of clients.entries()) {
    const changes = Object.entries(params).map(([base, values]) => vector(`base/${base}/trunk`, fromNested(values).data.map((value, at) => value - (units.get(`base/${base}/trunk`)?.parameters[at] as number))))
    contributions.add(`c${i}`, 0, 10 * weight, [...changes, vector('wish', Float32Array.of(0, 1, 0, 0))])
  }
  const host = hostOf({ charter: charterOf({ bases: BASES }), units })
  host.apply(0, contributions.take(0, ['c2', 'c0', 'c1']))
  for (const [base, values] of Object.entries(expected)) close(t, base, units.get(`base/${base}/trunk`)?.parameters ?? [], fromNested(values).data, 1e-5)
  t.deepEqual(units.get('base/3/trunk')?.parameters, untouched)
  t.deepEqual(host.told('c1', 1).map(({ name }) => name), ['base/1/trunk'])
  t.is(host.told('newcomer', 1).length, BASES)
  t.is(host.told('c1', 2).length, BASES, 'who missed a step is told everything')
})

test('a site sends four bytes a number of the bases that it trains, and is told as many; all of them at the end', async t => {
  const { sent, result, charter } = await toy({ training: { ...TRAINING, rounds: 3 } }, 4)
  const one = 4 * numbersOf(baseUnits(charter, { bases: BASES, rescaled: false, sides: 'one' }))
  const budgets = [1, 1, 2, 4]
  const wish = 4 * BASES
  for (const [rank, bytes] of Object.values(sent).entries()) t.deepEqual(bytes, new Array(3).fill((budgets[rank] as number) * one + wish))
  t.is((Object.values(sent)[3]?.[0] as number) - wish, BASES * ((Object.values(sent)[0]?.[0] as number) - wish), 'the full width costs K times a K-th')
  const tensors = 8 * one * 2 + 4 * BASES * one
  t.true(result.bytes.down >= tensors && result.bytes.down < 1.1 * tensors + 20_000, `${result.bytes.down} for ${tensors} of tensors`)
  const full = 4 * numbersOf(baseUnits(charter, { bases: 1, rescaled: false, sides: 'one' }))
  t.true(BASES * one < full)
  const { up } = trafficOf(charter)
  t.is(4 * up, 2 * one + wish, 'a plan takes the mean over the four budgets')
})

test('what ten sites send of the paper\'s net is what the reference says', t => {
  const { roundTraffic: { bytesOneWayFloat32: want }, sizes: { base } } = vectors
  t.deepEqual(want.map((_, rank) => 4 * base * budgetOf('groups', { rank, of: want.length }, 8)), want)
})

test.serial('accuracy does not fall with width by more than a point, and all bases are three points above one', async t => {
  const { accuracy } = await toy({})
  const widths = [1, 2, 3, 4].map(count => accuracy[`width ${count}/4`] as number)
  t.log(widths.map(value => value.toFixed(3)).join(' '))
  for (let i = 1; i < widths.length; i++) t.true((widths[i] as number) >= (widths[i - 1] as number) - 0.01)
  t.true((widths[3] as number) >= (widths[0] as number) + 0.03)
  t.is(accuracy.served, accuracy['width 4/4'])
})

test.serial('weak sites alone still train every base', async t => {
  const { saved, charter, accuracy, sent } = await toy({ method: { budgets: 'weak' }, training: { ...TRAINING, rounds: 6 } }, 3)
  const start = new Map([...baseUnits(charter, { bases: BASES, rescaled: false, sides: 'one' })])
  const state = new Map(Object.values(saved)[0]?.map(({ name, tensor }) => [name, tensor.data]))
  for (let base = 0; base < BASES; base++) {
    const unit = new Weights(`base/${base}/trunk`, start.get('trunk') as NonNullable<ReturnType<typeof start.get>>, { seed: 1, training: charter.training, rate: 1, optimiser: 'sgd' })
    t.notDeepEqual(state.get(unit.name), unit.startValues(), unit.name)
  }
  for (const { name, tensor } of Object.values(saved).flat()) if (/^base\/\d\/(trunk|embed|head)[^.]*$/.test(name)) t.deepEqual(tensor.data, state.get(name), `${name} is the same everywhere at the end`)
  t.true(new Set(Object.values(sent).flat()).size === 1)
  t.true((accuracy.served as number) > 1 / 6)
})

test.serial('without attacks in training nothing is attacked and no second set exists; sites that only train clean rows leave it alone', async t => {
  const attacked = await toy({ strategy: 'split-mix-robust', method: { adversaries: 0.5, attackSteps: 1, epsilon: 0.2 }, training: { ...TRAINING, rounds: 2, localSteps: 1 } }, 2)
  t.is(attacked.charter.model.norm, 'batch')
  const [clean, adversary] = Object.values(attacked.sent) as [number[], number[]]
  t.true((clean[0] as number) < (adversary[0] as number))
  const plain = await toy({ training: { ...TRAINING, rounds: 1, localSteps: 1 } }, 2)
  t.is(Object.values(plain.saved).flat().some(({ name }) => name.includes('adversarial')), false)
  t.false('lambda 1' in plain.accuracy)
  for (const name of ['lambda 0', 'lambda 1', 'lambda 1 attacked']) t.true(name in attacked.accuracy, name)
})

for (const method of [{ bases: 0 }, { bases: 3 }, { budgets: 'rich' }, { lambdaTrain: 2 }, { lambda: 0.5 }, { width: '1' }, { sorted: 1 }, { basis: 4 }, { epsilon: 0 }]) {
  test(`options that cannot be are refused: ${JSON.stringify(method)}`, t => {
    t.throws(() => charterOf(method), { instanceOf: InvalidParametersError })
  })
}
