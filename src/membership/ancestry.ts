/** Who had seen what: for every entry a row of bits, one for each entry among its ancestors. 10 000 entries take 6 MB. */
import type { Entry } from './entry.ts'

export class Ancestry {
  readonly #index = new Map<string, number>()
  readonly #rows: Uint32Array[] = []

  /** @param entries - causes first */
  constructor (entries: Iterable<Entry>) { for (const entry of entries) this.add(entry) }

  /** What it cites must be here. */
  add ({ hash, prev }: Entry): void {
    const i = this.#rows.length
    const row = new Uint32Array((i >> 5) + 1)
    for (const cited of prev) {
      const j = this.#index.get(cited)
      if (j === undefined) throw new Error(`an entry that ${hash.slice(0, 12)} cites is missing`)
      const other = this.#rows[j] as Uint32Array
      for (let word = 0; word < other.length; word++) row[word] = (row[word] as number) | (other[word] as number)
      row[j >> 5] = (row[j >> 5] as number) | (1 << (j & 31))
    }
    this.#index.set(hash, i)
    this.#rows.push(row)
  }

  /** Whether the author of one entry had seen another when it signed. */
  sees (later: string, earlier: string): boolean {
    const i = this.#index.get(later)
    const j = this.#index.get(earlier)
    if (i === undefined || j === undefined || j >= i) return false
    return (((this.#rows[i] as Uint32Array)[j >> 5] as number) >>> (j & 31) & 1) === 1
  }
}
