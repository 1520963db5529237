import { testProp, fc } from '@fast-check/ava'
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { capShares, mergeOuter } from '../../src/merging/outer.ts'
import { Random } from '../../src/random.ts'
import type { HostDelta, OuterInit } from '../../src/merging/outer.ts'

const f = (...values: number[]): Float32Array => Float32Array.from(values)

test('two meetings, worked by hand', (t) => {
  // shares 1/4 and 3/4: mean delta = (1, -1); d = (-1, 1); v = d; step = d + .5 v = (-1.5, 1.5)
  const first = mergeOuter({
    anchor: { trunk: f(10, 20) },
    deltas: [{ id: 'a', delta: { trunk: f(4, -1) }, weight: 1 }, { id: 'b', delta: { trunk: f(0, -1) }, weight: 3 }]
  })
  t.deepEqual(first.state, { trunk: f(11.5, 18.5) })
  t.deepEqual(first.velocity, { trunk: f(-1, 1) })
  t.deepEqual(first.direction, { trunk: f(-1.5, 1.5) })
  t.deepEqual(first.shares, { trunk: { a: 0.25, b: 0.75 } })
  // d = (0, 2); v = .5 v + d = (-.5, 2.5); step = d + .5 v = (-.25, 3.25); rate .4
  const second = mergeOuter({
    anchor: first.state,
    velocity: first.velocity,
    rate: 0.4,
    deltas: [{ id: 'a', delta: { trunk: f(0, -2) }, weight: 1 }]
  })
  t.deepEqual(second.velocity, { trunk: f(-0.5, 2.5) })
  t.deepEqual(second.state, { trunk: f(11.6, 17.2) })
})

test('without momentum the merge is the weighted mean of the trunks', (t) => {
  const { state } = mergeOuter({
    anchor: { trunk: f(1, 1) },
    momentum: 0,
    deltas: [{ id: 'a', delta: { trunk: f(1, 0) }, weight: 2 }, { id: 'b', delta: { trunk: f(3, 2) }, weight: 2 }]
  })
  t.deepEqual(state, { trunk: f(3, 2) })
})

testProp('the order of the hosts changes no bit', [fc.integer(), fc.integer({ min: 1, max: 7 })], (t, seed, n) => {
  const random = new Random(seed)
  const deltas: HostDelta[] = Array.from({ length: n }, (_, i) => ({
    id: `host-${i}`, weight: 1 + random.int(9), delta: { trunk: Float32Array.from({ length: 20 }, () => random.normal()) }
  }))
  const anchor = { trunk: Float32Array.from({ length: 20 }, () => random.normal()) }
  const velocity = { trunk: Float32Array.from({ length: 20 }, () => random.normal()) }
  const straight = mergeOuter({ anchor, velocity, deltas })
  t.deepEqual(mergeOuter({ anchor, velocity, deltas: random.permutation(n).map((i) => deltas[i] as HostDelta) }), straight)
}, { numRuns: 50 })

test('a unit is averaged over the hosts that have it; one that nobody sent stays as it is', (t) => {
  const anchor = { trunk: f(0), 'head/a': f(1), 'head/b': f(2) }
  const { state, velocity, shares } = mergeOuter({
    anchor,
    velocity: { 'head/b': f(9) },
    momentum: 0,
    deltas: [{ id: 'x', delta: { trunk: f(1), 'head/a': f(5) }, weight: 1 }, { id: 'y', delta: { trunk: f(3) }, weight: 1 }]
  })
  t.deepEqual(state, { trunk: f(2), 'head/a': f(6), 'head/b': f(2) })
  t.deepEqual(velocity, { trunk: f(-2), 'head/a': f(-5), 'head/b': f(9) })
  t.deepEqual(shares, { trunk: { x: 0.5, y: 0.5 }, 'head/a': { x: 1 } })
  t.not(state['head/b'], anchor['head/b'])
})

const REJECTED: Array<{ id: string, delta: Record<string, Float32Array>, weight?: number, reason: RegExp }> = [
  { id: 'NaN', delta: { trunk: f(NaN, 0) }, reason: /not finite/ },
  { id: 'infinity', delta: { trunk: f(0, -Infinity) }, reason: /not finite/ },
  { id: 'another length', delta: { trunk: f(1) }, reason: /has 1 numbers, the model 2/ },
  { id: 'an unknown unit', delta: { trunk: f(1, 1), extra: f(1) }, reason: /'extra' is not in the model/ },
  { id: 'a unit named like a property of objects', delta: { toString: f(1) }, reason: /not in the model/ },
  { id: 'no units', delta: {}, reason: /no units/ },
  { id: 'weight 0', delta: { trunk: f(1, 1) }, weight: 0, reason: /weight 0/ },
  { id: 'a weight of NaN', delta: { trunk: f(1, 1) }, weight: NaN, reason: /weight NaN/ }
]
for (const { id, delta, weight, reason } of REJECTED) {
  test(`a delta with ${id} is left out and named`, (t) => {
    const good: HostDelta = { id: 'good', delta: { trunk: f(1, 2) }, weight: 1 }
    const result = mergeOuter({ anchor: { trunk: f(0, 0) }, deltas: [{ id: 'bad', delta, weight: weight ?? 1 }, good] })
    t.deepEqual(result.accepted, ['good'])
    t.is(result.rejected[0]?.id, 'bad')
    t.regex(result.rejected[0]?.reason ?? '', reason)
    t.deepEqual(result.state, mergeOuter({ anchor: { trunk: f(0, 0) }, deltas: [good] }).state)
  })
}

test('nobody to merge with leaves state and velocity alone', (t) => {
  const { state, velocity } = mergeOuter({ anchor: { trunk: f(1, 2) }, velocity: { trunk: f(3, 4) }, deltas: [] })
  t.deepEqual(state, { trunk: f(1, 2) })
  t.deepEqual(velocity, { trunk: f(3, 4) })
})

test('of three or more hosts none has more than half of the say; of two the weights hold', (t) => {
  const host = (id: string, weight: number): HostDelta => ({ id, delta: { trunk: f(1) }, weight })
  const anchor = { trunk: f(0) }
  t.deepEqual(mergeOuter({ anchor, deltas: [host('a', 8), host('b', 1), host('c', 1)] }).shares, { trunk: { a: 0.5, b: 0.25, c: 0.25 } })
  t.deepEqual(mergeOuter({ anchor, deltas: [host('a', 8), host('b', 2)] }).shares, { trunk: { a: 0.8, b: 0.2 } })
  t.deepEqual(mergeOuter({ anchor, shareCap: 1, deltas: [host('a', 8), host('b', 1), host('c', 1)] }).shares, { trunk: { a: 0.8, b: 0.1, c: 0.1 } })
})

testProp('capped shares sum to 1, keep the order of the weights and respect the cap', [
  fc.array(fc.double({ min: 1e-3, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 12 }), fc.double({ min: 0.05, max: 1, noNaN: true })
], (t, weights, cap) => {
  const shares = capShares(weights, cap)
  t.true(Math.abs(shares.reduce((sum, s) => sum + s, 0) - 1) < 1e-9)
  const bound = Math.max(cap, 1 / weights.length) + 1e-12
  shares.forEach((s, i) => {
    t.true(s >= 0 && s <= bound)
    shares.forEach((other, j) => t.true((weights[i] as number) < (weights[j] as number) ? s <= other + 1e-12 : true))
  })
})

test('with three hosts a boosted delta is scaled to three median lengths', (t) => {
  const deltas = [1, 1, 100].map((size, i) => ({ id: `h${i}`, delta: { trunk: f(size, 0) }, weight: 1 }))
  const { state, clipped } = mergeOuter({ anchor: { trunk: f(0, 0) }, momentum: 0, deltas })
  t.deepEqual(state, { trunk: f(5 / 3, 0) })
  t.deepEqual(clipped, ['h2 trunk'])
  t.deepEqual(mergeOuter({ anchor: { trunk: f(0, 0) }, momentum: 0, clip: Infinity, deltas }).state, { trunk: f(34, 0) })
})

test('the inputs are not written to', (t) => {
  const anchor = { trunk: f(1, 2) }
  const velocity = { trunk: f(1, 1) }
  const deltas = [{ id: 'a', delta: { trunk: f(3, 4) }, weight: 1 }]
  mergeOuter({ anchor, velocity, deltas })
  t.deepEqual([anchor.trunk, velocity.trunk, deltas[0]?.delta.trunk], [f(1, 2), f(1, 1), f(3, 4)])
})

const REFUSED: Array<{ id: string, init: Partial<OuterInit> }> = [
  { id: 'a rate of 0', init: { rate: 0 } },
  { id: 'a momentum of 1', init: { momentum: 1 } },
  { id: 'a cap of 0', init: { shareCap: 0 } },
  { id: 'a clip that is no number', init: { clip: NaN } },
  { id: 'a velocity of another length', init: { velocity: { trunk: f(1) } } },
  { id: 'two deltas of one host', init: { deltas: [{ id: 'a', delta: { trunk: f(1, 1) }, weight: 1 }, { id: 'a', delta: { trunk: f(1, 1) }, weight: 1 }] } }
]
for (const { id, init } of REFUSED) {
  test(`merging refuses ${id}`, (t) => {
    t.throws(() => mergeOuter({ anchor: { trunk: f(0, 0) }, deltas: [], ...init }), { instanceOf: InvalidParametersError })
  })
}
