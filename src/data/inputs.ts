/** From files to `Rows.x`: one reader per modality, each with the shape it fills and a writer for one row at a time. */
import { arrayOf, canonical, columnOf, missingTest, numberIn, place } from './source.ts'
import { fmix } from '../random.ts'
import { DataError } from '../errors.ts'
import { elements } from '../tensor/tensor.ts'
import type { InputSpec } from './dataset.ts'
import type { ColumnRule, Manifest, PrepareStep } from './manifest.ts'
import type { Source } from './source.ts'
import type { WordPieces } from './tokenizer.ts'

export interface InputReader {
  readonly spec: InputSpec
  /** `neighbours`: the rows of the same client in the file's order, for windows. */
  writer (source: Source, neighbours: ReadonlyMap<number, number> | undefined): (row: number, x: Float32Array, offset: number) => void
}

/**
 * @param imageShape - sizes in the header of the image file; undefined for other modalities
 * @param pieces - the tokenizer that the manifest names, if any
 * @throws {DataError}
 */
export function inputReader (manifest: Manifest, imageShape: readonly number[] | undefined, pieces?: WordPieces): InputReader {
  switch (manifest.input.modality) {
    case 'image': return images(manifest, imageShape as readonly number[])
    case 'table': return table(manifest)
    case 'series': return series(manifest)
    case 'tokens': return pieces === undefined ? tokens(manifest) : wordPieces(manifest, pieces)
  }
}

// images

interface Picture { height: number, width: number, channels: number, data: Float64Array }

function images (manifest: Manifest, shape: readonly number[]): InputReader {
  const { file, prepare = [] } = manifest.input
  if (shape.length < 3) throw new DataError(`input.file of ${manifest.name}: pictures need 3 or 4 dimensions, it has [${shape.join(', ')}]`, { next: 'name the role of a picture file' })
  const [, height, width, channels = 1] = shape as [number, number, number, number?]
  const after = prepared({ height, width, channels, data: new Float64Array(height * width * channels) }, prepare)
  const spec: InputSpec = { modality: 'image', shape: [after.height, after.width, after.channels] }
  const size = height * width * channels
  return {
    spec,
    writer (source) {
      const array = arrayOf(source, file as string)
      if (array.shape.slice(1).join() !== shape.slice(1).join()) {
        throw new DataError(`${array.path}: pictures of [${array.shape.slice(1).join(', ')}], other sites have [${shape.slice(1).join(', ')}]`, { next: 'bring all pictures to one size' })
      }
      return (row, x, offset) => {
        const start = source.arrayRow(row) * size
        const picture = { height, width, channels, data: Float64Array.from(array.data.subarray(start, start + size)) }
        x.set(prepared(picture, prepare).data, offset)
      }
    }
  }
}

function prepared (picture: Picture, steps: readonly PrepareStep[]): Picture {
  for (const step of steps) {
    if (step.average !== undefined) picture = averaged(picture, step.average)
    else if (step.pad !== undefined) picture = padded(picture, step.pad)
    else if (step.subtract !== undefined) eachChannel(picture, step.subtract, (value, by) => value - by)
    else if (step.divide !== undefined) eachChannel(picture, step.divide, (value, by) => value / by)
    else {
      const mean = picture.data.reduce((a, b) => a + b, 0) / picture.data.length
      picture.data.forEach((v, i, data) => { data[i] = v - mean })
    }
  }
  return picture
}

/** @param by - one number for all channels, or one for each @throws {DataError} other channels than there are */
function eachChannel ({ channels, data }: Picture, by: number | readonly number[], change: (value: number, by: number) => number): void {
  const each = typeof by === 'number' ? Array<number>(channels).fill(by) : by
  if (each.length !== channels) throw new DataError(`prepare: ${each.length} numbers for a picture of ${channels} channels`, { next: 'give one number, or one for each channel' })
  data.forEach((value, i) => { data[i] = change(value, each[i % channels] as number) })
}

function averaged ({ height, width, channels, data }: Picture, side: number): Picture {
  if (height % side !== 0 || width % side !== 0) throw new DataError(`prepare: average ${side} does not divide a picture of ${height} x ${width}`, { next: 'pad it first' })
  const [h, w] = [height / side, width / side]
  const out = new Float64Array(h * w * channels)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < channels; c++) {
        const to = (Math.floor(y / side) * w + Math.floor(x / side)) * channels + c
        out[to] = (out[to] as number) + (data[(y * width + x) * channels + c] as number) / (side * side)
      }
    }
  }
  return { height: h, width: w, channels, data: out }
}

function padded ({ height, width, channels, data }: Picture, [h, w]: readonly [number, number]): Picture {
  if (h < height || w < width) throw new DataError(`prepare: pad to ${h} x ${w} is smaller than a picture of ${height} x ${width}`, { next: 'give the size after padding' })
  const [top, left] = [Math.floor((h - height) / 2), Math.floor((w - width) / 2)]
  const out = new Float64Array(h * w * channels)
  for (let y = 0; y < h; y++) {
    const fromY = Math.min(height - 1, Math.max(0, y - top))
    for (let x = 0; x < w; x++) {
      const fromX = Math.min(width - 1, Math.max(0, x - left))
      for (let c = 0; c < channels; c++) out[(y * w + x) * channels + c] = data[(fromY * width + fromX) * channels + c] as number
    }
  }
  return { height: h, width: w, channels, data: out }
}

// tables and series

function expandedNames (rules: readonly ColumnRule[]): string[] {
  return rules.flatMap(({ name, oneHot, flag }) => [
    ...(oneHot === undefined ? [name] : oneHot.map((value) => `${name}=${value}`)),
    ...(flag === true ? [`${name}?`] : [])
  ])
}

/** Writes the expanded columns of one row: one-hot or scaled value, then the missing flag. */
function columnWriter (manifest: Manifest, source: Source): (row: number, x: Float32Array, offset: number) => void {
  const columns = (manifest.input.columns ?? []).map((rule) => ({
    ...rule,
    cells: columnOf(source, rule.name),
    isMissing: missingTest(manifest, rule.missing),
    categories: rule.oneHot === undefined ? undefined : new Map(rule.oneHot.map((value, i) => [canonical(value), i]))
  }))
  return (row, x, offset) => {
    for (const { name, cells, isMissing, categories, log, mean = 0, deviation = 1, flag } of columns) {
      const text = cells[row] as string
      const missing = isMissing(text)
      if (categories !== undefined) {
        const at = categories.get(canonical(text))
        if (!missing && at === undefined) {
          throw new DataError(`${place(source, row)}: '${text.slice(0, 40)}' in column '${name}' is none of ${[...categories.keys()].join(', ')}`, { next: 'correct the cell, or list the value under oneHot or missing in the manifest' })
        }
        if (!missing) x[offset + (at as number)] = 1
        offset += categories.size
      } else {
        if (!missing) {
          const value = numberIn(source, row, name, text)
          if (log === true && value <= 0) throw new DataError(`${place(source, row)}: ${value} in column '${name}' has no logarithm`, { next: 'list it under missing, or take log out of the manifest' })
          x[offset] = ((log === true ? Math.log(value) : value) - mean) / deviation
        }
        offset++
      }
      if (flag === true) x[offset++] = missing ? 1 : 0
    }
  }
}

function table (manifest: Manifest): InputReader {
  const columns = expandedNames(manifest.input.columns ?? [])
  return {
    spec: { modality: 'table', shape: [columns.length], columns },
    writer: (source) => columnWriter(manifest, source)
  }
}

function series (manifest: Manifest): InputReader {
  const steps = manifest.input.window as number
  const width = expandedNames(manifest.input.columns ?? []).length
  return {
    spec: { modality: 'series', shape: [steps, width] },
    writer (source, neighbours) {
      const write = columnWriter(manifest, source)
      const before = (row: number): number => neighbours === undefined ? Math.max(0, row - 1) : neighbours.get(row) ?? row
      return (row, x, offset) => {
        for (let step = steps - 1; step >= 0; step--) {
          write(row, x, offset + step * width)
          row = before(row)
        }
      }
    }
  }
}

// tokens

const DEFAULT_SLOTS = 12

function tokens (manifest: Manifest): InputReader {
  const { length = 1, buckets = 1, slots = DEFAULT_SLOTS, column } = manifest.input
  return {
    spec: { modality: 'tokens', shape: [length, slots], buckets },
    writer (source) {
      const texts = columnOf(source, column as string)
      return (row, x, offset) => {
        x.fill(-1, offset, offset + length * slots)
        for (const [i, token] of tokenise(texts[row] as string, manifest.input.split).slice(0, length).entries()) {
          for (const [j, bucket] of tokenBuckets(token, manifest.input).entries()) x[offset + i * slots + j] = bucket
        }
      }
    }
  }
}

/** One number per token, its word piece; no hashing. */
function wordPieces ({ input: { length = 1, column } }: Manifest, pieces: WordPieces): InputReader {
  return {
    spec: { modality: 'tokens', shape: [length, 1], buckets: pieces.count, tokenizer: pieces.hash },
    writer (source) {
      const texts = columnOf(source, column as string)
      return (row, x, offset) => {
        x.fill(-1, offset, offset + length)
        x.set(pieces.encode(texts[row] as string, length), offset)
      }
    }
  }
}

/** `spaces` keeps the file's own tokens (labels per token depend on it); `words` also parts words from punctuation. */
export function tokenise (text: string, split: 'words' | 'spaces' = 'words'): string[] {
  return split === 'spaces'
    ? text.split(/\s+/u).filter((token) => token !== '')
    : text.match(/[\p{L}\p{M}\p{N}]+(?:['’][\p{L}]+)*|[^\s\p{L}\p{M}\p{N}]/gu) ?? []
}

/**
 * The hashed features of one token: the word, its beginning, its end, then its n-grams between the marks < and >, as
 * far as there are slots. The kind of a feature is hashed with it, so `in` as word and as prefix are two features.
 */
export function tokenBuckets (token: string, rule: Pick<Manifest['input'], 'buckets' | 'prefix' | 'suffix' | 'ngram' | 'slots' | 'lowercase'>): number[] {
  const { buckets = 1, prefix = 0, suffix = 0, ngram = 0, slots = DEFAULT_SLOTS, lowercase = true } = rule
  const word = [...(lowercase ? token.toLowerCase() : token).normalize('NFC')]
  const features = [`w${word.join('')}`]
  if (prefix > 0) features.push(`p${word.slice(0, prefix).join('')}`)
  if (suffix > 0) features.push(`s${word.slice(-suffix).join('')}`)
  if (ngram > 0) {
    const marked = ['<', ...word, '>']
    for (let i = 0; i + ngram <= marked.length; i++) features.push(`n${marked.slice(i, i + ngram).join('')}`)
  }
  return [...new Set(features.slice(0, slots).map((feature) => hash(feature) % buckets))]
}

/** FNV-1a over UTF-8, finished with murmur3's mixer: the low bits alone would be uneven. */
function hash (text: string): number {
  let h = 0x811c9dc5
  for (const byte of new TextEncoder().encode(text)) h = Math.imul(h ^ byte, 0x01000193)
  return fmix(h >>> 0)
}

/** Fills `count` rows; `x` is zero where a writer writes nothing. */
export function emptyInput (spec: InputSpec, count: number): Float32Array { return new Float32Array(count * elements(spec.shape)) }
