/**
 * Tables in CSV or TSV, plain or gzip, UTF-8 with or without a byte order mark, first line = column names.
 * In a file named .tsv or .tab fields end at tabs and quotes are ordinary characters.
 */
import { parse } from 'csv-parse/sync'
import { readBytes } from './bytes.ts'
import { SkipList } from './skips.ts'
import { DataError } from '../../errors.ts'
import type { Skips } from './skips.ts'

export interface Table {
  readonly path: string
  readonly columns: readonly string[]
  readonly count: number
  /** Samples of the file that are no row here. */
  readonly skips: Skips
  /** Where a row is in the file, for messages: 'line 7'. */
  where (row: number): string
  /** @throws {DataError} no such column; names the ones that exist */
  column (name: string): readonly string[]
}

export interface CsvInit {
  /** One character. Default: a tab for .tsv and .tab, else a comma. */
  delimiter?: string
  maxRows?: number
  maxColumns?: number
  /** Share of rows with too few or too many fields that are left out. Default 0: the first one is an error. */
  maxBadShare?: number
}

/** Text of one table; a V8 string ends at 512 MiB and the cells are copied once more. */
const MAX_TEXT_BYTES = 256 * 2 ** 20
const MAX_ROWS = 5_000_000
/** Wide enough for a row of 64 x 64 pixels; above it the separator is wrong or the file is no table. */
const MAX_COLUMNS = 4096

/** @throws {DataError} */
export async function readCsv (path: string, init: CsvInit = {}): Promise<Table> {
  const content = await readBytes(path, { maxBytes: MAX_TEXT_BYTES })
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(content)
  } catch (cause) {
    throw new DataError(`${path}: not UTF-8 text`, { cause, next: 'save the table as CSV in UTF-8' })
  }
  return parseCsv(text, path, init)
}

/** @throws {DataError} */
export function parseCsv (text: string, path: string, init: CsvInit = {}): Table {
  const tabs = /\.(tsv|tab)(\.gz)?$/i.test(path)
  const delimiter = init.delimiter ?? (tabs ? '\t' : ',')
  const maxRows = init.maxRows ?? MAX_ROWS
  const maxColumns = init.maxColumns ?? MAX_COLUMNS
  let records: string[][]
  try {
    records = parse(text, { bom: true, delimiter, quote: tabs ? null : '"', skip_empty_lines: true, relax_column_count: true, to: maxRows + 2 })
  } catch (cause) {
    const { message, lines } = cause as Error & { lines?: number }
    throw new DataError(`${path}: ${lines === undefined ? message : `line ${lines}: ${message.replace(/ (on|at) line \d+/, '')}`}`, { cause, next: 'close every quote, or save the table as CSV again' })
  }
  const [header, ...all] = records
  if (header === undefined) throw new DataError(`${path}: no header line`, { next: 'write the column names into the first line' })
  if (header.length > maxColumns) throw new DataError(`${path}: ${header.length} columns, at most ${maxColumns} are read`, { next: 'keep only the columns that are needed' })
  if (all.length > maxRows) throw new DataError(`${path}: more than ${maxRows} rows`, { next: 'split the file' })
  if (all.length === 0) throw new DataError(`${path}: column names but no rows`, { next: 'give a table with rows' })
  const skips = new SkipList()
  const kept: number[] = []
  for (const [i, row] of all.entries()) {
    if (row.length === header.length) kept.push(i)
    else skips.add(`${path} line ${i + 2}: ${row.length} ${row.length === 1 ? 'field' : 'fields'}, the first line has ${header.length}`)
  }
  skips.check(path, all.length, init.maxBadShare ?? 0)
  return tableOf(path, header, kept.map((i) => all[i] as string[]), (row) => `line ${(kept[row] as number) + 2}`, skips)
}

/** @throws {DataError} two columns of one name */
export function tableOf (path: string, header: readonly string[], rows: ReadonlyArray<readonly string[]>, where: (row: number) => string, skips: Skips): Table {
  const columns = header.map((name) => name.trim())
  const seen = new Map<string, number>()
  for (const [i, name] of columns.entries()) {
    if (seen.has(name)) throw new DataError(`${path}: two columns are named '${name}'`, { next: 'rename one of them' })
    seen.set(name, i)
  }
  const columnar = columns.map((_, c) => rows.map((row) => (row[c] as string).trim()))
  return {
    path,
    columns,
    count: rows.length,
    skips,
    where,
    column (name) {
      const i = seen.get(name)
      if (i === undefined) {
        throw new DataError(`${path}: no column '${name}', there are ${columns.join(', ')}`, {
          next: columns.length === 1 ? 'the fields may be separated by another character: set delimiter in the manifest' : 'correct the name in the manifest'
        })
      }
      return columnar[i] as string[]
    }
  }
}

/** Some of its rows, in this order. */
export function withRows (table: Table, rows: readonly number[], skips: Skips): Table {
  const cells = table.columns.map((name) => table.column(name))
  return tableOf(table.path, table.columns, rows.map((row) => cells.map((column) => column[row] as string)), (row) => table.where(rows[row] as number), skips)
}
