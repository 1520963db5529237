import { testProp, fc } from '@fast-check/ava'
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { attentionScale } from '../../src/projection/gp.ts'
import { dot, gram, norm } from '../../src/projection/gram.ts'
import { cagrad, createRule, gp, graddrop, imtlG, mean, mgda, minDirectionCosine, nashMtl, pcgrad, ruleNames, ruleSource, upgrad, withStrict } from '../../src/projection/index.ts'
import { Random } from '../../src/random.ts'
import type { SolvedRule, RuleOptions } from '../../src/projection/index.ts'

const ids = (n: number): string[] => Array.from({ length: n }, (_, i) => `peer-${String(i).padStart(2, '0')}`)
const context = (n: number, seed = 7) => ({ ids: ids(n), random: new Random(seed) })

/** n rows of d standard normals on top of a direction they share to the degree `common`. */
function rowsOf (seed: number, n: number, d: number, common = 0): Float32Array[] {
  const random = new Random(seed)
  const shared = Float32Array.from({ length: d }, () => common * random.normal())
  return Array.from({ length: n }, () => shared.map((x) => x + random.normal()))
}

const shapes = { seed: fc.integer(), n: fc.integer({ min: 2, max: 9 }), d: fc.integer({ min: 2, max: 40 }), common: fc.constantFrom(-1, 0, 0.3, 2) }
const drawn = fc.record(shapes)

interface Listed {
  readonly id: string
  readonly rule: SolvedRule
  /** Without conflicts: this many means; undefined where the rule has another idea. */
  readonly means?: (n: number) => number
  /** Whether opposite gradients of one size may leave something. */
  readonly takesSides?: boolean
}

const one = (): number => 1
const RULES: readonly Listed[] = [
  { id: 'mean', rule: mean(), means: one },
  { id: 'pcgrad', rule: pcgrad(), means: (n) => n },
  { id: 'pcgrad, mean', rule: pcgrad({ reduce: 'mean' }), means: one },
  { id: 'gp', rule: gp(), means: one },
  { id: 'gp, ids in order', rule: gp({ order: 'ids', attention: 'none' }), means: one },
  { id: 'upgrad', rule: upgrad(), means: one },
  { id: 'gp, strict', rule: withStrict(gp()), means: one },
  { id: 'pcgrad, strict', rule: withStrict(pcgrad()), means: (n) => n },
  { id: 'cagrad', rule: cagrad() },
  { id: 'cagrad, no radius', rule: cagrad({ c: 0 }), means: one },
  { id: 'cagrad, strict', rule: withStrict(cagrad({ c: 0.4, rescale: 0 })) },
  { id: 'mgda', rule: mgda() },
  { id: 'mgda, l2', rule: mgda({ normalisation: 'l2' }) },
  { id: 'imtl-g', rule: imtlG() },
  { id: 'imtl-g, strict', rule: withStrict(imtlG()) },
  { id: 'nash-mtl, no clip', rule: nashMtl({ maxNorm: Infinity }) },
  { id: 'graddrop', rule: graddrop(), means: (n) => n, takesSides: true },
  { id: 'graddrop, mean, leak', rule: graddrop({ reduce: 'mean', leak: 0.3 }), means: one, takesSides: true },
  { id: 'graddrop, strict', rule: withStrict(graddrop()), means: (n) => n }
]

for (const { id, rule } of RULES) {
  testProp(`${id}: the order in which rows arrive changes no bit`, [drawn, fc.integer()], (t, { seed, n, d, common }, shuffle) => {
    const rows = rowsOf(seed, n, d, common)
    const order = new Random(shuffle).permutation(n)
    const weights = rows.map((_, i) => i + 1)
    const straight = rule.aggregate(rows, { ...context(n), weights })
    const mixed = rule.aggregate(order.map((i) => rows[i] as Float32Array), {
      ids: order.map((i) => ids(n)[i] as string), weights: order.map((i) => weights[i] as number), random: new Random(7)
    })
    t.deepEqual({ ...mixed, gram: undefined }, { ...straight, gram: undefined }) // the matrix is in the order given
  }, { numRuns: 60 })

  testProp(`${id}: rows scaled by 4 scale the update by 4`, [drawn], (t, { seed, n, d, common }) => {
    const rows = rowsOf(seed, n, d, common).map((row) => Float64Array.from(row))
    const one = rule.aggregate(rows, context(n)).update
    const four = rule.aggregate(rows.map((row) => row.map((x) => 4 * x)), context(n)).update
    one.forEach((x, i) => t.true(Math.abs((four[i] as number) - 4 * x) <= 1e-9))
  }, { numRuns: 60 })

  test(`${id}: one row passes unchanged, none of use gives zeros, none at all is refused`, (t) => {
    const row = Float32Array.of(1, -2, 3)
    const alone = rule.aggregate([row], { ids: ['a'], random: new Random(1) })
    t.deepEqual(alone.update, row)
    t.not(alone.update, row)
    t.is(alone.stats.minDirectionCosine, 1)
    const nothing = rule.aggregate([Float32Array.of(0, 0), Float32Array.of(NaN, 1)], { ids: ['a', 'b'], random: new Random(1) })
    t.deepEqual(nothing.update, new Float32Array(2))
    t.is(nothing.stats.dropped, 2)
    t.throws(() => rule.aggregate([], { ids: [], random: new Random(1) }), { instanceOf: InvalidParametersError })
  })

  test(`${id}: a row that is not finite is dropped, counted and changes nothing`, (t) => {
    const rows = rowsOf(3, 3, 10)
    const clean = rule.aggregate(rows, context(3))
    const bad = Float32Array.from({ length: 10 }, (_, i) => i === 4 ? Infinity : 1)
    const withBad = rule.aggregate([bad, ...rows], { ids: ['zz', ...ids(3)], random: new Random(7) })
    t.deepEqual(withBad.update, clean.update)
    t.is(withBad.stats.dropped, 1)
    t.is(withBad.stats.rows, 3)
  })
}

testProp('without conflicts every rule that removes only conflicts is the plain mean, or the sum', [fc.integer(), fc.integer({ min: 2, max: 8 })], (t, seed, n) => {
  const rows = rowsOf(seed, n, 12).map((row) => Float64Array.from(row, Math.abs))
  const plain = Float64Array.from({ length: 12 }, (_, x) => rows.reduce((sum, row) => sum + (row[x] as number), 0) / n)
  for (const { id, rule, means } of RULES) {
    if (means === undefined) continue
    const { update, stats } = rule.aggregate(rows, context(n))
    const factor = means(n)
    plain.forEach((x, i) => t.true(Math.abs((update[i] as number) - factor * x) <= 1e-12 * factor, id))
    t.is(stats.conflictPairs, 0)
    t.true(Math.abs(stats.removedShare) < 1e-9)
  }
}, { numRuns: 60 })

testProp('pcgrad hurts neither of two tasks', [fc.integer(), fc.integer({ min: 2, max: 50 })], (t, seed, d) => {
  const rows = rowsOf(seed, 2, d)
  t.true(pcgrad().aggregate(rows, context(2)).stats.minDirectionCosine >= -1e-6)
}, { numRuns: 200 })

testProp('upgrad hurts no task of any number', [drawn], (t, { seed, n, d, common }) => {
  const rows = rowsOf(seed, n, d, common).map((row) => Float64Array.from(row))
  const { update } = upgrad().aggregate(rows, context(n))
  const largest = Math.max(...rows.map(norm))
  for (const row of rows) t.true(dot(update, row) >= -1e-9 * largest * largest)
}, { numRuns: 200 })

testProp('attention keeps its mean at 1 and grows with the cosine to the history', [drawn], (t, { seed, n, d }) => {
  const rows = rowsOf(seed, n + 1, d).map((row) => Float64Array.from(row))
  const history = rows.pop() as Float64Array
  const input = { n, length: d, norms: rows.map(norm), history: { dots: Float64Array.from(rows, (row) => dot(row, history)), norm: norm(history) } }
  const scale = attentionScale(input, 'softmax-cos', 1)
  t.true(Math.abs(scale.reduce((sum, a) => sum + a, 0) - n) < 1e-9)
  const cosine = rows.map((row) => dot(row, history) / (norm(row) * norm(history)))
  const byCosine = cosine.map((_, i) => i).sort((a, b) => (cosine[a] as number) - (cosine[b] as number))
  byCosine.forEach((i, at) => t.true(at === 0 || (scale[i] as number) >= (scale[byCosine[at - 1] as number] as number)))
}, { numRuns: 50 })

test('two exactly opposite gradients of one size cancel to zero', (t) => {
  const rows = [Float32Array.of(1, 2, -3), Float32Array.of(-1, -2, 3)]
  for (const { id, rule } of RULES.filter(({ takesSides }) => takesSides !== true)) t.deepEqual(rule.aggregate(rows, context(2)).update, new Float32Array(3), id)
})

test('without a history, or with a zero one, gp is its form without attention', (t) => {
  const rows = rowsOf(11, 5, 9)
  const plain = gp({ attention: 'none', order: 'ids' }).aggregate(rows, context(5)).update
  t.deepEqual(gp({ order: 'ids' }).aggregate(rows, context(5)).update, plain)
  t.deepEqual(gp({ order: 'ids' }).aggregate(rows, { ...context(5), history: new Float32Array(9) }).update, plain)
})

test('the worked example of attention to the history', (t) => {
  const rows = [[1, 0, 0], [-1, 1, 0], [0, -1, 1]].map((row) => Float64Array.from(row))
  const { update } = gp({ order: 'ids' }).aggregate(rows, { ...context(3), history: Float64Array.of(1, 0, 0) })
  ;[0.204006, 0.101180, 0.457360].forEach((x, i) => t.true(Math.abs((update[i] as number) - x) < 1e-6))
})

test('pcgrad leaves a negative dot on the three-row counter-example, strict does not', (t) => {
  const rows = [[-0.5, -0.2, 1.8], [0, 0.1, -1.5], [4.9, 2.8, 3.2]].map((row) => Float32Array.from(row))
  for (let seed = 0; seed < 8; seed++) {
    const loose = pcgrad().aggregate(rows, context(3, seed))
    t.true(loose.stats.minDirectionCosine < -0.01)
    const strict = withStrict(pcgrad()).aggregate(rows, context(3, seed))
    t.true(strict.stats.minDirectionCosine >= -1e-6)
    t.true(norm(strict.update) > 0.1)
    t.is(strict.stats.minDirectionCosine, minDirectionCosine(strict.update, rows))
  }
})

test('the report counts pairs, conflicts, cosines and what was removed', (t) => {
  const rows = [Float32Array.of(2, 0), Float32Array.of(-1, 1)]
  const { stats } = pcgrad({ reduce: 'mean' }).aggregate(rows, context(2))
  t.is(stats.rows, 2)
  t.is(stats.pairs, 1)
  t.is(stats.conflictPairs, 1)
  t.true(Math.abs(stats.minCosine + Math.SQRT1_2) < 1e-12)
  t.is(stats.meanCosine, stats.minCosine)
  t.deepEqual(stats.norms, [2, Math.SQRT2])
  // update (.5, 1), plain mean (.5, .5)
  t.true(Math.abs(stats.removedShare - (1 - Math.sqrt(1.25 / 0.5))) < 1e-6)
})

test('the blocked Gram matrix is the matrix of dot products', (t) => {
  const rows = rowsOf(5, 7, 5001)
  const k = gram(rows)
  rows.forEach((a, i) => rows.forEach((b, j) => t.true(Math.abs((k[i * 7 + j] as number) - dot(a, b)) < 1e-8)))
})

const REFUSED: Array<{ id: string, name: string, options?: Record<string, unknown> }> = [
  { id: 'an unknown rule', name: 'gpp' },
  { id: 'a name of Object.prototype', name: 'constructor' },
  { id: 'an unknown option', name: 'gp', options: { taw: 1 } },
  { id: 'an option of another rule', name: 'mean', options: { tau: 1 } },
  { id: 'an unknown value', name: 'gp', options: { attention: 'softmax' } },
  { id: 'a temperature of zero', name: 'gp', options: { tau: 0 } },
  { id: 'a negative radius', name: 'cagrad', options: { c: -0.1 } },
  { id: 'a fourth rescaling', name: 'cagrad', options: { rescale: 3 } },
  { id: 'an unknown normalisation', name: 'mgda', options: { normalisation: 'l1' } },
  { id: 'a longest update of zero', name: 'nash-mtl', options: { maxNorm: 0 } },
  { id: 'a leak above one', name: 'graddrop', options: { leak: 1.5 } },
  { id: 'an option of imtl-g, which has none', name: 'imtl-g', options: { c: 1 } },
  { id: 'strict that is not a boolean', name: 'gp', options: { strict: 'yes' } }
]
for (const { id, name, options } of REFUSED) {
  test(`createRule refuses ${id}`, (t) => {
    t.throws(() => createRule(name, options as RuleOptions), { instanceOf: InvalidParametersError })
  })
}

const BAD_CONTEXTS: Array<{ id: string, ids: string[], weights?: number[], history?: Float32Array }> = [
  { id: 'too few ids', ids: ['a'] },
  { id: 'two rows of one id', ids: ['a', 'a'] },
  { id: 'a negative weight', ids: ['a', 'b'], weights: [1, -1] },
  { id: 'a weight that is no number', ids: ['a', 'b'], weights: [1, NaN] },
  { id: 'a history of another length', ids: ['a', 'b'], history: new Float32Array(3) }
]
for (const { id, ...ctx } of BAD_CONTEXTS) {
  test(`a rule refuses ${id}`, (t) => {
    const rows = [Float32Array.of(1, 0), Float32Array.of(0, 1)]
    t.throws(() => gp().aggregate(rows, { ...ctx, random: new Random(1) }), { instanceOf: InvalidParametersError })
  })
}

test('createRule makes every listed rule and knows its source; those that may leave a conflict are strict unless told otherwise', (t) => {
  t.deepEqual([...ruleNames], ['cagrad', 'gp', 'graddrop', 'imtl-g', 'mean', 'mgda', 'nash-mtl', 'pcgrad', 'upgrad'])
  t.deepEqual(ruleNames.map((name) => createRule(name).name), ['cagrad+strict', 'gp+strict', 'graddrop+strict', 'imtl-g+strict', 'mean', 'mgda', 'nash-mtl', 'pcgrad+strict', 'upgrad'])
  t.true(ruleNames.every((name) => ruleSource(name).length > 0))
  t.is(createRule('gp', { strict: false, attention: 'softmax-dot', tau: 2, order: 'ids', weighting: 'uniform' }).name, 'gp')
  t.is(createRule('mean', { strict: true }).name, 'mean+strict')
  t.is(createRule('pcgrad', { reduce: 'mean' }).name, 'pcgrad+strict')
})

test('an option reaches its rule', (t) => {
  const rows = [[2, 0, 1], [-1, 1, 0], [0, -1, 3]].map((row) => Float32Array.from(row))
  const OPTIONS: ReadonlyArray<readonly [string, RuleOptions]> = [
    ['cagrad', { c: 0.2 }], ['cagrad', { rescale: 2 }], ['cagrad', { weighting: 'uniform' }], ['mgda', { normalisation: 'l2' }],
    ['nash-mtl', { maxNorm: 0.5 }], ['graddrop', { leak: 0.5 }], ['graddrop', { reduce: 'mean' }]
  ]
  for (const [name, options] of OPTIONS) {
    const run = (chosen: RuleOptions): Float32Array => createRule(name, { strict: false, ...chosen }).aggregate(rows, { ...context(3), weights: [1, 2, 3] }).update
    t.notDeepEqual(run(options), run({}), `${name} ${JSON.stringify(options)}`)
  }
})
