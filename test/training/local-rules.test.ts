/** Federated baselines against an independent reference on quadratic losses: test/vectors/fl-baselines. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { fc, testProp } from '@fast-check/ava'
import { Contributions, weightedMean } from '../../src/training/contributions.ts'
import { Sgd } from '../../src/training/optimiser.ts'
import { close } from '../helpers/tensors.ts'
import { followed, pulled } from '../../src/training/local-rules.ts'

interface Steps { readonly lr: number, readonly mu: number }
type State = Readonly<Record<string, readonly number[]>>
interface Keyed { readonly states: readonly State[], readonly weights: readonly number[], readonly excludePrefixes: readonly string[], readonly expectedPerClient: readonly State[] }
interface Vectors {
  readonly tolerance: number
  readonly quadratic: { readonly A: readonly number[][][], readonly b: readonly number[][] }
  readonly fedavg: { readonly weights: readonly number[], readonly models: readonly number[][], readonly expected: readonly number[], readonly uniform: readonly number[] }
  readonly splitfed: { readonly weights: readonly number[], readonly clients: readonly number[][], readonly clientsAfter: readonly number[], readonly serverCopies: readonly number[][], readonly v1ServerAfter: readonly number[] }
  readonly fedprox: Steps & { readonly start: readonly number[], readonly clients: ReadonlyArray<{ readonly client: number, readonly steps: readonly number[][] }> }
  readonly ditto: Steps & { readonly globalStart: readonly number[], readonly personalSteps: number, readonly clients: ReadonlyArray<{ readonly client: number, readonly personalBefore: readonly number[], readonly personalAfter: readonly number[], readonly uploaded: readonly number[] }>, readonly globalAfterUniform: readonly number[] }
  readonly fedbn: Keyed
  readonly fedper: Keyed
  readonly pfedme: {
    readonly lambda_: number
    readonly pLr: number
    readonly muReg: number
    readonly K: number
    readonly lr: number
    readonly start: readonly number[]
    readonly batches: number
    readonly clients: ReadonlyArray<{ readonly client: number, readonly theta: readonly number[], readonly uploaded: readonly number[] }>
  }
}

const vectors = JSON.parse(readFileSync(new URL('../vectors/fl-baselines/fl-baselines.json', import.meta.url), 'utf8')) as Vectors
/** Of the largest number of a vector, where single precision takes part. */
const SINGLE = 1e-5

type Numbers = Float32Array | Float64Array

/** A (w - b) of one client. */
function gradient<T extends Numbers> (client: number, w: T): T {
  const [A, b] = [vectors.quadratic.A[client] as number[][], vectors.quadratic.b[client] as number[]]
  return w.map((_, i) => b.reduce((sum, target, j) => sum + (A[i]?.[j] as number) * ((w[j] as number) - target), 0)) as T
}

/** In double precision, to see the formulas alone; in single, through the optimiser that trains. */
const DESCENTS = [
  { id: 'float64', tolerance: vectors.tolerance, from: (values: readonly number[]): Numbers => Float64Array.from(values), step: (w: Numbers, g: Numbers, lr: number, decay = 0): Numbers => w.map((value, i) => value - lr * ((g[i] as number) + decay * value)) },
  {
    id: 'float32',
    tolerance: SINGLE,
    from: (values: readonly number[]): Numbers => Float32Array.from(values),
    step: (w: Numbers, g: Numbers, lr: number, decay = 0): Numbers => {
      const moved = w.slice() as Float32Array
      new Sgd(decay).apply(moved, g as Float32Array, lr)
      return moved
    }
  }
]

for (const { id, tolerance, from, step } of DESCENTS) {
  test(`${id}: FedProx goes the reference's steps`, t => {
    const { start, lr, mu, clients } = vectors.fedprox
    for (const { client, steps } of clients) {
      const anchor = from(start)
      let w = anchor
      for (const want of steps) {
        w = step(w, pulled(gradient(client, w), w, anchor, mu), lr)
        close(t, `client ${client}`, w, want, tolerance)
      }
    }
  })

  test(`${id}: Ditto's personal model and what it uploads`, t => {
    const { globalStart, lr, mu, personalSteps, clients } = vectors.ditto
    for (const { client, personalBefore, personalAfter, uploaded } of clients) {
      const anchor = from(globalStart)
      let [v, w] = [from(personalBefore), anchor]
      for (let i = 0; i < personalSteps; i++) {
        v = step(v, pulled(gradient(client, v), v, anchor, mu), lr)
        w = step(w, pulled(gradient(client, w), w, anchor, 0), lr)
      }
      close(t, `personal of ${client}`, v, personalAfter, tolerance)
      close(t, `upload of ${client}`, w, uploaded, tolerance)
    }
  })

  test(`${id}: pFedMe's theta, and the copy that follows it`, t => {
    const { lambda_: lambda, pLr, muReg, K, lr, start, batches, clients } = vectors.pfedme
    for (const { client, theta: wantTheta, uploaded } of clients) {
      let [theta, w] = [from(start), from(start)]
      for (let batch = 0; batch < batches; batch++) {
        for (let k = 0; k < K; k++) theta = step(theta, pulled(gradient(client, theta), theta, w, lambda), pLr, muReg)
        w = followed(w, theta, lambda * lr)
      }
      close(t, `theta of ${client}`, theta, wantTheta, tolerance)
      close(t, `upload of ${client}`, w, uploaded, tolerance)
    }
  })
}

const { fedavg, splitfed, ditto } = vectors
for (const { id, rows, weights, want } of [
  { id: 'FedAvg by rows', rows: fedavg.models, weights: fedavg.weights, want: fedavg.expected },
  { id: 'FedAvg of equals', rows: fedavg.models, weights: [1, 1, 1], want: fedavg.uniform },
  { id: 'SplitFed, client parts', rows: splitfed.clients, weights: splitfed.weights, want: splitfed.clientsAfter },
  { id: 'SplitFed, copies of the upper model', rows: splitfed.serverCopies, weights: splitfed.weights, want: splitfed.v1ServerAfter },
  { id: 'Ditto, uploads', rows: ditto.clients.map(({ uploaded }) => uploaded), weights: [1, 1], want: ditto.globalAfterUniform }
]) {
  test(`the mean that a host makes: ${id}`, t => {
    const received = new Contributions({ trunk: want.length })
    const ids = rows.map((_, i) => `client ${i}`)
    rows.forEach((row, i) => { received.add(ids[i] as string, 0, weights[i] as number, [{ name: 'trunk', tensor: { shape: [row.length], data: Float32Array.from(row) } }]) })
    close(t, id, received.mean(0, ids).changes.get('trunk') as Float32Array, want, SINGLE)
    const total = weights.reduce((sum, weight) => sum + weight)
    close(t, `${id}, all at once`, weightedMean(rows.map(row => Float32Array.from(row)), weights.map(weight => weight / total), new Float32Array(want.length)), want, SINGLE)
  })
}

for (const id of ['fedbn', 'fedper'] as const) {
  test(`${id}: what is private stays as it was, what is shared becomes one mean`, t => {
    const { states, weights, excludePrefixes, expectedPerClient } = vectors[id]
    const sent = Object.keys(states[0] as State).filter(key => !excludePrefixes.some(prefix => key.startsWith(prefix)))
    const received = new Contributions(Object.fromEntries(sent.map(key => [key, 2])))
    states.forEach((state, i) => { received.add(`client ${i}`, 0, weights[i] as number, sent.map(name => ({ name, tensor: { shape: [2], data: Float32Array.from(state[name] as number[]) } }))) })
    const { changes } = received.mean(0, ['client 0', 'client 1'])
    states.forEach((state, i) => {
      for (const [key, want] of Object.entries(expectedPerClient[i] as State)) close(t, `${key} of client ${i}`, changes.get(key) ?? state[key] as number[], want, SINGLE)
    })
  })
}

// Thousandths: differences that no product rounds to zero.
const numbers = fc.array(fc.integer({ min: -1e6, max: 1e6 }), { minLength: 3, maxLength: 3 }).map(values => Float64Array.from(values, value => value / 1e3))

testProp('without weight a gradient is what it was, bit for bit', [numbers, numbers, numbers], (t, g, values, anchor) => {
  t.deepEqual(pulled(g, values, anchor, 0), g)
})

testProp('at the anchor nothing pulls, and away from it the pull is back to it', [numbers, numbers, fc.double({ min: 0.01, max: 10, noNaN: true })], (t, values, anchor, weight) => {
  const zero = new Float64Array(3)
  close(t, 'at the anchor', pulled(zero, anchor, anchor, weight), zero, 0)
  const pull = pulled(zero, values, anchor, weight)
  for (const i of zero.keys()) t.is(Math.sign(pull[i] as number), Math.sign((values[i] as number) - (anchor[i] as number)))
})

testProp('who follows goes from where it is, at 0, to its leader, at 1', [numbers, numbers, fc.double({ min: 0, max: 1, noNaN: true })], (t, values, leader, share) => {
  t.deepEqual(followed(values, leader, 0), values)
  for (const i of values.keys()) {
    const [from, to, at] = [values[i], leader[i], followed(values, leader, share)[i]] as [number, number, number]
    t.true(Math.min(from, to) - 1e-9 <= at && at <= Math.max(from, to) + 1e-9)
  }
  const arrived = followed(values, leader, 1)
  for (const i of values.keys()) t.true(Math.abs((arrived[i] as number) - (leader[i] as number)) <= 1e-12 * 1e3)
})
