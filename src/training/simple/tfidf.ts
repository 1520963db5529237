/**
 * A text as the words it has: how often each occurs, times idf = ln((1 + N) / (1 + n)) + 1 over this site's N training
 * texts, n of which have the word; rows of length 1. Words are the readers' hash buckets, the first slot of every token:
 * beginnings, ends and n-grams in the other slots are left out. Words that no training text has are left out too.
 */
import { RowBuilder } from './rows.ts'
import type { Encoder } from './rows.ts'
import type { InputSpec } from '../../data/dataset.ts'

export function inverseDocumentFrequency (documents: number, having: number): number {
  return Math.log((1 + documents) / (1 + having)) + 1
}

/** How often each bucket of words occurs in a text. */
export function wordCounts ({ shape: [length = 0, slots = 1] }: InputSpec, x: Float32Array, row: number): Map<number, number> {
  const counts = new Map<number, number>()
  for (let token = 0; token < length; token++) {
    const bucket = x[(row * length + token) * slots] as number
    if (bucket >= 0) counts.set(bucket, (counts.get(bucket) ?? 0) + 1)
  }
  return counts
}

export function tfidfEncoder (input: InputSpec, x: Float32Array, count: number): Encoder {
  const having = new Map<number, number>()
  for (let row = 0; row < count; row++) for (const bucket of wordCounts(input, x, row).keys()) having.set(bucket, (having.get(bucket) ?? 0) + 1)
  // In the order of buckets, so that columns do not depend on the order of texts.
  const columns = new Map([...having].sort(([a], [b]) => a - b).map(([bucket, n], column) => [bucket, { column, idf: inverseDocumentFrequency(count, n) }]))
  return {
    columns: columns.size,
    encode (rows, n) {
      const builder = new RowBuilder()
      for (let row = 0; row < n; row++) {
        const entries: Array<[number, number]> = []
        for (const [bucket, times] of wordCounts(input, rows, row)) {
          const word = columns.get(bucket)
          if (word !== undefined) entries.push([word.column, times * word.idf])
        }
        const norm = Math.hypot(...entries.map(([, value]) => value))
        builder.add(entries.sort(([a], [b]) => a - b).map(([column, value]) => [column, value / norm]))
      }
      return builder.build(columns.size)
    }
  }
}
