/**
 * What the kernels work on: one buffer of slots, each a block of one row in float64, in which every sum runs.
 *
 *     staging [BLOCK] float32 | sums [8] float64 | slot 0 | slot 1 | ...
 *
 * Rows pass through it block by block, so that they stay in the processor's cache and the rows themselves where they are.
 */

/**
 * Numbers of a row in one block. Sums are taken per block, so this is part of the definition of every result. 1024 x 8 bytes
 * x 32 rows fit the 256 KiB of a second-level cache that is small by today's measure.
 */
export const BLOCK = 1024
/** A cache line more than a block: at a power of two the same element of all rows would compete for the same lines. */
export const SLOT_BYTES = 8 * BLOCK + 64
export const SUMS_AT = 4 * BLOCK
export const SLOTS_AT = SUMS_AT + 64

/** Addresses and sizes are in bytes; sizes are those of float64 numbers, above zero and multiples of 32 (four of them). */
export interface Kernels {
  readonly name: 'simd' | 'plain'
  readonly buffer: ArrayBuffer
  /** Makes the buffer at least so large; its values survive, the old `buffer` does not. */
  grow: (bytes: number) => void
  /** float32 at `from` to float64 at `to`. */
  widen: (from: number, to: number, bytes: number) => void
  /** float64 at `from` to the nearest float32 at `to`. */
  narrow: (from: number, to: number, bytes: number) => void
  /** [2, 4] float64 at `out`: products of the slot `a` and the one after it with the slot `b` and the three after it. */
  products2x4: (a: number, b: number, out: number, bytes: number) => void
  products2x2: (a: number, b: number, out: number, bytes: number) => void
  products1x4: (a: number, b: number, out: number, bytes: number) => void
  /** The slot `out` += c0 .. c3 times the slot `rows` and the three after it. */
  addCombination: (out: number, rows: number, c0: number, c1: number, c2: number, c3: number, bytes: number) => void
  /**
   * In float32: moves the moments `first` and `second` by `gradient`, which gives way to the direction of Adam.
   * `bytes` are those of float32 numbers, a multiple of 16.
   */
  adam: (first: number, second: number, gradient: number, terms: AdamTerms, bytes: number) => void
  /** In float32: values - rate * step - decay * values, in place; `bytes` as for adam. */
  descend: (values: number, step: number, rate: number, decay: number, bytes: number) => void
}

/** What one step of Adam multiplies by: each a float32 number, or rounded to one. */
export interface AdamTerms {
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  /** 1 / (1 - beta^t), for the first and the second moment. */
  readonly correction1: number
  readonly correction2: number
}
