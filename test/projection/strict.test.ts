import { testProp, fc } from '@fast-check/ava'
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { solveDual } from '../../src/projection/dual-cone.ts'
import { dot, gram, norm } from '../../src/projection/gram.ts'
import { coneProject, gp, minDirectionCosine, pcgrad, withStrict } from '../../src/projection/index.ts'
import { Random } from '../../src/random.ts'

const context = (n: number, seed: number) => ({ ids: Array.from({ length: n }, (_, i) => `p${String(i).padStart(2, '0')}`), random: new Random(seed) })

/** Rows that are hard in different ways: plain, nearly equal, nearly opposite, of very different sizes. */
function hardRows (random: Random, n: number, d: number, kind: number): Float32Array[] {
  const base = Float32Array.from({ length: d }, () => random.normal())
  return Array.from({ length: n }, (_, i) => {
    const own = Float32Array.from({ length: d }, () => random.normal())
    if (kind === 1) return own.map((x, j) => (base[j] as number) + 1e-4 * x)
    if (kind === 2) return own.map((x, j) => (i % 2 === 0 ? 1 : -1) * (base[j] as number) + 1e-3 * x)
    if (kind === 3) return own.map((x) => x * 10 ** (i % 5 - 3))
    return own
  })
}

test('200 strict directions of hard rows hurt nobody, at 2 to 15 tasks and 3 to 40,000 numbers', (t) => {
  const random = new Random(20)
  let nonZero = 0
  for (let round = 0; round < 200; round++) {
    const n = 2 + random.int(14)
    const d = [3, 5, 17, 100, 1000, round % 20 === 0 ? 40_000 : 300][random.int(6)] as number
    const rows = hardRows(random, n, d, round % 4)
    const rule = withStrict(round % 2 === 0 ? gp() : pcgrad())
    const { update, stats } = rule.aggregate(rows, context(n, round))
    t.true(stats.minDirectionCosine >= -1e-6, `round ${round}: ${n} rows of ${d}, cosine ${stats.minDirectionCosine}`)
    t.is(stats.minDirectionCosine, minDirectionCosine(update, rows))
    if (norm(update) > 0) nonZero++
    // with as many numbers as tasks the cone has an inside, so a zero answer would be a failure of the solver
    if (d >= n && round % 4 !== 2) t.true(norm(update) > 0, `round ${round}: ${n} rows of ${d} gave zero`)
  }
  t.true(nonZero > 150)
})

testProp('the projection is the nearest point of the cone (its optimality conditions hold)', [fc.integer(), fc.integer({ min: 2, max: 8 }), fc.integer({ min: 8, max: 30 })], (t, seed, n, d) => {
  const random = new Random(seed)
  const rows = hardRows(random, n, d, 0).map((row) => Float64Array.from(row))
  const x = Float64Array.from({ length: d }, () => random.normal())
  const { update, removedShare } = coneProject(x, rows)
  // y is the projection iff y in the cone, (y - x) in the dual cone, and y . (y - x) = 0
  const moved = update.map((value, i) => value - (x[i] as number))
  t.true(Math.abs(dot(update, moved)) < 1e-7 * dot(x, x))
  for (const row of rows) t.true(dot(update, row) >= -1e-7)
  t.true(removedShare >= 0 && removedShare <= 1)
  const other = Float64Array.from(rows.reduce((sum, row) => sum.map((value, i) => value + (row[i] as number)), new Float64Array(d)))
  const feasible = coneProject(other, rows).update
  // any other point of the cone is at least as far away
  t.true(norm(moved) <= norm(feasible.map((value, i) => value - (x[i] as number))) + 1e-9)
}, { numRuns: 100 })

testProp('a second projection changes nothing', [fc.integer(), fc.integer({ min: 2, max: 12 }), fc.integer({ min: 2, max: 40 }), fc.integer({ min: 0, max: 3 })], (t, seed, n, d, kind) => {
  const random = new Random(seed)
  const rows = hardRows(random, n, d, kind)
  const once = coneProject(Float32Array.from({ length: d }, () => random.normal()), rows)
  const twice = coneProject(once.update, rows)
  const apart = norm(twice.update.map((value, i) => value - (once.update[i] as number)))
  t.true(apart <= 1e-5 * norm(once.update))
  t.true(once.minCosine >= -1e-6)
}, { numRuns: 200 })

testProp('the dual solution satisfies its optimality conditions, dependent rows or not', [fc.integer(), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 8 })], (t, seed, n, d) => {
  const random = new Random(seed)
  const rows = Array.from({ length: n }, () => {
    const row = Float64Array.from({ length: d }, () => random.normal())
    return row.map((value) => value / norm(row))
  })
  const k = gram(rows).map((value, at) => at % (n + 1) === 0 ? 1 : value)
  const x = Float64Array.from({ length: d }, () => random.normal())
  const q = Float64Array.from(rows, (row) => dot(row, x))
  const v = solveDual(k, q)
  for (let i = 0; i < n; i++) {
    const slope = (q[i] as number) + v.reduce((sum, value, j) => sum + (k[i * n + j] as number) * value, 0)
    t.true((v[i] as number) >= 0)
    t.true(slope >= -1e-8, `slope ${slope}`)
    t.true(Math.abs((v[i] as number) * slope) <= 1e-6, `slackness ${(v[i] as number) * slope}`)
  }
}, { numRuns: 300 })

test('a direction that already hurts nobody keeps its bits, in a new array', (t) => {
  const d = Float32Array.of(1, 1)
  const { update, minCosine, minCosineBefore, removedShare } = coneProject(d, [Float32Array.of(1, 0), Float32Array.of(0, 1)])
  t.deepEqual(update, d)
  t.not(update, d)
  t.is(minCosine, minCosineBefore)
  t.is(removedShare, 0)
})

test('a direction against everyone, or rows that cancel out, give the zero vector', (t) => {
  t.deepEqual(coneProject(Float32Array.of(-1, 0), [Float32Array.of(1, 0)]).update, new Float32Array(2))
  const star = [0, 1, 2].map((i) => Float32Array.of(Math.cos(i * 2 * Math.PI / 3), Math.sin(i * 2 * Math.PI / 3)))
  const { update, minCosine } = coneProject(Float32Array.of(0.3, 0.7), star)
  t.deepEqual(update, new Float32Array(2))
  t.is(minCosine, 0)
})

test('opposite rows leave what is orthogonal to both', (t) => {
  const { update } = coneProject(Float32Array.of(1, 1, 0), [Float32Array.of(2, 0, 0), Float32Array.of(-0.5, 0, 0)])
  t.deepEqual(update, Float32Array.of(0, 1, 0))
})

test('zero rows and rows that are not finite bind nothing', (t) => {
  const d = Float32Array.of(1, -1)
  t.deepEqual(coneProject(d, [new Float32Array(2), Float32Array.of(NaN, 1)]).update, d)
  t.is(minDirectionCosine(d, [new Float32Array(2), Float32Array.of(Infinity, 1), Float32Array.of(1, -1)]), dot(d, d) / norm(d) ** 2)
})

test('lengths that differ and a direction that is not finite are refused', (t) => {
  t.throws(() => coneProject(Float32Array.of(1, 2), [Float32Array.of(1)]), { instanceOf: InvalidParametersError })
  t.throws(() => coneProject(Float32Array.of(1, NaN), [Float32Array.of(1, 1)]), { instanceOf: InvalidParametersError })
})

test("an optimiser's bent step is made harmless again", (t) => {
  const random = new Random(4)
  const rows = hardRows(random, 8, 500, 0)
  const { update } = withStrict(gp()).aggregate(rows, context(8, 1))
  const bent = update.map((x) => Math.sign(x) * Math.sqrt(Math.abs(x)))
  const fixed = coneProject(bent, rows)
  t.true(fixed.minCosine >= -1e-6)
  t.true(dot(fixed.update, bent) > 0)
})
