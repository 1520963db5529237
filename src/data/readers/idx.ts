/**
 * IDX files, plain or gzip: two zero bytes, the element type (8, unsigned byte), the number of dimensions, each size
 * as a big-endian 32-bit integer, then the elements. The sizes are checked against the file before any memory is
 * taken for them.
 */
import { readBytes, readHead } from './bytes.ts'
import { DataError } from '../../errors.ts'
import { elements } from '../../tensor/tensor.ts'

export interface IdxArray {
  readonly path: string
  readonly shape: readonly number[]
  readonly data: Uint8Array
}

/** Rows, height, width, channels; the field could say 255. */
const MAX_DIMS = 4
const UNSIGNED_BYTE = 8
const OTHER_TYPES: Readonly<Record<number, string>> = { 9: 'signed bytes', 11: '16-bit integers', 12: '32-bit integers', 13: '32-bit floats', 14: '64-bit floats' }

/**
 * The sizes alone, to know a picture's shape without reading the pictures.
 *
 * @throws {DataError}
 */
export async function readIdxShape (path: string): Promise<readonly number[]> {
  const { head, atMost, packed } = await readHead(path, 4 + 4 * MAX_DIMS)
  const { shape, bytes } = parseHeader(path, head)
  if (packed ? bytes > atMost : bytes !== atMost) throw sizeError(path, shape, bytes, packed ? undefined : atMost)
  return shape
}

/** @throws {DataError} */
export async function readIdx (path: string): Promise<IdxArray> {
  const shape = await readIdxShape(path)
  const start = 4 + 4 * shape.length
  const bytes = start + elements(shape)
  const content = await readBytes(path)
  if (content.length !== bytes) throw sizeError(path, shape, bytes, content.length)
  return { path, shape, data: content.subarray(start) }
}

function parseHeader (path: string, head: Buffer): { shape: readonly number[], bytes: number } {
  const next = 'give an IDX file of unsigned bytes (two zero bytes, 8, dimensions), plain or .gz'
  if (head.length < 8) throw new DataError(`${path}: too short for an IDX header (${head.length} bytes)`, { next })
  const [zero, zeroToo, type, dims] = head as unknown as [number, number, number, number]
  if (zero !== 0 || zeroToo !== 0) throw new DataError(`${path}: not an IDX file (it starts with 0x${head.subarray(0, 4).toString('hex')})`, { next })
  if (type !== UNSIGNED_BYTE) throw new DataError(`${path}: IDX of ${OTHER_TYPES[type] ?? `unknown type ${type}`}, only unsigned bytes (type 8) are read`, { next })
  if (dims < 1 || dims > MAX_DIMS) throw new DataError(`${path}: IDX with ${dims} dimensions, 1 to ${MAX_DIMS} are read`, { next })
  if (head.length < 4 + 4 * dims) throw new DataError(`${path}: the file ends within its IDX header`, { next: 'copy it from its source again' })
  const shape = Array.from({ length: dims }, (_, i) => head.readUInt32BE(4 + 4 * i))
  if (shape.some((size) => size === 0)) throw new DataError(`${path}: IDX with a dimension of 0 [${shape.join(', ')}]`, { next: 'give a file with at least one row' })
  return { shape, bytes: 4 + 4 * dims + elements(shape) }
}

function sizeError (path: string, shape: readonly number[], promised: number, actual: number | undefined): DataError {
  const has = actual === undefined ? 'the packed file is too small to hold that' : `it has ${actual}`
  return new DataError(`${path}: its header says [${shape.join(', ')}], which takes ${promised} bytes, but ${has}`, { next: 'the file is cut off or damaged: copy it from its source again' })
}
