/** Gradient rules on the hosts' deltas: the second level of projection, as a host computes it and an audit again. */
import { readFileSync } from 'node:fs'
import { fc, testProp } from '@fast-check/ava'
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { Random, deriveSeed } from '../../src/random.ts'
import { agreedHash, agreedOf, conflictsOf, mergeDeltas } from '../../src/training/merge.ts'
import { createRule, minDirectionCosine, ruleNames } from '../../src/projection/index.ts'
import { ruleOfDeltas } from '../../src/training/rules.ts'
import type { DeltaEntry } from '../../src/training/host-trainer.ts'
import type { MergeRule } from '../../src/training/rules.ts'
import type { MergeTerms } from '../../src/training/merge.ts'

const f = (...values: number[]): Float32Array => Float32Array.from(values)
const PLAIN: MergeTerms = { mode: 'all', rate: 1, momentum: 0, shareCap: 1, clip: 1e9 }
const terms = (rule: string, changes: Partial<MergeRule> = {}): MergeTerms => ({ ...PLAIN, projection: { rule, options: {}, strict: true, seed: 7, ...changes } })
const ROUND = { round: 4, history: false }

function drawn (seed: number, n: number, d = 30): DeltaEntry[] {
  const random = new Random(seed)
  return Array.from({ length: n }, (_, i) => ({ id: `host-${i}`, weight: 1 + random.int(9), units: { trunk: Float32Array.from({ length: d }, () => random.normal()) } }))
}

const rowsOf = (deltas: readonly DeltaEntry[]): Float32Array[] => deltas.map(({ units }) => units.trunk as Float32Array)
const start = (d = 30): { anchor: { trunk: Float32Array }, velocity: undefined } => ({ anchor: { trunk: new Float32Array(d) }, velocity: undefined })

interface GpCase { name: string, grads: number[][], history: number[] | null, weights: number[], attention: 'none' | 'softmax-cos' | 'softmax-dot', tau: number, aggregated: number[] }
const { cases } = JSON.parse(readFileSync(new URL('../vectors/gradient-rules/fedbone-gp.json', import.meta.url), 'utf8')) as { cases: GpCase[] }
for (const { name, grads, history, weights, attention, tau, aggregated } of cases) {
  test(`gp over hosts' deltas of one step is gp over their gradients: ${name}`, t => {
    const deltas = grads.map((row, i) => ({ id: `peer-${i}`, weight: weights[i] as number, units: { trunk: f(...row.map(x => -x)) } }))
    // a descent has the sign of its gradient turned round, what was agreed on too
    const agreed = history === null ? undefined : f(...history.map(x => -x))
    const { state, met } = mergeDeltas(terms('gp', { options: { attention, tau, order: 'ids' }, strict: false }), { ...start(aggregated.length), agreed }, deltas, { round: 1, history: agreed !== undefined })
    const scale = Math.max(...grads.flat().map(Math.abs))
    aggregated.forEach((x, k) => {
      t.true(Math.abs((state.trunk?.[k] as number) + x) <= 1e-6 * scale, `${state.trunk?.[k]} for ${-x}`)
      t.true(Math.abs((met?.delta[k] as number) + x) <= 1e-6 * scale)
    })
  })
}

for (const rule of ruleNames) {
  testProp(`${rule} over hosts' deltas: the order of arrival changes no bit, and strict works against no host`, [fc.integer(), fc.integer({ min: 2, max: 6 })], (t, seed, n) => {
    const deltas = drawn(seed, n)
    const straight = mergeDeltas(terms(rule), start(), deltas, ROUND)
    const mixed = mergeDeltas(terms(rule), start(), new Random(seed).permutation(n).map(i => deltas[i] as DeltaEntry), ROUND)
    t.deepEqual(mixed.state, straight.state)
    t.deepEqual(conflictsOf(mixed), conflictsOf(straight))
    t.true((conflictsOf(straight)?.minDirectionCosine as number) >= -1e-6)
    t.true(minDirectionCosine(straight.state.trunk as Float32Array, rowsOf(deltas)) >= -1e-6)
  }, { numRuns: 25 })

  test(`${rule} over hosts' deltas is the rule itself, with the hosts' shares as weights and chance from seed and round`, t => {
    const deltas = drawn(3, 4)
    const { state, shares } = mergeDeltas(terms(rule), start(), deltas, ROUND)
    const want = ruleOfDeltas(terms(rule).projection as MergeRule).aggregate(rowsOf(deltas), {
      ids: deltas.map(({ id }) => id),
      weights: deltas.map(({ id }) => shares.trunk?.[id] as number),
      random: new Random(deriveSeed(7, 'merge', 4))
    }).update
    t.deepEqual(state.trunk, want)
  })
}

test('left out, the mean of the deltas is what it always was, and its conflicts are reported', t => {
  const deltas: DeltaEntry[] = [{ id: 'a', weight: 1, units: { trunk: f(2, 0) } }, { id: 'b', weight: 3, units: { trunk: f(-1, 1) } }]
  const result = mergeDeltas(PLAIN, start(2), deltas, ROUND)
  t.deepEqual(result.state, { trunk: f(-0.25, 0.75) })
  const { hosts, pairs, conflictPairs, minCosine, minDirectionCosine: least } = conflictsOf(result) ?? {}
  t.deepEqual([hosts, pairs, conflictPairs], [2, 1, 1])
  t.true(Math.abs((minCosine as number) + Math.SQRT1_2) < 1e-7)
  t.true(Math.abs((least as number) + 0.25 / Math.hypot(0.25, 0.75)) < 1e-6)
  t.is(conflictsOf(mergeDeltas(PLAIN, start(2), deltas.slice(0, 1), ROUND)), undefined, 'a host alone has nobody to conflict with')
})

test('rate and momentum act on what the rule made, as they do on the mean', t => {
  const deltas: DeltaEntry[] = [{ id: 'a', weight: 1, units: { trunk: f(2, 0) } }, { id: 'b', weight: 1, units: { trunk: f(-1, 1) } }]
  // upgrad of the two is (.5, 1); d = (-.5, -1); v = .5 (2, 0) + d = (.5, -1); step = d + .5 v = (-.25, -1.5); rate .4
  const { state, velocity } = mergeDeltas({ ...terms('upgrad'), rate: 0.4, momentum: 0.5 }, { anchor: { trunk: f(1, 1) }, velocity: { trunk: f(2, 0) } }, deltas, ROUND)
  t.deepEqual(velocity, { trunk: f(0.5, -1) })
  ;[1.1, 1.6].forEach((x, k) => t.true(Math.abs((state.trunk?.[k] as number) - x) < 1e-6))
})

test('a host that leaves changes the shares of the others and nothing else', t => {
  const [a, b, c] = drawn(5, 3) as [DeltaEntry, DeltaEntry, DeltaEntry]
  for (const rule of ['gp', 'cagrad', 'upgrad']) {
    const left = mergeDeltas(terms(rule), start(), [a, b], ROUND)
    const refused = mergeDeltas(terms(rule), start(), [a, b, { ...c, units: { trunk: f(NaN) } }], ROUND)
    t.deepEqual(refused.state, left.state, rule)
    t.deepEqual(refused.rejected.map(({ id }) => id), ['host-2'])
    t.true(Math.abs((left.shares.trunk?.['host-0'] as number) - a.weight / (a.weight + b.weight)) < 1e-12)
  }
})

test('rules act on the trunk: heads and embedders keep the mean over the hosts that have them', t => {
  const deltas: DeltaEntry[] = [
    { id: 'a', weight: 1, units: { trunk: f(2, 0), 'head/x': f(2, 0) } },
    { id: 'b', weight: 1, units: { trunk: f(-1, 1), 'head/x': f(-1, 1) } }
  ]
  const { state } = mergeDeltas(terms('upgrad'), { anchor: { trunk: f(0, 0), 'head/x': f(0, 0) }, velocity: undefined }, deltas, ROUND)
  t.deepEqual(state['head/x'], f(0.5, 0.5))
  t.deepEqual(state.trunk, f(0.5, 1))
})

test('a delta far longer than the others is scaled down before the rule sees it', t => {
  const deltas = drawn(9, 4)
  const boosted = deltas.map((delta, i) => i === 0 ? { ...delta, units: { trunk: rowsOf([delta])[0]?.map(x => 1000 * x) as Float32Array } } : delta)
  const clipped = mergeDeltas({ ...terms('mgda'), clip: 3 }, start(), boosted, ROUND)
  t.deepEqual(clipped.clipped, ['host-0 trunk'])
  const norms = clipped.met?.stats.norms as readonly number[]
  t.true((norms[0] as number) <= 3.0001 * (norms.slice(1).sort((x, y) => x - y)[1] as number), norms.join(', '))
})

test('what a rule takes deltas by, unless the charter says otherwise: means, and cagrad with the radius published for them', t => {
  const rows = rowsOf(drawn(2, 3))
  const by = (rule: string, options: MergeRule['options'] = {}): Float32Array =>
    ruleOfDeltas({ rule, options, strict: false, seed: 1 }).aggregate(rows, { ids: ['a', 'b', 'c'], random: new Random(1) }).update
  const plain = (rule: string, options: object): Float32Array => createRule(rule, { strict: false, ...options }).aggregate(rows, { ids: ['a', 'b', 'c'], random: new Random(1) }).update
  t.deepEqual(by('cagrad'), plain('cagrad', { c: 0.4 }))
  t.deepEqual(by('cagrad', { c: 0.1 }), plain('cagrad', { c: 0.1 }))
  t.deepEqual(by('pcgrad'), plain('pcgrad', { reduce: 'mean' }))
  t.deepEqual(by('graddrop', { leak: 0.5 }), plain('graddrop', { reduce: 'mean', leak: 0.5 }))
})

test('what was agreed on is kept for a rule that looks at it, and for no other', t => {
  const deltas = drawn(1, 3)
  const kept = (merge: MergeTerms): Float32Array | undefined => agreedOf(merge, mergeDeltas(merge, start(), deltas, ROUND))
  t.is(kept(terms('gp'))?.length, 30)
  t.is(kept(terms('gp', { options: { attention: 'none' } })), undefined)
  t.is(kept(terms('cagrad')), undefined)
  t.is(kept(PLAIN), undefined)
  const one = kept(terms('gp')) as Float32Array
  t.regex(agreedHash(one), /^[0-9a-f]{64}$/)
  t.not(agreedHash(one.map(x => x + 1)), agreedHash(one))
})

test('a rule that there is not, as a forged ledger may name it, is refused', t => {
  for (const projection of [{ rule: 'best', options: {} }, { rule: 'gp', options: { c: 1 } }]) {
    t.throws(() => mergeDeltas({ ...PLAIN, projection: { ...projection, strict: true, seed: 1 } }, start(), drawn(1, 2), ROUND), { instanceOf: InvalidParametersError })
  }
})
