/**
 * Rows as the solvers read them: the numbers that are not 0, row by row, with their columns. Numeric inputs are centred and
 * scaled with what this site's own training rows say, then divided by the square root of the number of columns: rows have a
 * length of about 1, as rows of text have, so that one strength of regularisation fits all.
 */
import { elements } from '../../tensor/tensor.ts'
import type { InputSpec } from '../../data/dataset.ts'

export interface SparseRows {
  readonly count: number
  readonly columns: number
  /** Row r's numbers are at start[r] up to start[r + 1]. */
  readonly start: Int32Array
  readonly column: Int32Array
  readonly value: Float64Array
}

/** What training rows said about the input: turns any rows of it into a solver's. */
export interface Encoder {
  readonly columns: number
  encode (x: Float32Array, count: number): SparseRows
}

/** A deviation below this share of the column's largest number is rounding: the column is constant and left out. */
const LEAST_DEVIATION = 1e-6

/** Collects rows whose length is not known before. */
export class RowBuilder {
  readonly #start = [0]
  readonly #column: number[] = []
  readonly #value: number[] = []

  add (entries: Iterable<readonly [column: number, value: number]>): void {
    for (const [column, value] of entries) {
      this.#column.push(column)
      this.#value.push(value)
    }
    this.#start.push(this.#column.length)
  }

  build (columns: number): SparseRows {
    return { count: this.#start.length - 1, columns, start: Int32Array.from(this.#start), column: Int32Array.from(this.#column), value: Float64Array.from(this.#value) }
  }
}

/**
 * Numeric inputs. Columns of tables and series have units of their own and are scaled one by one; pixels share one unit and
 * one scale: divided by its own deviation, a corner that is lit in one picture of forty would outweigh the middle.
 */
export function numericEncoder ({ modality, shape }: InputSpec, x: Float32Array, count: number): Encoder {
  const columns = elements(shape)
  const mean = new Float64Array(columns)
  const variance = new Float64Array(columns)
  const largest = new Float64Array(columns)
  for (let i = 0; i < count * columns; i++) {
    mean[i % columns] = (mean[i % columns] as number) + (x[i] as number) / count
    largest[i % columns] = Math.max(largest[i % columns] as number, Math.abs(x[i] as number))
  }
  for (let i = 0; i < count * columns; i++) variance[i % columns] = (variance[i % columns] as number) + ((x[i] as number) - (mean[i % columns] as number)) ** 2 / count
  const varies = variance.map((value, c) => Math.sqrt(value) > LEAST_DEVIATION * (largest[c] as number) ? 1 : 0)
  const kept = varies.reduce((sum, one) => sum + one, 0)
  const common = Math.sqrt(variance.reduce((sum, value) => sum + value, 0) / kept)
  const factor = varies.map((one, c) => one === 0 ? 0 : 1 / (modality === 'image' ? common : Math.sqrt(variance[c] as number)) / Math.sqrt(kept))
  return {
    columns,
    encode (rows, n) {
      const value = new Float64Array(n * kept)
      const column = new Int32Array(n * kept)
      let at = 0
      for (let row = 0; row < n; row++) {
        for (let c = 0; c < columns; c++) {
          if (varies[c] === 0) continue
          column[at] = c
          value[at++] = ((rows[row * columns + c] as number) - (mean[c] as number)) * (factor[c] as number)
        }
      }
      return { count: n, columns, start: Int32Array.from({ length: n + 1 }, (_, row) => row * kept), column, value }
    }
  }
}

/** Some of the rows, in the order asked for. */
export function takeRows (rows: SparseRows, wanted: readonly number[]): SparseRows {
  const builder = new RowBuilder()
  for (const row of wanted) builder.add(entriesOf(rows, row))
  return builder.build(rows.columns)
}

export function * entriesOf ({ start, column, value }: SparseRows, row: number): Generator<readonly [number, number]> {
  for (let i = start[row] as number; i < (start[row + 1] as number); i++) yield [column[i] as number, value[i] as number]
}
