/**
 * A folder of PNG pictures, one folder below it per class where there are classes:
 *
 *     pictures/cat/a.png  pictures/cat/b.png  pictures/dog/a.png
 *
 * It becomes an array of rows like an IDX file, and a table with the columns `file` ('cat/a.png') and `folder` ('cat').
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { MAX_FILE_BYTES, fileError } from './bytes.ts'
import { MAX_BAD_SHARE, SkipList } from './skips.ts'
import { readPng, readPngShape } from './png.ts'
import { tableOf } from './csv.ts'
import { DataError } from '../../errors.ts'
import type { IdxArray } from './idx.ts'
import type { Table } from './csv.ts'

export interface Pictures {
  readonly array: IdxArray
  /** Names what was left out, too. */
  readonly table: Table
  /** Of the files that were left out, why. */
  readonly causes: ReadonlyMap<string, string>
}

const MAX_PICTURES = 1_000_000

/** [1, height, width, channels] of the first picture whose header reads. @throws {DataError} there is none */
export async function readPicturesShape (folder: string): Promise<readonly number[]> {
  let reason: unknown
  for (const file of await listed(folder)) {
    try {
      const { height, width, channels } = await readPngShape(join(folder, file))
      return [1, height, width, channels]
    } catch (err) {
      reason ??= err
    }
  }
  throw reason
}

/** @throws {DataError} no picture at all, too many for the memory, or too many that cannot be read */
export async function readPictures (folder: string): Promise<Pictures> {
  const files = await listed(folder)
  const [, height = 0, width = 0, channels = 0] = await readPicturesShape(folder)
  const size = height * width * channels
  if (files.length * size > MAX_FILE_BYTES) throw new DataError(`${folder}: ${files.length} pictures of ${height} x ${width} take more than ${MAX_FILE_BYTES / 2 ** 20} MiB`, { next: 'make them smaller, or keep fewer' })
  const data = new Uint8Array(files.length * size)
  const good: string[] = []
  const skips = new SkipList()
  const causes = new Map<string, string>()
  for (const file of files) {
    try {
      const picture = await readPng(join(folder, file))
      if (picture.height !== height || picture.width !== width || picture.channels !== channels) {
        throw new DataError(`${join(folder, file)}: ${picture.height} x ${picture.width} x ${picture.channels}, the others are ${height} x ${width} x ${channels}`, { next: 'bring all pictures to one size' })
      }
      data.set(picture.data, good.length * size)
      good.push(file)
    } catch (err) {
      if (!(err instanceof DataError)) throw err
      skips.add(err.message)
      causes.set(file, err.message)
    }
  }
  skips.check(folder, files.length, MAX_BAD_SHARE)
  const rows = good.map((file) => [file, file.includes('/') ? file.slice(0, file.indexOf('/')) : ''])
  return {
    array: { path: folder, shape: [good.length, height, width, channels], data: data.subarray(0, good.length * size) },
    table: tableOf(folder, ['file', 'folder'], rows, (row) => good[row] as string, skips),
    causes
  }
}

/** Files in the folder and the folders below it, in a fixed order; names that begin with a dot are the system's. */
async function listed (folder: string): Promise<string[]> {
  try {
    const top = (await readdir(folder, { withFileTypes: true })).filter(({ name }) => !name.startsWith('.'))
    const files = top.filter((entry) => !entry.isDirectory()).map(({ name }) => name)
    for (const { name } of top.filter((entry) => entry.isDirectory())) {
      const inside = await readdir(join(folder, name), { withFileTypes: true })
      files.push(...inside.filter((entry) => !entry.name.startsWith('.') && !entry.isDirectory()).map((entry) => `${name}/${entry.name}`))
      if (files.length > MAX_PICTURES) throw new DataError(`${folder}: more than ${MAX_PICTURES} files`, { next: 'divide the folder' })
    }
    if (files.length === 0) throw new DataError(`${folder}: no picture in it`, { next: 'put PNG files there, in one folder per class' })
    return files.sort((a, b) => a < b ? -1 : 1)
  } catch (err) {
    throw fileError(folder, err)
  }
}
