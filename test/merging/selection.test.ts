import { testProp, fc } from '@fast-check/ava'
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { selectDeltas } from '../../src/merging/index.ts'
import { Random } from '../../src/random.ts'
import type { DeltaCandidate, SelectDeltasInit } from '../../src/merging/index.ts'

const f = (...values: number[]): Float32Array => Float32Array.from(values)
const candidate = (id: string, strength: number, delta: DeltaCandidate['delta'], more: Partial<DeltaCandidate> = {}): DeltaCandidate => ({ id, strength, delta, staleness: 0, ...more })
const select = (candidates: DeltaCandidate[], more: Partial<SelectDeltasInit> = {}) => selectDeltas({ candidates, random: new Random(1), ...more })

const CASES: Array<{ id: string, candidates: DeltaCandidate[], want: string[] }> = [
  { id: 'two unrelated deltas of equal strength go together', candidates: [candidate('a', 0.1, f(1, 0), { own: true }), candidate('b', 0.1, f(0, 1))], want: ['a', 'b'] },
  { id: 'a copy adds nothing', candidates: [candidate('a', 0.1, f(1, 0), { own: true }), candidate('b', 0.1, f(2, 0))], want: ['a'] },
  { id: 'a weak delta is not worth its noise', candidates: [candidate('a', 0.1, f(1, 0), { own: true }), candidate('b', 0.01, f(0, 1))], want: ['a'] },
  { id: 'two peers may replace a weak own delta', candidates: [candidate('a', 0.01, f(1, 0, 0), { own: true }), candidate('b', 0.1, f(0, 1, 0)), candidate('c', 0.1, f(0, 0, 1))], want: ['b', 'c'] },
  { id: 'a delta that raises the loss is left out', candidates: [candidate('a', 0.1, f(1, 0), { own: true }), candidate('b', -0.2, f(0, 1))], want: ['a'] },
  { id: 'the own delta stands when nobody helps, itself included', candidates: [candidate('a', -0.1, f(1, 0), { own: true }), candidate('b', -0.2, f(0, 1))], want: ['a'] },
  { id: 'an own delta of unknown strength stands alone', candidates: [candidate('a', NaN, f(1, 0), { own: true })], want: ['a'] },
  { id: 'without own and help there is nothing', candidates: [candidate('b', 0, f(0, 1))], want: [] },
  { id: 'no candidates give nothing', candidates: [], want: [] },
  { id: 'a stale delta fades until it is not worth taking', candidates: [candidate('a', 0.1, f(1, 0), { own: true }), candidate('b', 0.1, f(0, 1), { staleness: 3 })], want: ['a'] },
  { id: 'one of two hosts with other heads is compared by the trunk', candidates: [candidate('a', 0.1, { trunk: f(1, 0), 'head/a': f(9) }), candidate('b', 0.1, { trunk: f(1, 0), 'head/b': f(-9) })], want: ['a'] },
  { id: 'deltas with no unit in common are unrelated', candidates: [candidate('a', 0.1, { x: f(1) }), candidate('b', 0.1, { y: f(1) })], want: ['a', 'b'] }
]
for (const { id, candidates, want } of CASES) {
  test(`selection of deltas: ${id}`, (t) => {
    const { ids, weights, reason } = select(candidates)
    t.deepEqual([...ids], want)
    t.is(weights.length, want.length)
    if (want.length > 0) t.true(Math.abs(weights.reduce((sum, w) => sum + w, 0) - 1) < 1e-12)
    t.true(reason.length > 0)
  })
}

test('staleness halves the say per round, on top of the weights', (t) => {
  const { ids, weights, strength, diversity, reason } = select([
    candidate('a', 0.1, f(1, 0), { own: true, weight: 1 }), candidate('b', 0.2, f(0, 1), { weight: 2, staleness: 1 })
  ])
  t.deepEqual([...ids], ['a', 'b'])
  t.deepEqual([...weights], [0.5, 0.5])
  t.is(strength, 0.1)
  t.is(diversity, 1)
  t.is(reason, '2 of 2 deltas (a 50 %, b 50 %): strength 0.1000, diversity 1.000, score 0.1414')
})

test('what is left out is named with its reason', (t) => {
  const { left } = select([
    candidate('a', 0.1, f(1, 0)), candidate('b', 0.1, f(NaN, 0)), candidate('c', 0.1, f(0, 0)), candidate('d', NaN, f(1, 1)), candidate('e', 0.1, f(1, 1), { weight: 0 })
  ])
  t.deepEqual(left.map(({ id }) => id), ['b', 'c', 'd', 'e'])
  t.regex(left[0]?.reason ?? '', /not finite/)
  t.regex(left[1]?.reason ?? '', /zero/)
  t.regex(left[2]?.reason ?? '', /does not lower/)
  t.regex(left[3]?.reason ?? '', /weight/)
})

testProp('the order of the candidates changes nothing, and sizes keep to the limit', [fc.integer(), fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 4 })], (t, seed, n, maxMembers) => {
  const random = new Random(seed)
  const candidates = Array.from({ length: n }, (_, i) => candidate(`h${i}`, random.next() - 0.2, Float32Array.from({ length: 6 }, () => random.normal()), { staleness: random.int(3), own: i === 0 }))
  const straight = select(candidates, { maxMembers })
  t.deepEqual(select(random.permutation(n).map((i) => candidates[i] as DeltaCandidate), { maxMembers }), straight)
  t.true(straight.ids.length >= 1 || candidates.every((c) => c.strength <= 0))
  t.true(straight.ids.length <= maxMembers)
}, { numRuns: 100 })

test('thirty candidates are searched and keep to the rules', (t) => {
  const random = new Random(5)
  const candidates = Array.from({ length: 30 }, (_, i) => candidate(`h${String(i).padStart(2, '0')}`, 0.05 + 0.05 * random.next(), Float32Array.from({ length: 40 }, () => random.normal())))
  const { ids } = select(candidates)
  t.is(ids.length, 5)
})

const REFUSED: Array<{ id: string, init: Partial<SelectDeltasInit> }> = [
  { id: 'a discount of 0', init: { discount: 0 } },
  { id: 'no members', init: { maxMembers: 0 } },
  { id: 'two candidates of one id', init: { candidates: [candidate('a', 1, f(1)), candidate('a', 1, f(1))] } }
]
for (const { id, init } of REFUSED) {
  test(`selection of deltas refuses ${id}`, (t) => {
    t.throws(() => select([], init), { instanceOf: InvalidParametersError })
  })
}
