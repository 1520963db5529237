/** What the files of one site hold, aligned row by row, and the questions that splits, inputs and targets ask of a row. */
import { join } from 'node:path'
import { isPictures, isTable } from './manifest.ts'
import { readCsv, withRows } from './readers/csv.ts'
import { readIdx, readIdxShape } from './readers/idx.ts'
import { readPictures, readPicturesShape } from './readers/pictures.ts'
import { MAX_BAD_SHARE, SkipList } from './readers/skips.ts'
import { DataError } from '../errors.ts'
import type { ColumnRule, Manifest, Value } from './manifest.ts'
import type { Table } from './readers/csv.ts'
import type { IdxArray } from './readers/idx.ts'
import type { Pictures } from './readers/pictures.ts'

export interface Source {
  readonly count: number
  readonly table: Table | undefined
  readonly arrays: ReadonlyMap<string, IdxArray>
  /** Where a row of the table is in the arrays. */
  readonly arrayRow: (row: number) => number
}

/** One row of one natural client (`site`). `id` numbers the rows over all sites that were read together. */
export interface Row {
  readonly source: Source
  readonly site: string
  readonly row: number
  readonly id: number
}

/** Path of a role's file for a client; `client` fills {client}. */
export function filePath (manifest: Manifest, folder: string, role: string, client = ''): string {
  return join(folder, (manifest.files[role] as string).replaceAll('{client}', client))
}

/** Sizes in a file's header, or of the pictures in a folder. @throws {DataError} */
export async function readShape (path: string): Promise<readonly number[]> {
  return isPictures(path) ? await readPicturesShape(path) : await readIdxShape(path)
}

/**
 * @param client - fills {client} in the file names
 * @throws {DataError} a file is missing or broken, or the files have different numbers of rows
 */
export async function readSource (manifest: Manifest, folder: string, client?: string): Promise<Source> {
  let table: Table | undefined
  let pictures: Pictures | undefined
  const arrays = new Map<string, IdxArray>()
  const paths = Object.keys(manifest.files).map((role) => [role, filePath(manifest, folder, role, client)] as const)
  // where rows are matched by their order, a row that is left out would shift all that follow
  const inOrder = manifest.index === undefined && paths.some(([, path]) => !isTable(path))
  for (const [role, path] of paths) {
    if (isTable(path)) {
      table = await readCsv(path, { maxBadShare: inOrder ? 0 : MAX_BAD_SHARE, ...manifest.delimiter === undefined ? {} : { delimiter: manifest.delimiter } })
    } else if (isPictures(path)) {
      pictures = await readPictures(path)
      arrays.set(role, pictures.array)
    } else arrays.set(role, await readIdx(path))
  }
  if (pictures !== undefined) return withPictures(pictures, table, manifest.index, arrays)
  const [first, ...others] = [...arrays.values()]
  for (const other of others) {
    if (other.shape[0] !== first?.shape[0]) throw new DataError(`${other.path}: ${other.shape[0]} rows, but ${first?.path} has ${first?.shape[0]}`, { next: 'the files of one client describe the same rows: make their counts equal' })
  }
  const inArrays = first?.shape[0] as number
  if (table === undefined) return { count: inArrays, table, arrays, arrayRow: (row) => row }
  if (manifest.index === undefined) {
    if (first !== undefined && table.count !== inArrays) throw new DataError(`${table.path}: ${table.count} rows, but ${first.path} has ${inArrays}`, { next: 'make their counts equal, or name the column with the row number as index in the manifest' })
    return { count: table.count, table, arrays, arrayRow: (row) => row }
  }
  const index = table.column(manifest.index).map(Number)
  const bad = index.findIndex((n) => !Number.isInteger(n) || n < 0 || (first !== undefined && n >= inArrays))
  if (bad >= 0) throw new DataError(`${table.path} ${table.where(bad)}: index '${table.column(manifest.index)[bad]}' is no row of ${first?.path ?? 'the arrays'} (0 to ${inArrays - 1})`, { next: 'correct the index' })
  return { count: table.count, table, arrays, arrayRow: (row) => index[row] as number }
}

/** Pictures alone have a table of their own; beside a table, its `index` column names the file of each row. */
function withPictures ({ table: own, causes }: Pictures, table: Table | undefined, index: string | undefined, arrays: Source['arrays']): Source {
  if (table === undefined) return { count: own.count, table: own, arrays, arrayRow: (row) => row }
  const rowOf = new Map(own.column('file').map((file, row) => [file, row]))
  const skips = new SkipList()
  for (const what of table.skips.named) skips.add(what)
  const kept: number[] = []
  for (const [row, file] of table.column(index as string).entries()) {
    if (rowOf.has(file)) kept.push(row)
    else skips.add(causes.get(file) ?? `${table.path} ${table.where(row)}: there is no picture '${file.slice(0, 80)}'`)
  }
  skips.check(table.path, table.count + table.skips.count, MAX_BAD_SHARE)
  const rows = withRows(table, kept, skips)
  const arrayRows = rows.column(index as string).map((file) => rowOf.get(file) as number)
  return { count: rows.count, table: rows, arrays, arrayRow: (row) => arrayRows[row] as number }
}

/** File and line of a row, for messages. */
export function place (source: Source, row: number): string { return source.table === undefined ? `row ${row}` : `${source.table.path} ${source.table.where(row)}` }

/** @throws {DataError} the site has no table or the table no such column */
export function cell ({ source, row }: Row, column: string): string {
  return columnOf(source, column)[row] as string
}

export function columnOf (source: Source, column: string): readonly string[] {
  if (source.table === undefined) throw new DataError(`column '${column}' is named but no file is a table`, { next: 'add a .csv or .tsv to files in the manifest' })
  return source.table.column(column)
}

export function arrayOf (source: Source, role: string): IdxArray {
  const array = source.arrays.get(role)
  if (array === undefined) throw new DataError(`no IDX file has the role '${role}', there are ${[...source.arrays.keys()].join(', ') || 'none'}`, { next: 'correct the role in the manifest' })
  return array
}

/** Numbers are compared as numbers: '1.0' in a file is the 1 of a manifest. */
export function canonical (value: Value): string {
  const text = String(value).trim()
  return text !== '' && Number.isFinite(Number(text)) ? String(Number(text)) : text
}

/** Tells missing cells: the empty one, the manifest's markers, a column's own. */
export function missingTest (manifest: Manifest, own: ColumnRule['missing']): (text: string) => boolean {
  const markers = new Set([...manifest.missing ?? [], ...own ?? []].map(canonical))
  return (text) => text === '' || markers.has(canonical(text))
}

/** @throws {DataError} the cell is no number */
export function numberIn (source: Source, row: number, column: string, text: string): number {
  const value = Number(text)
  if (text === '' || !Number.isFinite(value)) {
    throw new DataError(`${place(source, row)}: '${text.slice(0, 40)}' in column '${column}' is not a number`, { next: 'correct the cell, or list it under missing in the manifest' })
  }
  return value
}
