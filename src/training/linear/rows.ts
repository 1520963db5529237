/**
 * Rows as a shared linear model reads them. The agreed numbers alone decide, so that a column means the same at every site:
 *
 *     texts     how often each bucket of words occurs, times idf = 1 + ln((1 + e) / (s + e)), divided by the length: s is the
 *               share of all sites' documents that have the bucket, e what one document per site is of them
 *     others    the columns as the manifest scales them, divided by the square root of their number, and by more where a row
 *               would still be longer than 1
 *
 * No row is longer than 1, from which the step that training may take follows.
 *
 * The shares leave a site once, before the first gradient: how many of its documents have a word of a bucket. They name
 * buckets, not words: a word has its bucket in common with others. But who guesses a word can see that a site has none of its
 * bucket, and a host sees each of its sites' shares; only a secure sum would hide them.
 */
import { RowBuilder } from '../simple/rows.ts'
import { linearColumns } from '../../models/linear.ts'
import { wordCounts } from '../simple/tfidf.ts'
import type { InputSpec, Rows } from '../../data/dataset.ts'
import type { SparseRows } from '../simple/rows.ts'

/** Share of documents per bucket, and at last one document as a share: averaged by documents, sites per document. */
export function documentShares (input: InputSpec, { x, count }: Rows): Float32Array {
  const shares = new Float64Array(linearColumns(input) + 1)
  for (let row = 0; row < count; row++) for (const bucket of wordCounts(input, x, row).keys()) shares[bucket] = (shares[bucket] as number) + 1 / count
  shares[shares.length - 1] = 1 / Math.max(1, count)
  return Float32Array.from(shares)
}

/** @param shares - agreed document shares, for texts */
export function linearRows (input: InputSpec, x: Float32Array, count: number, shares: Float32Array | undefined): SparseRows {
  const columns = linearColumns(input)
  const builder = new RowBuilder()
  for (let row = 0; row < count; row++) {
    const entries = shares === undefined
      ? numbers(x.subarray(row * columns, (row + 1) * columns))
      : words(wordCounts(input, x, row), shares)
    const length = Math.hypot(...entries.map(([, value]) => value))
    const divisor = shares === undefined ? Math.max(Math.sqrt(columns), length) : length
    builder.add(entries.map(([column, value]) => [column, value / divisor]))
  }
  return builder.build(columns)
}

type Entry = readonly [column: number, value: number]

function numbers (row: Float32Array): Entry[] {
  return [...row].flatMap((value, column) => value === 0 ? [] : [[column, value] as const])
}

function words (counts: ReadonlyMap<number, number>, shares: Float32Array): Entry[] {
  const one = shares.at(-1) as number
  if (one === 0) return [...counts] // nothing is agreed yet
  return [...counts].sort(([a], [b]) => a - b).map(([bucket, times]) => [bucket, times * (1 + Math.log((1 + one) / ((shares[bucket] as number) + one)))])
}
