/**
 * The unlabelled rows that all sites see. They come from nobody's site: from a file that all members were given, whose hash the
 * charter fixes, or drawn from the form of the input alone. Rows made of members' own, such as permuted columns of a table, would
 * publish what they hold.
 */
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { DataError } from '../../errors.ts'
import { Random, deriveSeed } from '../../random.ts'
import { elements } from '../../tensor/tensor.ts'
import type { InputSpec, Rows } from '../../data/dataset.ts'

export type PublicSet = { readonly rows: number, readonly seed: number } | PublicFile

export interface PublicFile {
  readonly rows: number
  /** Float32, little endian, row after row as the model's input has them; relative to the folder in which a site runs. */
  readonly file: string
  /** Of the file, in hex. */
  readonly sha256: string
}

/** @throws {DataError} the file is missing, of another size, or not the one that the charter names */
export function publicRows (set: PublicSet, input: InputSpec): Rows {
  const x = 'file' in set ? read(set, input) : draw(set, input)
  return { count: set.rows, x, y: {}, source: Int32Array.from({ length: set.rows }, (_, row) => row) }
}

function read ({ rows, file, sha256 }: PublicFile, input: InputSpec): Float32Array {
  const bytes = rows * elements(input.shape) * Float32Array.BYTES_PER_ELEMENT
  const next = `every site needs the file of the charter's method.public, ${bytes} bytes with sha-256 ${sha256}`
  let size: number
  try {
    size = statSync(file).size
  } catch (cause) {
    throw new DataError(`the public rows ${file} cannot be read`, { cause, next })
  }
  if (size !== bytes) throw new DataError(`the public rows ${file} have ${size} bytes, ${rows} rows of [${input.shape.join(', ')}] have ${bytes}`, { next })
  const content = readFileSync(file)
  if (createHash('sha256').update(content).digest('hex') !== sha256) throw new DataError(`the public rows ${file} are not those of the charter: another sha-256`, { next })
  const x = Float32Array.from({ length: bytes / 4 }, (_, i) => content.readFloatLE(4 * i))
  if (!x.every(Number.isFinite)) throw new DataError(`the public rows ${file} have numbers that are not finite`, { next })
  return x
}

/** Standard normal numbers, as prepared inputs are scaled to about one; of tokens, one random bucket each. */
function draw ({ rows, seed }: { rows: number, seed: number }, { modality, shape, buckets = 0 }: InputSpec): Float32Array {
  const random = new Random(deriveSeed(seed, 'public rows'))
  const slots = shape[1] ?? 1
  const token = (i: number): number => i % slots === 0 ? random.int(buckets) : -1
  return Float32Array.from({ length: rows * elements(shape) }, (_, i) => modality === 'tokens' ? token(i) : random.normal())
}
