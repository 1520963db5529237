/** FedAMP's anchors: against an independent reference (test/vectors/fl-baselines), and what holds for any models. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { fc, testProp } from '@fast-check/ava'
import { Contributions } from '../../src/training/contributions.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { PersonalCloud, attentionWeights } from '../../src/training/personal-cloud.ts'
import { SavedState } from '../../src/training/saved-state.ts'
import { close } from '../helpers/tensors.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'

interface Vectors {
  readonly tolerance: number
  readonly fedamp: {
    readonly models: readonly number[][]
    readonly sigma: number
    readonly alphaK: number
    readonly clients: ReadonlyArray<{ readonly client: number, readonly coef: readonly number[], readonly selfCoef: number, readonly u: readonly number[] }>
  }
}

const { tolerance, fedamp } = JSON.parse(readFileSync(new URL('../vectors/fl-baselines/fl-baselines.json', import.meta.url), 'utf8')) as Vectors
const SINGLE = 1e-6

type Models = Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>

/** A cloud after one step with these models. */
function cloudOf (models: Models, sizes: Readonly<Record<string, number>>, init: { alphaK: number, sigma?: number } = { alphaK: 0.5 }): { cloud: PersonalCloud, step: (models: Models) => ReturnType<PersonalCloud['apply']> } {
  const received = new Contributions(sizes)
  const cloud = new PersonalCloud(received.places, init)
  let at = 0
  const step = (models: Models): ReturnType<PersonalCloud['apply']> => {
    for (const [client, units] of Object.entries(models)) received.add(client, at, 1, Object.entries(units).map(([name, values]) => ({ name, tensor: { shape: [values.length], data: Float32Array.from(values) } })))
    return cloud.apply(0, received.take(at++, Object.keys(models)))
  }
  step(models)
  return { cloud, step }
}

function numbers (tensors: readonly NamedTensor[]): number[] { return tensors.flatMap(({ tensor }) => [...tensor.data]) }

function square (one: readonly number[], other: readonly number[]): number { return one.reduce((sum, value, i) => sum + (value - (other[i] as number)) ** 2, 0) }

test('weights are the reference\'s: xi_01 is .020328483, xi_02 is .015059711', t => {
  for (const { client, coef, selfCoef } of fedamp.clients) {
    const own = fedamp.models[client] as number[]
    const others = fedamp.models.filter((_, i) => i !== client)
    const weights = attentionWeights(others.map(other => square(own, other)), fedamp)
    close(t, `weights of ${client}`, weights, coef.filter((_, i) => i !== client), tolerance)
    close(t, `own weight of ${client}`, [1 - weights.reduce((sum, weight) => sum + weight)], [selfCoef], tolerance)
  }
  const [first, second] = attentionWeights([square(fedamp.models[0] as number[], fedamp.models[1] as number[]), square(fedamp.models[0] as number[], fedamp.models[2] as number[])], fedamp)
  t.is(first?.toFixed(9), '0.020328483')
  t.is(second?.toFixed(9), '0.015059711')
})

test('anchors are the reference\'s, and the same wherever the start values are', t => {
  for (const shift of [0, 100]) {
    const { cloud } = cloudOf(Object.fromEntries(fedamp.models.map((model, i) => [`client ${i}`, { trunk: model.map(value => value - shift) }])), { trunk: 3 }, fedamp)
    for (const { client, u } of fedamp.clients) close(t, `anchor of ${client}`, numbers(cloud.told(`client ${client}`)).map(value => value + shift), u, shift === 0 ? SINGLE : 1e-4)
  }
})

const distances = fc.array(fc.double({ min: 0, max: 1e9, noNaN: true }), { maxLength: 12 })
const attention = fc.record({ alphaK: fc.double({ min: 0.01, max: 10, noNaN: true }), sigma: fc.double({ min: 0.01, max: 1e6, noNaN: true }) })

testProp('weights are from 0, sum to no more than 1, and the nearer model has no less', [distances, attention], (t, squares, init) => {
  const weights = attentionWeights(squares, init)
  t.true(weights.every(weight => weight >= 0))
  t.true(weights.reduce((sum, weight) => sum + weight, 0) <= 1 + 1e-12)
  for (const i of squares.keys()) for (const j of squares.keys()) if ((squares[i] as number) < (squares[j] as number)) t.true((weights[i] as number) >= (weights[j] as number))
})

const model = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 4, maxLength: 4 }).map(values => values.map(value => value / 100))

testProp('two models weigh each other alike: what one moves the other moves back', [model, model], (t, one, other) => {
  const { cloud } = cloudOf({ one: { trunk: one }, other: { trunk: other } }, { trunk: 4 })
  const [first, second] = [numbers(cloud.told('one')), numbers(cloud.told('other'))]
  for (const i of one.keys()) t.true(Math.abs((first[i] as number) + (second[i] as number) - (one[i] as number) - (other[i] as number)) < 1e-4)
})

testProp('where all models are the same, the anchor is the model', [model, fc.integer({ min: 1, max: 8 })], (t, values, count) => {
  const { cloud } = cloudOf(Object.fromEntries(Array.from({ length: count }, (_, i) => [`client ${i}`, { trunk: values }])), { trunk: 4 })
  t.deepEqual(numbers(cloud.told('client 0')), [...Float32Array.from(values)])
})

testProp('the anchor lies among the models', [fc.array(model, { minLength: 1, maxLength: 6 })], (t, models) => {
  const { cloud } = cloudOf(Object.fromEntries(models.map((trunk, i) => [`client ${i}`, { trunk }])), { trunk: 4 })
  numbers(cloud.told('client 0')).forEach((value, i) => {
    const at = models.map(each => each[i] as number)
    t.true(value >= Math.min(...at) - 1e-5 && value <= Math.max(...at) + 1e-5)
  })
})

test('left to itself sigma is the median squared distance: the weights do not depend on the scale of the models', t => {
  const models = [[0, 0], [1, 0], [0, 3]]
  const at = (scale: number): number[] => {
    const { cloud } = cloudOf(Object.fromEntries(models.map((model, i) => [`client ${i}`, { trunk: model.map(value => value * scale) }])), { trunk: 2 })
    return numbers(cloud.told('client 0')).map(value => value / scale)
  }
  // Squared distances 1, 9 and 10, their median 9: the weights of client 0 are exp(-1/9) / 2 and exp(-1) / 2.
  const want = [Math.exp(-1 / 9) / 2, 3 * Math.exp(-1) / 2]
  for (const scale of [1, 1e-3, 1e4]) close(t, `scale ${scale}`, at(scale), want, SINGLE)
})

test('a unit that a site does not have is no part of a distance to it, and gets no weight there', t => {
  const { cloud } = cloudOf({ ada: { trunk: [0], 'head/x': [8] }, ben: { trunk: [1] } }, { trunk: 1, 'head/x': 1 }, { alphaK: 0.5, sigma: 1 })
  const weight = 0.5 * Math.exp(-1)
  close(t, 'ada', numbers(cloud.told('ada')), [weight, 8], SINGLE)
  close(t, 'ben', numbers(cloud.told('ben')), [1 - weight], SINGLE)
})

test('weight is given to those who took part; a late one is answered from its last model, a newcomer from the start values', t => {
  const { cloud, step } = cloudOf({ ada: { trunk: [0] }, ben: { trunk: [2] }, cyd: { trunk: [4] } }, { trunk: 1 }, { alphaK: 0.5, sigma: 4 })
  step({ ada: { trunk: [2] }, cyd: { trunk: [4] } })
  const xi = (square: number): number => 0.5 * Math.exp(-square / 4) / 4
  close(t, 'late ben', numbers(cloud.told('ben')), [2 + 2 * xi(4)], SINGLE)
  close(t, 'new dan', numbers(cloud.told('dan')), [2 * xi(4) + 4 * xi(16)], SINGLE)
  cloud.drop('ben')
  close(t, 'ben has left and asks again', numbers(cloud.told('ben')), [2 + 2 * xi(4)], SINGLE)
  step({ ada: { trunk: [2] }, cyd: { trunk: [4] } })
  t.deepEqual(numbers(cloud.told('ben')), numbers(cloud.told('dan')), 'forgotten with the next step')
})

test('before the first step there is nothing to tell', t => {
  t.deepEqual(new PersonalCloud(new Contributions({ trunk: 1 }).places, { alphaK: 0.5 }).told('ada'), [])
})

test('numbers as large as they come leave finite anchors', t => {
  const { cloud } = cloudOf({ ada: { trunk: [3e38] }, ben: { trunk: [-3e38] }, cyd: { trunk: [1] } }, { trunk: 1 })
  for (const client of ['ada', 'ben', 'cyd']) t.true(numbers(cloud.told(client)).every(Number.isFinite), client)
})

test('saved and loaded it answers as before; another model\'s is refused and changes nothing', t => {
  const { cloud, step } = cloudOf({ ada: { trunk: [0.1] }, ben: { trunk: [2] }, cyd: { trunk: [4], 'head/x': [1] } }, { trunk: 1, 'head/x': 1 })
  step({ ada: { trunk: [0.7] }, cyd: { trunk: [4.1], 'head/x': [1] } })
  const loaded = new PersonalCloud(new Contributions({ trunk: 1, 'head/x': 1 }).places, { alphaK: 0.5 })
  loaded.load(new SavedState(cloud.save()))
  for (const client of ['ada', 'ben', 'cyd', 'dan']) t.deepEqual(loaded.told(client), cloud.told(client), client)
  t.deepEqual(loaded.save(), cloud.save())
  const other = new PersonalCloud(new Contributions({ trunk: 2 }).places, { alphaK: 0.5 })
  t.throws(() => { other.load(new SavedState(cloud.save())) }, { instanceOf: InvalidParametersError })
  t.deepEqual(other.told('ada'), [])
})
