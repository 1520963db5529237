/** Split-Mix's arithmetic against an independent reference (test/vectors/split-mix), and what must hold for any plan. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { basesAt, budgetOf, orderOf, pickBases } from '../../src/methods/split-mix/plan.ts'
import { baseUnits, narrowed, rescaled, rescaledBound, slicesOf } from '../../src/methods/split-mix/bases.ts'
import { LEVEL, PICTURES, SIDE } from '../helpers/synthetic.ts'
import { isAdversary } from '../../src/robustness/adversaries.ts'
import { meanTensor } from '../../src/tensor/tensor.ts'
import { close, fromNested } from '../helpers/tensors.ts'
import { parseModelSpec } from '../../src/models/spec.ts'
import type { Nested } from '../helpers/tensors.ts'

interface Vectors {
  readonly K: number
  readonly sliceTables: ReadonlyArray<{ readonly width: number, readonly per: number, readonly slices: number[][], readonly valid: boolean }>
  readonly budget: { readonly clients: number, readonly basesPerClient: number[] }
  readonly sampling: { readonly roundRobinPermutation: number[], readonly otherShuffles: number[], readonly sampled: number[][] }
  readonly mixing: { readonly logits: Nested[], readonly meanOfFirst: Readonly<Record<string, Nested>>, readonly valAcc: number[], readonly sortedOrder: number[], readonly meanOfBest2: Nested, readonly argmaxFirst4: number[] }
  readonly rescaledInit: ReadonlyArray<{ readonly fanIn: number, readonly widthScale: number, readonly weightBound: number }>
}

const vectors = JSON.parse(readFileSync(new URL('../vectors/split-mix/splitmix-slices.json', import.meta.url), 'utf8')) as Vectors
const { K } = vectors
const MODEL = parseModelSpec({ width: 16, layers: 1, heads: 4, hidden: 32, embedder: { patch: 4 }, trunk: 'client' }, PICTURES)

for (const { width, per, slices, valid } of vectors.sliceTables) {
  test(`a layer of ${width} ${valid ? `has slices of ${per}` : 'does not divide'}`, t => {
    if (valid) t.deepEqual(slicesOf(width, K).map(slice => [...slice]), slices)
    else t.throws(() => slicesOf(width, K), { instanceOf: InvalidParametersError })
  })
}

test('budgets go up with the rank, an equal part of the sites each', t => {
  const { clients: of, basesPerClient } = vectors.budget
  t.deepEqual(Array.from({ length: of }, (_, rank) => budgetOf('groups', { rank, of }, K)), basesPerClient)
  t.deepEqual([0, 1, 2, 3].map(rank => budgetOf('groups', { rank, of: 4 }, 4)), [1, 1, 2, 4])
  t.is(budgetOf('weak', { rank: 3, of: 4 }, 4), 1)
  t.is(budgetOf('full', { rank: 0, of: 4 }, 4), 4)
})

test('the base in turn comes first, then others in the shuffled order', t => {
  const { roundRobinPermutation: turn, otherShuffles, sampled } = vectors.sampling
  const got = sampled.map((_, visit) => pickBases(turn[visit % K] as number, otherShuffles, vectors.budget.basesPerClient[visit] as number))
  t.deepEqual(got, sampled)
})

for (const seats of [3, 4, 10]) {
  test(`${seats} sites: any K visits in turn begin with every base once, and a site's bases are distinct`, t => {
    const visits = Array.from({ length: 2 * K }, (_, step) => Array.from({ length: seats }, (_, rank) => basesAt(step, { rank, of: seats }, { seed: 5, bases: K, count: 1 + rank % K }))).flat()
    for (let from = 0; from + K <= visits.length; from += K) t.is(new Set(visits.slice(from, from + K).map(bases => bases[0])).size, K)
    for (const bases of visits) t.is(new Set(bases).size, bases.length)
    t.true(visits.every((bases, visit) => bases.length === 1 + visit % seats % K))
  })
}

test('the mixture is the mean of raw outputs, whatever their order; best first, ties to the lower index', t => {
  const { logits, meanOfFirst, valAcc, sortedOrder, meanOfBest2, argmaxFirst4 } = vectors.mixing
  const outputs = logits.map(fromNested)
  for (const [count, want] of Object.entries(meanOfFirst)) close(t, count, meanTensor(outputs.slice(0, Number(count))).data, fromNested(want).data, 1e-5)
  t.deepEqual(meanTensor(outputs.slice(0, 1)), outputs[0])
  close(t, 'permuted', meanTensor([...outputs].reverse()).data, meanTensor(outputs).data, 1e-6)
  t.deepEqual(orderOf(valAcc), sortedOrder)
  close(t, 'best two', meanTensor(sortedOrder.slice(0, 2).map(base => outputs[base] as typeof outputs[number])).data, fromNested(meanOfBest2).data, 1e-5)
  const { data } = meanTensor(outputs)
  t.deepEqual([0, 1, 2].map(row => [...data.subarray(5 * row, 5 * row + 5)]).map(row => row.indexOf(Math.max(...row))), argmaxFirst4)
})

test('start values of a layer with a narrowed input are drawn as if it were as wide as in the full model', t => {
  for (const { fanIn, widthScale, weightBound } of vectors.rescaledInit) t.true(Math.abs(rescaledBound(fanIn ** -0.5, widthScale) - weightBound) < 1e-9 * weightBound + 1e-12)
  const [plain, wide] = [false, true].map(rescaled => baseUnits({ model: MODEL, input: PICTURES, tasks: [SIDE] }, { bases: 4, rescaled, sides: 'one' }))
  const deviation = (units: typeof plain, unit: string, parameter: string): number => (units?.get(unit)?.parameters.find(({ name }) => name === parameter)?.initial as { deviation: number }).deviation
  t.is(deviation(wide, 'trunk', 'block0.up.weight'), deviation(plain, 'trunk', 'block0.up.weight') / 2)
  t.is(deviation(wide, 'head/side', 'readout.weight'), deviation(plain, 'head/side', 'readout.weight') / 2)
  t.is(deviation(wide, 'embed/image', 'weight'), deviation(plain, 'embed/image', 'weight'))
  const graph = plain?.get('trunk') as Parameters<typeof rescaled>[1]
  t.deepEqual(rescaled('trunk', graph, 1), graph)
})

test('a base has a K-th of every width, and all of them together far fewer weights than the full model', t => {
  t.deepEqual(narrowed(MODEL, 4).backbone, { ...MODEL.backbone, width: 4, hidden: 8, heads: 1 })
  const size = (bases: number): number => [...baseUnits({ model: MODEL, input: PICTURES, tasks: [SIDE, LEVEL] }, { bases, rescaled: false, sides: 'one' }).values()].reduce((sum, { parameterCount }) => sum + parameterCount, 0)
  t.true(4 * size(4) < size(1))
  for (const backbone of [{ width: 18 }, { hidden: 30 }]) t.throws(() => narrowed({ ...MODEL, backbone: { ...MODEL.backbone, ...backbone } }, 4), { instanceOf: InvalidParametersError })
})

test('dual normalisation adds four numbers per channel to batch normalisation, two to layer normalisation', t => {
  const size = (norm: 'batch' | 'layer', sides: 'one' | 'statistics' | 'all'): number => {
    const model = parseModelSpec({ width: 16, layers: 1, heads: 4, hidden: 32, embedder: { patch: 4 }, trunk: 'client', norm }, PICTURES)
    return [...baseUnits({ model, input: PICTURES, tasks: [SIDE] }, { bases: 4, rescaled: false, sides }).values()].reduce((sum, { parameterCount }) => sum + parameterCount, 0)
  }
  const channels = 3 * 4
  t.is(size('batch', 'one') - size('layer', 'one'), 2 * channels)
  t.is(size('batch', 'all') - size('batch', 'one'), 4 * channels)
  t.is(size('batch', 'statistics') - size('batch', 'one'), 2 * channels)
  t.is(size('layer', 'all') - size('layer', 'one'), 2 * channels)
})

test('a share of the sites trains against attacks, spread over the ranks', t => {
  const among = (share: number): number => Array.from({ length: 10 }, (_, rank) => isAdversary(share, { rank })).filter(Boolean).length
  t.deepEqual([0, 0.2, 0.5, 1].map(among), [0, 2, 5, 10])
})
