import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { testProp, fc } from '@fast-check/ava'
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { createRule, ruleNames } from '../../src/projection/index.ts'
import { Random } from '../../src/random.ts'
import type { RowSource } from '../../src/projection/index.ts'

const BOUNDARY = 65_536 // a pass asks for so many numbers at a time

/** Copies of the ranges asked for, as a file would give them, some of them late. */
function sourceOf (rows: readonly Float32Array[], asked: Array<[number, number]> = []): RowSource {
  return {
    rows: rows.length,
    length: rows[0]?.length ?? 0,
    block (from, to) {
      asked.push([from, to])
      const block = rows.map((row) => row.slice(from, to))
      return asked.length % 2 === 0 ? block : Promise.resolve(block)
    }
  }
}

function rowsOf (random: Random, n: number, length: number): Float32Array[] {
  return Array.from({ length: n }, (_, i) => {
    const row = Float32Array.from({ length }, () => random.normal() * 2 ** (i % 3))
    if (i === 3) row[length - 1] = NaN
    return row
  })
}

for (const name of ruleNames) {
  testProp(`${name}: rows that come piece by piece give the same bits as rows in memory`, [
    fc.integer(), fc.integer({ min: 1, max: 6 }), fc.constantFrom(1, 7, 1023, 1025, BOUNDARY - 1, BOUNDARY, BOUNDARY + 3, 2 * BOUNDARY + 1), fc.boolean(), fc.boolean()
  ], async (t, seed, n, length, balance, past) => {
    const random = new Random(seed)
    const rows = rowsOf(random, n, length)
    const history = past ? Float32Array.from({ length }, () => random.normal()) : undefined
    const ctx = () => ({ ids: rows.map((_, i) => `${9 - i}`), random: new Random(1), balance, ...history === undefined ? {} : { history } })
    const rule = createRule(name)
    const [{ update, ...facts }, want] = [await rule.aggregateStream(sourceOf(rows), ctx()), rule.aggregate(rows, ctx())]
    t.true(Buffer.from(update.buffer).equals(Buffer.from(want.update.buffer)))
    const { update: _, ...rest } = want
    t.deepEqual(facts, rest)
  }, { numRuns: 8 })
}

test('two streams that take turns do not disturb each other', async (t) => {
  const [left, right] = [4, 5].map((n) => rowsOf(new Random(n), n, 2 * BOUNDARY)) as [Float32Array[], Float32Array[]]
  const rule = createRule('gp')
  const ctx = (rows: readonly unknown[]) => ({ ids: rows.map((_, i) => `${i}`), random: new Random(2) })
  const both = await Promise.all([left, right].map(async (rows) => await rule.aggregateStream(sourceOf(rows), ctx(rows))))
  t.deepEqual(both, [left, right].map((rows) => rule.aggregate(rows, ctx(rows))))
})

test('a stream is read in order, twice, in pieces', async (t) => {
  const rows = rowsOf(new Random(1), 3, 2 * BOUNDARY + 10)
  const asked: Array<[number, number]> = []
  await createRule('gp').aggregateStream(sourceOf(rows, asked), { ids: ['a', 'b', 'c'], random: new Random(1) })
  const once = [[0, BOUNDARY], [BOUNDARY, 2 * BOUNDARY], [2 * BOUNDARY, 2 * BOUNDARY + 10]]
  t.deepEqual(asked, [...once, ...once])
})

test('a piece that is not what was asked for is refused', async (t) => {
  const ctx = { ids: ['a', 'b'], random: new Random(1) }
  for (const block of [() => [new Float32Array(4)], () => [new Float32Array(4), new Float32Array(3)]]) {
    await t.throwsAsync(createRule('mean').aggregateStream({ rows: 2, length: 4, block }, ctx), { instanceOf: InvalidParametersError })
  }
})

testProp('balanced rows give what rows scaled to the median length give', [fc.integer(), fc.integer({ min: 2, max: 7 })], (t, seed, n) => {
  const random = new Random(seed)
  const rows = Array.from({ length: n }, (_, i) => Float64Array.from({ length: 30 }, () => random.normal() * 10 ** (i % 4)))
  const sizes = rows.map((row) => Math.sqrt(row.reduce((sum, x) => sum + x * x, 0)))
  const median = sizes.toSorted((a, b) => a - b)[(n - 1) >> 1] as number
  const scaled = rows.map((row, i) => row.map((x) => x * median / (sizes[i] as number)))
  const history = Float64Array.from({ length: 30 }, () => random.normal())
  const ctx = () => ({ ids: rows.map((_, i) => `${i}`), random: new Random(4), history })
  for (const name of ruleNames) {
    const got = createRule(name).aggregate(rows, { ...ctx(), balance: true })
    const want = createRule(name).aggregate(scaled, ctx())
    got.update.forEach((x, i) => t.true(Math.abs(x - (want.update[i] as number)) <= 1e-9 * median, name))
    t.is(got.stats.conflictPairs, want.stats.conflictPairs)
    for (const key of ['meanCosine', 'minCosine', 'minDirectionCosine', 'removedShare'] as const) t.true(Math.abs(got.stats[key] - want.stats[key]) < 1e-9, `${name}: ${key}`)
    got.stats.norms.forEach((size) => t.true(Math.abs(size - median) <= 1e-12 * median))
  }
}, { numRuns: 60 })

test('a process without SIMD gives the same bits', async (t) => {
  const script = `
    if (process.argv[1] === 'plain') WebAssembly.validate = () => false
    const { simdKernels } = await import('${new URL('../../src/kernels/index.ts', import.meta.url)}')
    const { createRule, ruleNames } = await import('${new URL('../../src/projection/index.ts', import.meta.url)}')
    const { Random } = await import('${new URL('../../src/random.ts', import.meta.url)}')
    const random = new Random(9)
    const rows = Array.from({ length: 5 }, () => Float32Array.from({ length: 3001 }, () => random.normal()))
    const results = ruleNames.map(name => createRule(name).aggregate(rows, { ids: ['a', 'b', 'c', 'd', 'e'], random: new Random(1), history: rows[0] }))
    process.stdout.write(JSON.stringify({ simd: simdKernels() !== undefined, results: results.map(({ update, stats }) => [[...update], stats]) }))`
  const [simd, plain] = await Promise.all(['simd', 'plain'].map(async (kind) => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script, kind], { maxBuffer: 1e8 })
    return JSON.parse(stdout) as { simd: boolean, results: unknown }
  })) as [{ simd: boolean, results: unknown }, { simd: boolean, results: unknown }]
  t.deepEqual([simd.simd, plain.simd], [true, false])
  t.deepEqual(plain.results, simd.results)
})
