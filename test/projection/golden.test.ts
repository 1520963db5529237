import { readFileSync } from 'node:fs'
import test from 'ava'
import { cagrad } from '../../src/projection/cagrad.ts'
import { attentionScale, gp } from '../../src/projection/gp.ts'
import { dot, gram, norm } from '../../src/projection/gram.ts'
import { graddrop } from '../../src/projection/graddrop.ts'
import { imtlG } from '../../src/projection/imtl-g.ts'
import { mgda } from '../../src/projection/mgda.ts'
import { nashMtl } from '../../src/projection/nash-mtl.ts'
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

interface CagradCase { name: string, grads: number[][], c: number, rescale: 0 | 1 | 2, direction: number[], dots: number[], plainMean: number[] }
const CAGRAD = vectors<CagradCase>('cagrad')
for (const c of CAGRAD.cases) {
  test(`cagrad gives the reference numbers: ${c.name}`, (t) => {
    const rows = doubles(c.grads)
    const { update, solver } = cagrad({ c: c.c, rescale: c.rescale }).aggregate(rows, { ids: ids(rows.length), random: new Random(1) })
    near(t, update, c.direction, CAGRAD.tolerance)
    near(t, rows.map((row) => dot(update, row)), c.dots, CAGRAD.tolerance)
    if (c.c === 0) near(t, update, c.plainMean, 1e-12)
    t.true((solver?.residual ?? 1) < 1e-9, `residual ${solver?.residual}`)
  })
}

interface MgdaCase { name: string, grads: number[][], direction: number[], normSq: number, dots: number[] }
const MGDA = vectors<MgdaCase>('mgda')
for (const c of MGDA.cases) {
  test(`mgda gives the reference numbers: ${c.name}`, (t) => {
    const rows = doubles(c.grads)
    const { update } = mgda().aggregate(rows, { ids: ids(rows.length), random: new Random(1) })
    near(t, update, c.direction, MGDA.tolerance)
    near(t, [dot(update, update)], [c.normSq], MGDA.tolerance)
    near(t, rows.map((row) => dot(update, row)), c.dots, MGDA.tolerance)
  })
}

interface ImtlCase { name: string, grads: number[][], alpha: number[], direction: number[], equalProjection: number }
const IMTL = vectors<ImtlCase>('imtl-g')
for (const c of IMTL.cases) {
  test(`imtl-g gives the reference numbers: ${c.name}`, (t) => {
    const rows = doubles(c.grads)
    const { update } = imtlG().aggregate(rows, { ids: ids(rows.length), random: new Random(1) })
    near(t, update, c.direction, IMTL.tolerance)
    near(t, rows.map((row) => dot(update, row) / norm(row)), rows.map(() => c.equalProjection), IMTL.tolerance)
    const summed = c.alpha.reduce<number[]>((sum, a, i) => sum.map((x, k) => x + a * (c.grads[i]?.[k] as number)), c.direction.map(() => 0))
    near(t, update, summed, IMTL.tolerance)
  })
}

interface NashCase { name: string, grads: number[][], alpha: number[], directionNormalised: number[], frobenius: number }
const NASH = vectors<NashCase>('nash-mtl')
for (const c of NASH.cases) {
  test(`nash-mtl gives the reference numbers: ${c.name}`, (t) => {
    const rows = doubles(c.grads)
    const ctx = { ids: ids(rows.length), random: new Random(1) }
    const { update, solver } = nashMtl({ maxNorm: Infinity }).aggregate(rows, ctx)
    near(t, update, c.directionNormalised, NASH.tolerance)
    t.true((solver?.residual ?? 1) < 1e-9)
    const gains = rows.map((row) => dot(update, row) / Math.sqrt(c.frobenius))
    near(t, gains.map((gain, i) => gain * (c.alpha[i] as number)), rows.map(() => 1), NASH.tolerance)
    const clipped = nashMtl().aggregate(rows, ctx).update
    const size = norm(Float64Array.from(c.directionNormalised))
    near(t, clipped, c.directionNormalised.map((x) => x / Math.max(1, size)), NASH.tolerance)
  })
}

interface DropCase { name: string, grads: number[][], uniform: number[], leak: number, direction: number[] }
const DROP = vectors<DropCase>('graddrop')
for (const c of DROP.cases) {
  test(`graddrop gives the reference numbers: ${c.name}`, (t) => {
    const rows = doubles(c.grads)
    const ctx = { ids: ids(rows.length), random: new Random(1) }
    near(t, graddrop({ leak: c.leak, uniform: c.uniform }).aggregate(rows, ctx).update, c.direction, DROP.tolerance)
    near(t, graddrop({ leak: c.leak, uniform: c.uniform, reduce: 'mean' }).aggregate(rows, ctx).update, c.direction.map((x) => x / rows.length), DROP.tolerance)
  })
}
