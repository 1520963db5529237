/** What each rule promises by its definition, and what all of them promise of rows that leave them little. */
import { testProp, fc } from '@fast-check/ava'
import test from 'ava'
import { bargain } from '../../src/projection/nash-mtl.ts'
import { cagrad, createRule, graddrop, imtlG, mgda, minDirectionCosine, nashMtl, ruleNames } from '../../src/projection/index.ts'
import { cosines } from '../../src/projection/dual-cone.ts'
import { dot, gram, norm } from '../../src/projection/gram.ts'
import { minNorm } from '../../src/projection/min-norm.ts'
import { Random } from '../../src/random.ts'

const context = (n: number, seed = 3) => ({ ids: Array.from({ length: n }, (_, i) => `p${String(i).padStart(2, '0')}`), random: new Random(seed) })

function doubles (seed: number, n: number, d: number, common: number): Float64Array[] {
  const random = new Random(seed)
  const shared = Float64Array.from({ length: d }, () => common * random.normal())
  return Array.from({ length: n }, (_, i) => shared.map((x) => (x + random.normal()) * (1 + i % 3)))
}

function meanOf (rows: readonly Float64Array[]): Float64Array {
  return Float64Array.from(rows[0] as Float64Array, (_, k) => rows.reduce((sum, row) => sum + (row[k] as number), 0) / rows.length)
}

/** More numbers than rows: no row depends on the others. */
const independent = { seed: fc.integer(), n: fc.integer({ min: 2, max: 12 }), common: fc.constantFrom(-1, 0, 0.3, 2) }
const drawn = fc.record(independent)
const D = 40

testProp('mgda: d . g_i >= |d|^2 for every row, equal where the row has weight', [drawn], (t, { seed, n, common }) => {
  const rows = doubles(seed, n, D, common)
  const { update } = mgda().aggregate(rows, context(n))
  const square = dot(update, update)
  const longest = Math.max(...rows.map(norm)) ** 2
  const { weights } = minNorm(gram(rows), n)
  rows.forEach((row, i) => {
    t.true(dot(update, row) >= square - 1e-10 * longest)
    if ((weights[i] as number) > 1e-9) t.true(Math.abs(dot(update, row) - square) <= 1e-9 * longest)
  })
  t.true(Math.abs(weights.reduce((sum, w) => sum + w, 0) - 1) < 1e-12)
}, { numRuns: 150 })

testProp('mgda: of two rows the weights are the closed form', [fc.integer(), fc.integer({ min: 1, max: 9 })], (t, seed, d) => {
  const [a, b] = doubles(seed, 2, d, 1) as [Float64Array, Float64Array]
  const [aa, ab, bb] = [dot(a, a), dot(a, b), dot(b, b)]
  const first = Math.min(1, Math.max(0, (bb - ab) / (aa + bb - 2 * ab)))
  const { update } = mgda().aggregate([a, b], context(2))
  const want = a.map((x, k) => first * x + (1 - first) * (b[k] as number))
  want.forEach((x, k) => t.true(Math.abs(x - (update[k] as number)) <= 1e-7 * Math.sqrt(Math.max(aa, bb))))
}, { numRuns: 150 })

testProp('mgda, l2: along every direction the update goes as far as it is long, or further', [drawn], (t, { seed, n, common }) => {
  const rows = doubles(seed, n, D, common)
  const { update } = mgda({ normalisation: 'l2' }).aggregate(rows, context(n))
  const mean = rows.reduce((sum, row) => sum + norm(row), 0) / n
  const square = dot(update, update)
  for (const row of rows) t.true(dot(update, row) / norm(row) * mean >= square - 1e-9 * mean * mean)
}, { numRuns: 100 })

testProp('cagrad: the step is c |g_0| from the mean, and serves the worst-off task best', [drawn, fc.constantFrom(0.1, 0.4, 0.5, 0.9, 2), fc.integer()], (t, { seed, n, common }, c, other) => {
  const rows = doubles(seed, n, D, common)
  const mean = meanOf(rows)
  const { update, solver } = cagrad({ c, rescale: 0 }).aggregate(rows, context(n))
  const radius = c * norm(mean)
  const away = norm(update.map((x, k) => x - (mean[k] as number)))
  t.true(Math.abs(away - radius) <= 1e-8 * radius)
  t.true((solver?.residual ?? 1) < 1e-8)
  const worst = (d: Float64Array): number => Math.min(...rows.map((row) => dot(d, row)))
  const random = new Random(other)
  const slack = 1e-7 * Math.max(...rows.map(norm)) ** 2
  for (let i = 0; i < 10; i++) {
    const u = mean.map(() => random.normal())
    const inside = mean.map((x, k) => x + (update[k] as number - x) * 0.9 + 0.1 * radius * (u[k] as number) / norm(u))
    t.true(worst(update) >= worst(inside) - slack)
  }
  t.true(worst(update) >= worst(mean) - slack)
  const large = cagrad({ c: 1e6, rescale: 0 }).aggregate(rows, context(n)).update
  const shortest = mgda().aggregate(rows, context(n)).update
  t.true(dot(large, shortest) >= (1 - 1e-4) * norm(large) * norm(shortest), 'a huge radius points where mgda does')
}, { numRuns: 100 })

testProp('cagrad without a radius is the mean', [drawn], (t, { seed, n, common }) => {
  const rows = doubles(seed, n, D, common)
  const { update } = cagrad({ c: 0 }).aggregate(rows, context(n))
  meanOf(rows).forEach((x, k) => t.true(Math.abs(x - (update[k] as number)) <= 1e-12 * Math.max(...rows.map(norm))))
}, { numRuns: 60 })

testProp('cagrad: rows whose hull holds zero still give a step within the radius', [fc.integer(), fc.integer({ min: 5, max: 12 })], (t, seed, n) => {
  const rows = doubles(seed, n, 3, 0)
  const mean = meanOf(rows)
  const { update } = cagrad({ rescale: 0 }).aggregate(rows, context(n))
  t.true(norm(update.map((x, k) => x - (mean[k] as number))) <= 0.5 * norm(mean) * (1 + 1e-9))
}, { numRuns: 100 })

testProp('imtl-g: the update advances along every row equally', [drawn], (t, { seed, n, common }) => {
  const rows = doubles(seed, n, D, common)
  const { update, solver } = imtlG().aggregate(rows, context(n))
  t.is(solver?.fallback, false)
  const advance = rows.map((row) => dot(update, row) / norm(row))
  const size = norm(update)
  for (const value of advance) t.true(Math.abs(value - (advance[0] as number)) <= 1e-8 * size)
}, { numRuns: 150 })

test('imtl-g: rows that depend on each other give the mean, and that is said', (t) => {
  const rows = [[1, 0, 0], [0, 1, 0], [2, 2, 0]].map((row) => Float64Array.from(row))
  const { update, solver } = imtlG().aggregate(rows, context(3))
  t.deepEqual(update, Float64Array.of(1, 1, 0))
  t.is(solver?.fallback, true)
})

testProp('nash-mtl: every task gains, and a_i (K a)_i = 1', [drawn], (t, { seed, n, common }) => {
  const rows = doubles(seed, n, D, common)
  const c = cosines(gram(rows), rows.map(norm))
  const { b = new Float64Array(n) } = bargain(c, n)
  for (let i = 0; i < n; i++) t.true(Math.abs((b[i] as number) * b.reduce((sum, value, j) => sum + value * (c[i * n + j] as number), 0) - 1) < 1e-6)
  const { update } = nashMtl().aggregate(rows, context(n))
  for (const row of rows) t.true(dot(update, row) > 0)
  t.true(norm(update) <= 1 + 1e-12)
}, { numRuns: 150 })

testProp('nash-mtl as the paper states it, without the factor of the published code, does not know the scale of the rows', [drawn, fc.constantFrom(0.25, 3, 1000)], (t, { seed, n, common }, scale) => {
  const bargained = (rows: readonly Float64Array[]): number[] => {
    const norms = rows.map(norm)
    const { b = new Float64Array(n) } = bargain(cosines(gram(rows), norms), n)
    return Array.from({ length: D }, (_, k) => rows.reduce((sum, row, i) => sum + (b[i] as number) / (norms[i] as number) * (row[k] as number), 0))
  }
  const rows = doubles(seed, n, D, common)
  const one = bargained(rows)
  const largest = Math.max(...one.map(Math.abs))
  bargained(rows.map((row) => row.map((x) => scale * x))).forEach((x, k) => t.true(Math.abs(x - (one[k] as number)) <= 1e-8 * largest))
}, { numRuns: 60 })

test('mgda and nash-mtl stand still where no direction helps every task', (t) => {
  const rows = [[1, 0, 0], [-3, 0, 0], [0, 1, 0]].map((row) => Float64Array.from(row))
  for (const rule of [mgda(), nashMtl()]) t.deepEqual(rule.aggregate(rows, context(3)).update, new Float64Array(3), rule.name)
  t.is(nashMtl().aggregate(rows, context(3)).solver?.fallback, true)
})

testProp('graddrop: every number is the sum of the positive or of the negative entries', [fc.integer(), fc.integer({ min: 2, max: 8 }), fc.integer()], (t, seed, n, draws) => {
  const rows = doubles(seed, n, D, 0)
  const { update } = graddrop().aggregate(rows, context(n, draws))
  update.forEach((x, k) => {
    const entries = rows.map((row) => row[k] as number)
    const sum = (sign: number): number => entries.filter((value) => sign * value > 0).reduce((total, value) => total + value, 0)
    t.true(Math.min(Math.abs(x - sum(1)), Math.abs(x - sum(-1))) < 1e-12)
  })
}, { numRuns: 60 })

test('graddrop keeps a sign as often as its purity says, and another seed draws otherwise', (t) => {
  const length = 20_000
  const rows = [new Float32Array(length).fill(3), new Float32Array(length).fill(-1)]
  const kept = (seed: number): number => graddrop().aggregate(rows, context(2, seed)).update.reduce((count, x) => count + (x > 0 ? 1 : 0), 0)
  t.true(Math.abs(kept(1) / length - 0.75) < 0.02, `${kept(1)}`)
  t.not(kept(1), kept(2))
})

/** Rows that leave a solver little: by kind. */
const HARD: Readonly<Record<string, (random: Random, n: number, d: number) => Float32Array[]>> = {
  'nearly equal': (random, n, d) => around(random, n, d, () => 1, 1e-4),
  'nearly opposite': (random, n, d) => around(random, n, d, (i) => i % 2 === 0 ? 1 : -1, 1e-3),
  equal: (random, n, d) => around(random, n, d, () => 1, 0),
  opposite: (random, n, d) => around(random, n, d, (i) => i % 2 === 0 ? 1 : -2, 0),
  'of sizes from 1e-9 to 1e3': (random, n, d) => plain(random, n, d).map((row, i) => row.map((x) => x * 10 ** (i % 13 - 9))),
  'more than numbers': (random, n) => plain(random, n, 2),
  'of zero sum': (random, n, d) => {
    const rows = plain(random, n - 1, d)
    return [...rows, Float32Array.from({ length: d }, (_, k) => -rows.reduce((sum, row) => sum + (row[k] as number), 0))]
  }
}

function plain (random: Random, n: number, d: number): Float32Array[] {
  return Array.from({ length: n }, () => Float32Array.from({ length: d }, () => random.normal()))
}

function around (random: Random, n: number, d: number, share: (i: number) => number, noise: number): Float32Array[] {
  const base = Float32Array.from({ length: d }, () => random.normal())
  return Array.from({ length: n }, (_, i) => base.map((x) => share(i) * x + noise * random.normal()))
}

/** The most turns that a rule states in its file. */
const MOST_TURNS = 100

for (const name of ruleNames) {
  for (const [kind, make] of Object.entries(HARD)) {
    test(`${name}: 2 to 32 rows ${kind} give finite numbers, the same twice, in a bounded number of turns; strict hurts nobody`, (t) => {
      for (const n of [2, 3, 5, 9, 17, 32]) {
        const rows = make(new Random(n), n, 50)
        for (const strict of [false, true]) {
          const rule = createRule(name, { strict })
          const { update, stats, solver } = rule.aggregate(rows, context(n))
          t.true(update.every(Number.isFinite), `${n} rows`)
          t.deepEqual(rule.aggregate(rows, context(n)).update, update)
          t.true((solver?.iterations ?? 0) <= MOST_TURNS)
          t.true(Number.isFinite(solver?.residual ?? 0))
          if (strict) t.true(stats.minDirectionCosine >= -1e-6, `${n} rows: ${stats.minDirectionCosine}`)
          t.is(stats.minDirectionCosine, minDirectionCosine(update, rows))
        }
      }
    })
  }
}

for (const name of ruleNames.filter((rule) => rule !== 'mean')) {
  test(`${name}: rows as a whole are one thing, blocks of them another, and pieces in which rows come are no blocks`, async (t) => {
    const rows = plain(new Random(8), 4, 200_000)
    const rule = createRule(name)
    const whole = rule.aggregate(rows, context(4)).update
    const length = whole.length
    const streamed = await rule.aggregateStream({ rows: 4, length, block: (from, to) => rows.map((row) => row.subarray(from, to)) }, context(4))
    t.deepEqual(streamed.update, whole)
    const halves = [[0, length / 2], [length / 2, length]].map(([from, to]) => rule.aggregate(rows.map((row) => row.slice(from, to)), context(4)).update)
    const apart = Float32Array.from([...halves[0] as Float32Array, ...halves[1] as Float32Array])
    t.notDeepEqual(apart, whole)
  })
}
