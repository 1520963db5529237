import { readFileSync } from 'node:fs'
import test from 'ava'
import { attentionScale, gp } from '../../src/projection/gp.ts'
import { dot, gram, norm } from '../../src/projection/gram.ts'
import { pcgrad, projectPairs } from '../../src/projection/pcgrad.ts'
import { upgrad } from '../../src/projection/upgrad.ts'
import { Random } from '../../src/random.ts'
import type { Attention } from '../../src/projection/gp.ts'
import type { ExecutionContext } from 'ava'

function vectors<T> (name: string): { tolerance: number, cases: T[] } {
  return JSON.parse(readFileSync(new URL(`../vectors/gradient-rules/${name}.json`, import.meta.url), 'utf8')) as { tolerance: number, cases: T[] }
}

function near (t: ExecutionContext, got: ArrayLike<number>, want: readonly number[], tolerance: number): void {
  t.is(got.length, want.length)
  want.forEach((value, i) => t.true(Math.abs((got[i] as number) - value) <= tolerance, `[${i}] ${got[i]} for ${value}`))
}

const ids = (n: number): string[] => Array.from({ length: n }, (_, i) => `peer-${i}`)
const doubles = (rows: readonly number[][]): Float64Array[] => rows.map((row) => Float64Array.from(row))

interface PcgradCase { name: string, grads: number[][], order: number[][], projected: number[][], sum: number[], mean: number[], dots: number[] }
const PCGRAD = vectors<PcgradCase>('pcgrad')
for (const c of PCGRAD.cases) {
  test(`pcgrad gives the reference numbers: ${c.name}`, (t) => {
    const rows = doubles(c.grads)
    const ctx = { ids: ids(rows.length), random: new Random(1) }
    near(t, pcgrad({ order: c.order }).aggregate(rows, ctx).update, c.sum, PCGRAD.tolerance)
    const { update } = pcgrad({ order: c.order, reduce: 'mean' }).aggregate(rows, ctx)
    near(t, update, c.mean, PCGRAD.tolerance)
    const coefficients = projectPairs(gram(rows), c.order)
    c.projected.forEach((want, i) => near(t, want.map((_, x) => rows.reduce((sum, row, j) =>
      sum + (coefficients[i * rows.length + j] as number) * (row[x] as number), 0)), want, PCGRAD.tolerance))
  })
}

interface GpCase { name: string, grads: number[][], history: number[] | null, weights: number[], attention: Attention, tau: number, scale: number[], aggregated: number[] }
const GP = vectors<GpCase>('fedbone-gp')
for (const c of GP.cases) {
  test(`gp gives the reference numbers: ${c.name}`, (t) => {
    const rows = doubles(c.grads)
    const rule = gp({ attention: c.attention, tau: c.tau, order: 'ids' })
    const history = c.history === null ? {} : { history: Float64Array.from(c.history) }
    const { update } = rule.aggregate(rows, { ids: ids(rows.length), weights: c.weights, random: new Random(1), ...history })
    near(t, update, c.aggregated, GP.tolerance)
    const past = c.history === null
      ? {}
      : { history: { dots: Float64Array.from(rows, (row) => dot(row, Float64Array.from(c.history ?? []))), norm: norm(Float64Array.from(c.history)) } }
    const scale = attentionScale({ n: rows.length, length: rows[0]?.length ?? 0, norms: rows.map(norm), ...past }, c.attention, c.tau)
    near(t, scale, c.scale, GP.tolerance)
  })
}

interface UpgradCase { name: string, grads: number[][], direction: number[], dots: number[] }
const UPGRAD = vectors<UpgradCase>('upgrad')
for (const c of UPGRAD.cases) {
  test(`upgrad gives the reference numbers: ${c.name}`, (t) => {
    const rows = doubles(c.grads)
    const { update } = upgrad().aggregate(rows, { ids: ids(rows.length), random: new Random(1) })
    near(t, update, c.direction, UPGRAD.tolerance)
    near(t, rows.map((row) => dot(update, row)), c.dots, UPGRAD.tolerance * 10)
  })
}
