/**
 * A label per token from a linear classifier: a token's features are its own buckets and those of the token before and
 * after it, told apart by their place, with a mark where there is none. Each feature counts the same; rows have length 1.
 * Encoded rows are tokens: row r, token t is number r * length + t. Features that no labelled training token has are left out.
 */
import { RowBuilder } from './rows.ts'
import type { Encoder } from './rows.ts'
import type { InputSpec } from '../../data/dataset.ts'

const PLACES = [-1, 0, 1] as const

/** @param labelled - whether a token (row * length + position) has a label */
export function taggerEncoder ({ shape: [length = 0, slots = 1], buckets = 1 }: InputSpec, x: Float32Array, count: number, labelled: (token: number) => boolean): Encoder {
  const featuresOf = (rows: Float32Array, row: number, token: number): number[] => {
    const features: number[] = []
    for (const [p, offset] of PLACES.entries()) {
      const at = token + offset
      const first = (row * length + at) * slots
      const there = at >= 0 && at < length && (rows[first] as number) >= 0
      if (!there) features.push(PLACES.length * buckets + p)
      else for (let slot = 0; slot < slots; slot++) if ((rows[first + slot] as number) >= 0) features.push(p * buckets + (rows[first + slot] as number))
    }
    return features
  }
  const found = new Set<number>()
  for (let row = 0; row < count; row++) {
    for (let token = 0; token < length; token++) {
      if (labelled(row * length + token)) for (const feature of featuresOf(x, row, token)) found.add(feature)
    }
  }
  const columns = new Map([...found].sort((a, b) => a - b).map((feature, column) => [feature, column]))
  return {
    columns: columns.size,
    encode (rows, n) {
      const builder = new RowBuilder()
      for (let row = 0; row < n; row++) {
        for (let token = 0; token < length; token++) {
          const known = featuresOf(rows, row, token).map(feature => columns.get(feature)).filter(column => column !== undefined)
          const value = 1 / Math.sqrt(known.length)
          builder.add(known.sort((a, b) => a - b).map(column => [column, value]))
        }
      }
      return builder.build(columns.size)
    }
  }
}
