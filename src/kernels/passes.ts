/**
 * Work that goes over all rows once from front to back, as a generator: it asks for a range, is sent what every row holds
 * there, and keeps sums of its own. So one algorithm serves rows in memory (`over`) and rows that come piece by piece
 * from a disk or a network (`overSource`), with the same bits.
 */
import { InvalidParametersError } from '../errors.ts'
import { BLOCK } from './layout.ts'
import { workspace } from './workspace.ts'
import type { Row } from './workspace.ts'

/** Numbers of each row that a pass asks for at once: 256 KiB of float32, a useful read from a disk. */
const RANGE = 64 * BLOCK

/** The numbers `from` to `to` (not included) of every row. */
export interface Range { readonly from: number, readonly to: number }

export type Pass<T> = Generator<Range, T, readonly Row[]>

/** Rows that need not be in memory as a whole. */
export interface RowSource {
  /** How many rows. */
  readonly rows: number
  /** Numbers per row. */
  readonly length: number
  /** The numbers `from` to `to` (not included) of every row. A pass asks in order, and there are two or three passes. */
  block (from: number, to: number): readonly Row[] | Promise<readonly Row[]>
}

/** Runs a pass over rows in memory. */
export function over<T> (rows: readonly Row[], pass: Pass<T>): T {
  let next = pass.next()
  while (next.done !== true) {
    const { from, to } = next.value
    next = pass.next(rows.map((row) => row.subarray(from, to)))
  }
  return next.value
}

/** Runs a pass over a source. @throws {InvalidParametersError} a block that is not of the rows and the range asked for */
export async function overSource<T> (source: RowSource, pass: Pass<T>): Promise<T> {
  let next = pass.next()
  while (next.done !== true) {
    const { from, to } = next.value
    const rows = await source.block(from, to)
    if (rows.length !== source.rows || rows.some((row) => row.length !== to - from)) {
      throw new InvalidParametersError(`asked for numbers ${from} to ${to} of ${source.rows} rows, got ${rows.map((row) => row.length).join(', ')}`)
    }
    next = pass.next(rows)
  }
  return next.value
}

/**
 * Products of the first `leading` rows with all rows, [leading, n] row-major; all of the Gram matrix for leading = n.
 *
 * @param extra - one more row, held by the caller; the last of the n
 */
export function * products (given: number, length: number, leading: number, extra?: Row): Pass<Float64Array> {
  const n = given + (extra === undefined ? 0 : 1)
  const sums = new Float64Array(leading * n)
  yield * eachBlock(length, n, (rows, at, from) => {
    for (let i = 0; i < given; i++) workspace.load(i, rows[i] as Row, at)
    if (extra !== undefined) workspace.load(given, extra, from)
    workspace.addProducts(sums, leading, n)
  })
  for (let i = 0; i < leading; i++) {
    for (let j = 0; j < i; j++) sums[i * n + j] = sums[j * n + i] as number
  }
  return sums
}

/** What a stored direction measures: d . d, then d . g for the rows it was made of. */
export interface Measured { readonly square: number, readonly dots: Float64Array }

/**
 * Writes sum_i coefficients[i] rows[which[i]] to `into`, and measures what is stored there against those rows.
 *
 * @param kept - what `into` holds already is added this many times
 */
export function * combination (which: readonly number[], coefficients: Float64Array, into: Row, kept = 0): Pass<Measured> {
  const n = which.length
  const sums = new Float64Array(n + 1)
  const all = kept === 0 ? coefficients : Float64Array.of(...coefficients, kept)
  yield * eachBlock(into.length, all.length + 1, (rows, at, from) => {
    which.forEach((row, i) => { workspace.load(i + 1, rows[row] as Row, at) })
    if (kept !== 0) workspace.load(n + 1, into, from)
    workspace.combine(0, 1, all)
    workspace.save(0, into, from)
    workspace.addProducts(sums, 1, n + 1)
  })
  return { square: sums[0] as number, dots: sums.subarray(1) }
}

/** Writes one block of an update to `out` from the same block of every row; blocks come in order, each once. */
export type Mix = (rows: readonly Float64Array[], out: Float64Array) => void

/** Writes what `mix` makes of rows[which[i]] to `into`, and measures what is stored there against those rows. */
export function * mixture (which: readonly number[], mix: Mix, into: Row): Pass<Measured> {
  const n = which.length
  const sums = new Float64Array(n + 1)
  yield * eachBlock(into.length, n + 1, (rows, at, from) => {
    which.forEach((row, i) => { workspace.load(i + 1, rows[row] as Row, at) })
    workspace.clear(0)
    mix(which.map((_, i) => workspace.values(i + 1)), workspace.values(0))
    workspace.save(0, into, from)
    workspace.addProducts(sums, 1, n + 1)
  })
  return { square: sums[0] as number, dots: sums.subarray(1) }
}

/** Writes one row to `into`, bit for bit. */
export function * copy (row: number, into: Row): Pass<void> {
  for (const range of ranges(into.length)) into.set((yield range)[row] as Row, range.from)
}

/** Visits sum_i coefficients[i] rows[i] block by block, in float64: `values` hold until the visit ends, `from` is where they begin. */
export function * combined (coefficients: Float64Array, length: number, visit: (values: Float64Array, from: number) => void): Pass<void> {
  yield * eachBlock(length, coefficients.length + 1, (rows, at, from) => {
    rows.forEach((row, i) => { workspace.load(i + 1, row, at) })
    workspace.combine(0, 1, coefficients)
    visit(workspace.values(0), from)
  })
}

export function dot (a: Row, b: Row): number { return over([a, b], products(2, a.length, 1))[1] as number }

export function norm (a: Row): number { return Math.sqrt(over([a], products(1, a.length, 1))[0] as number) }

/** Gram matrix of n rows of one length, [n, n] row-major. */
export function gram (rows: readonly Row[]): Float64Array { return over(rows, products(rows.length, rows[0]?.length ?? 0, rows.length)) }

/** Visits every block: the rows of a range, where in them the block begins, and where in the whole. */
function * eachBlock (length: number, slots: number, visit: (rows: readonly Row[], at: number, from: number) => void): Pass<void> {
  for (const range of ranges(length)) {
    const rows = yield range
    for (let from = range.from; from < range.to; from += BLOCK) {
      workspace.begin(Math.min(BLOCK, range.to - from), slots)
      visit(rows, from - range.from, from)
    }
  }
}

function * ranges (length: number): Generator<Range, void, undefined> {
  for (let from = 0; from < length; from += RANGE) yield { from, to: Math.min(length, from + RANGE) }
}
