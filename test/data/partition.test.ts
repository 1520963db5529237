import { fc, testProp } from '@fast-check/ava'
import test from 'ava'
import { bySite, dirichlet, dirichletShares, iid } from '../../src/data/partition.ts'
import { drawRows, shareOf, takeLast, takeShare } from '../../src/data/split.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { Random } from '../../src/random.ts'
import type { ExecutionContext } from 'ava'

const seed = fc.nat()

function disjointAndCovering (t: ExecutionContext, parts: ReadonlyArray<readonly number[]>, n: number): void {
  t.deepEqual(parts.flat().sort((a, b) => a - b), Array.from({ length: n }, (_, i) => i))
}

testProp('by-site: disjoint and covering, one part per site', [fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1 })], (t, sites) => {
  const parts = bySite(sites)
  disjointAndCovering(t as never, [...parts.values()], sites.length)
  t.true([...parts].every(([site, rows]) => rows.every((row) => sites[row] === site)))
})

testProp('iid: disjoint, covering, equal to within one row, the same for the same seed', [seed, fc.nat(300), fc.integer({ min: 1, max: 12 })], (t, s, n, k) => {
  const parts = iid(n, k, new Random(s))
  disjointAndCovering(t as never, parts, n)
  const sizes = parts.map((part) => part.length)
  t.true(Math.max(...sizes) - Math.min(...sizes) <= 1)
  t.deepEqual(parts, iid(n, k, new Random(s)))
})

testProp('dirichlet: disjoint and covering, with unlabelled rows, at any alpha; nobody is left without', [
  seed, fc.array(fc.integer({ min: -1, max: 3 }), { minLength: 20, maxLength: 200 }), fc.integer({ min: 1, max: 8 }), fc.double({ min: 0.01, max: 100, noNaN: true })
], (t, s, labels, k, alpha) => {
  const random = new Random(s)
  const shares = dirichletShares(4, k, alpha, random)
  t.true(shares.every((row) => Math.abs(row.reduce((a, b) => a + b, 0) - 1) < 1e-9 && row.every((v) => v >= 0)))
  const parts = dirichlet(labels, shares, random, 2)
  disjointAndCovering(t as never, parts, labels.length)
  t.true(parts.every((part) => part.length >= 2))
})

test('dirichlet: a small alpha gives classes to few clients, a large one the same mix to all', (t) => {
  const labels = Array.from({ length: 4000 }, (_, i) => i % 4)
  const skew = (alpha: number): number => {
    const random = new Random(11)
    const parts = dirichlet(labels, dirichletShares(4, 4, alpha, random), random)
    return Math.max(...parts.flatMap((part) => [0, 1, 2, 3].map((c) => part.filter((row) => labels[row] === c).length / 1000)))
  }
  t.true(skew(0.05) > 0.8)
  t.true(skew(1000) < 0.3)
})

test('partitions refuse no clients and a concentration of 0', (t) => {
  t.throws(() => iid(10, 0, new Random(1)), { instanceOf: InvalidParametersError })
  t.throws(() => dirichletShares(2, 3, 0, new Random(1)), { instanceOf: InvalidParametersError })
})

testProp('a share: disjoint, covering, never all, of the promised size without units', [
  seed, fc.integer({ min: 1, max: 120 }), fc.double({ min: 0, max: 0.99, noNaN: true }), fc.boolean()
], (t, s, n, share, stratified) => {
  const stratum = (row: number): string => row % 3 === 0 ? 'a' : 'b'
  const { taken, rest } = takeShare(n, share, { random: new Random(s), stratum: stratified ? stratum : undefined })
  disjointAndCovering(t as never, [taken, rest], n)
  t.is(taken.length, shareOf(n, share))
  t.true(n === 0 || rest.length > 0)
  if (!stratified) return
  const strata = Array.from({ length: n }, (_, row) => stratum(row)).filter((v) => v === 'a').length
  t.true(Math.abs(taken.filter((row) => stratum(row) === 'a').length - taken.length * strata / n) <= 1)
})

testProp('a share by units: no unit is on both sides', [seed, fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 2, maxLength: 60 }), fc.double({ min: 0.05, max: 0.9, noNaN: true })], (t, s, units, share) => {
  const { taken, rest } = takeShare(units.length, share, { random: new Random(s), unit: (row) => String(units[row]) })
  disjointAndCovering(t as never, [taken, rest], units.length)
  t.true(rest.length > 0)
  const side = new Set(taken.map((row) => units[row]))
  t.false(rest.some((row) => side.has(units[row])))
})

test('the last share follows numbers by size and dates by text', (t) => {
  t.deepEqual(takeLast(5, 0.4, (i) => ['9', '10', '-3', '100', '2'][i] as string), { taken: [1, 3], rest: [0, 2, 4] })
  t.deepEqual(takeLast(3, 0.34, (i) => ['2015-02-10 09:00', '2015-02-11 08:00', '2015-01-12 10:00'][i] as string).taken, [1])
})

testProp('a draw takes the wanted number, balanced over groups while they last', [seed, fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 60 }), fc.nat(70)], (t, s, groups, wanted) => {
  const drawn = drawRows(groups.length, wanted, new Random(s), (i) => groups[i] as string)
  t.is(drawn.length, Math.min(wanted, groups.length))
  t.is(new Set(drawn).size, drawn.length)
  const has = (g: string): number => groups.filter((v) => v === g).length
  const got = (g: string): number => drawn.filter((i) => groups[i] === g).length
  const most = Math.max(...['a', 'b', 'c'].map(got))
  t.true(['a', 'b', 'c'].every((g) => got(g) >= Math.min(has(g), most - 1)))
})
