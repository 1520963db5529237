/**
 * One block of several rows at a time, in the memory of the kernels. Nothing is kept from one block to the next: whoever
 * works through rows adds up what a block gave, so that two such passes may take turns.
 */
import { BLOCK, SLOTS_AT, SLOT_BYTES, SUMS_AT } from './layout.ts'
import { plainKernels } from './plain.ts'
import { simdKernels } from './simd.ts'
import type { AdamTerms, Kernels } from './layout.ts'

/** One flattened gradient, or a part of one. */
export type Row = Float32Array | Float64Array

/** float32 numbers that a slot takes. */
const NARROW_BLOCK = 2 * BLOCK

/** Means of past gradients and of their squares. */
export interface Moments { readonly first: Float32Array, readonly second: Float32Array }

export class Workspace {
  readonly #kernels: Kernels
  #slots = 0
  #staging = new Float32Array(0)
  #sums = new Float64Array(0)
  #wide = new Float64Array(0)
  /** Numbers of the block, and the bytes they take in a slot with the zeros that fill it up. */
  #count = 0
  #bytes = 0

  constructor (kernels: Kernels) { this.#kernels = kernels }

  get kernels (): Kernels['name'] { return this.#kernels.name }

  /** Begins a block of `count` numbers, at most BLOCK, in `slots` slots, which hold anything. */
  begin (count: number, slots: number): void {
    this.#count = count
    this.#bytes = 32 * Math.ceil(count / 4)
    if (slots <= this.#slots) return
    // the kernels take four slots at a time, so the last one may reach three slots further
    this.#slots = slots
    this.#kernels.grow(SLOTS_AT + (slots + 3) * SLOT_BYTES)
    this.#staging = new Float32Array(this.#kernels.buffer, 0, BLOCK)
    this.#sums = new Float64Array(this.#kernels.buffer, SUMS_AT, 8)
    this.#wide = new Float64Array(this.#kernels.buffer)
  }

  /** The block's numbers of a row, row[from] first. */
  load (slot: number, row: Row, from: number): void {
    const part = row.subarray(from, from + this.#count)
    if (part instanceof Float32Array) {
      this.#staging.set(part)
      if (this.#count < this.#bytes / 8) this.#staging.fill(0, this.#count, this.#bytes / 8)
      this.#kernels.widen(0, address(slot), this.#bytes)
    } else {
      const at = address(slot) / 8
      this.#wide.set(part, at)
      this.#wide.fill(0, at + this.#count, at + this.#bytes / 8)
    }
  }

  clear (slot: number): void {
    const at = address(slot) / 8
    this.#wide.fill(0, at, at + this.#bytes / 8)
  }

  /** The slot's numbers as they are: valid until the next block. */
  values (slot: number): Float64Array {
    const at = address(slot) / 8
    return this.#wide.subarray(at, at + this.#count)
  }

  /**
   * sums [leading, n] += products of the first `leading` slots with the first n, of those (i, j) with i <= j; some below
   * are added too.
   */
  addProducts (sums: Float64Array, leading: number, n: number): void {
    const { products2x4, products2x2, products1x4 } = this.#kernels
    for (let i = 0; i < leading; i += 2) {
      const rows = Math.min(2, leading - i)
      let columns = 4
      for (let j = i; j < n; j += columns) {
        columns = rows === 2 && n - j <= 2 ? 2 : 4
        const tile = rows === 1 ? products1x4 : columns === 2 ? products2x2 : products2x4
        tile(address(i), address(j), SUMS_AT, this.#bytes)
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < Math.min(columns, n - j); column++) {
            const at = (i + row) * n + j + column
            sums[at] = (sums[at] as number) + (this.#sums[row * columns + column] as number)
          }
        }
      }
    }
  }

  /** The slot = sum_i coefficients[i] slots[from + i]; slots after the last are cleared, up to three. */
  combine (slot: number, from: number, coefficients: Float64Array): void {
    this.clear(slot)
    const n = coefficients.length
    for (let i = n; i % 4 !== 0; i++) this.clear(from + i)
    for (let i = 0; i < n; i += 4) {
      const c = (j: number): number => coefficients[i + j] ?? 0
      this.#kernels.addCombination(address(slot), address(from + i), c(0), c(1), c(2), c(3), this.#bytes)
    }
  }

  /** Moves the moments by a gradient of their length and writes Adam's direction to `into`, all in float32. No block may be open. */
  adam ({ first, second }: Moments, gradient: Float32Array, into: Float32Array, terms: AdamTerms): void {
    this.#narrow([first, second, gradient], [first, second, into], (m, v, g, bytes) => { this.#kernels.adam(m, v, g, terms, bytes) })
  }

  /** values - rate * step - decay * values, in place and in float32. No block may be open. */
  descend (values: Float32Array, step: Float32Array, rate: number, decay: number): void {
    this.#narrow([values, step], [values], (at, from, _, bytes) => { this.#kernels.descend(at, from, rate, decay, bytes) })
  }

  /** Writes the slot to row[from] and on. From then on it holds what the row holds, rounded to the row's type. */
  save (slot: number, row: Row, from: number): void {
    if (row instanceof Float64Array) {
      row.set(this.values(slot), from)
      return
    }
    this.#kernels.narrow(address(slot), 0, this.#bytes)
    row.set(this.#staging.subarray(0, this.#count), from)
    this.#kernels.widen(0, address(slot), this.#bytes)
  }

  /** Takes up to three rows of one length through as many slots part by part, as float32; what the first slots then hold goes to `into`. */
  #narrow (rows: readonly Float32Array[], into: readonly Float32Array[], work: (first: number, second: number, third: number, bytes: number) => void): void {
    this.begin(0, 3)
    const { buffer } = this.#kernels
    const at = [address(0), address(1), address(2)] as const
    const { length } = rows[0] as Float32Array
    for (let from = 0; from < length; from += NARROW_BLOCK) {
      const count = Math.min(length - from, NARROW_BLOCK)
      const held = rows.map((row, i) => {
        const slot = new Float32Array(buffer, at[i], count)
        slot.set(row.subarray(from, from + count))
        return slot
      })
      work(...at, 16 * Math.ceil(count / 4))
      into.forEach((row, i) => { row.set(held[i] as Float32Array, from) })
    }
  }
}

function address (slot: number): number { return SLOTS_AT + slot * SLOT_BYTES }

/** The workspace of this thread. */
export const workspace = new Workspace(simdKernels() ?? plainKernels())
