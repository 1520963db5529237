/**
 * PNG pictures as bytes: grey, colour and palette, 1 to 16 bits (of 16 the upper 8), not interlaced; transparency is left
 * out. Sizes are checked against the limits and the checksums against the content before anything is unpacked, and no more
 * is unpacked than the header promises.
 */
import { crc32, inflate } from 'node:zlib'
import { readBytes, readHead } from './bytes.ts'
import { DataError } from '../../errors.ts'

export interface PngPicture {
  readonly height: number
  readonly width: number
  /** 1 for grey, 3 for colour. */
  readonly channels: number
  /** height x width x channels. */
  readonly data: Uint8Array
}

type Header = Omit<PngPicture, 'data'> & { readonly depth: number, readonly samples: number, readonly palette: boolean }

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
/** Signature and IHDR. */
const HEAD_BYTES = 33
/** A side; the largest picture takes 48 MiB in colour. */
const MAX_SIDE = 4096
const MAX_PNG_BYTES = 64 * 2 ** 20
/** Samples per pixel in the file, by colour type. */
const SAMPLES: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }
const AGAIN = 'copy it from its source again'

/** The sizes alone. @throws {DataError} */
export async function readPngShape (path: string): Promise<Omit<PngPicture, 'data'>> {
  const { height, width, channels } = headerOf(path, (await readHead(path, HEAD_BYTES)).head)
  return { height, width, channels }
}

/** @throws {DataError} empty, cut off, damaged, no PNG, or of a kind that is not read */
export async function readPng (path: string): Promise<PngPicture> {
  const bytes = await readBytes(path, { maxBytes: MAX_PNG_BYTES })
  const header = headerOf(path, bytes)
  const { packed, palette } = chunksOf(path, bytes)
  if (header.palette && palette === undefined) throw new DataError(`${path}: a PNG without its palette`, { next: AGAIN })
  const rowBytes = Math.ceil(header.width * header.samples * header.depth / 8)
  const raw = await unpacked(path, packed, header.height * (rowBytes + 1))
  unfilter(path, raw, header.height, rowBytes, Math.max(1, header.samples * header.depth >> 3))
  const { height, width, channels } = header
  return { height, width, channels, data: pixels(path, raw, rowBytes, header, palette) }
}

function headerOf (path: string, bytes: Buffer): Header {
  if (!SIGNATURE.equals(bytes.subarray(0, 8))) {
    const cut = bytes.length < 8 && SIGNATURE.subarray(0, bytes.length).equals(bytes)
    throw new DataError(`${path}: ${cut ? `cut off after ${bytes.length} bytes` : `no PNG (it starts with '${printable(bytes.subarray(0, 8))}')`}`, { next: cut ? AGAIN : 'save the picture as PNG' })
  }
  if (bytes.length < HEAD_BYTES) throw new DataError(`${path}: cut off after ${bytes.length} bytes`, { next: AGAIN })
  if (bytes.readUInt32BE(8) !== 13 || bytes.toString('latin1', 12, 16) !== 'IHDR' || bytes.readUInt32BE(29) !== crc32(bytes.subarray(12, 29))) throw new DataError(`${path}: a damaged PNG header`, { next: AGAIN })
  const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)]
  const [depth, colour, compression, filter, interlace] = bytes.subarray(24, 29) as unknown as [number, number, number, number, number]
  const samples = SAMPLES[colour]
  if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE) throw new DataError(`${path}: a picture of ${width} x ${height}, 1 to ${MAX_SIDE} a side are read`, { next: 'make it smaller' })
  const depths = colour === 0 ? [1, 2, 4, 8, 16] : colour === 3 ? [1, 2, 4, 8] : [8, 16]
  if (samples === undefined || !depths.includes(depth) || compression !== 0 || filter !== 0) throw new DataError(`${path}: a PNG of unknown kind (colour type ${colour}, ${depth} bits)`, { next: 'save it as an 8-bit PNG' })
  if (interlace !== 0) throw new DataError(`${path}: an interlaced PNG`, { next: 'save it without interlacing' })
  return { width, height, channels: colour === 0 || colour === 4 ? 1 : 3, depth, samples, palette: colour === 3 }
}

function chunksOf (path: string, bytes: Buffer): { packed: Buffer, palette: Buffer | undefined } {
  const parts: Buffer[] = []
  let palette: Buffer | undefined
  for (let at = 8; ;) {
    const length = at + 8 <= bytes.length ? bytes.readUInt32BE(at) : NaN
    if (!(at + 12 + length <= bytes.length)) throw new DataError(`${path}: cut off after ${bytes.length} bytes`, { next: AGAIN })
    const body = bytes.subarray(at + 4, at + 8 + length)
    if (bytes.readUInt32BE(at + 8 + length) !== crc32(body)) throw new DataError(`${path}: damaged at byte ${at} (checksum)`, { next: AGAIN })
    const kind = body.toString('latin1', 0, 4)
    if (kind === 'IDAT') parts.push(body.subarray(4))
    if (kind === 'PLTE') palette = body.subarray(4)
    if (kind === 'IEND') return { packed: Buffer.concat(parts), palette }
    at += 12 + length
  }
}

async function unpacked (path: string, packed: Buffer, bytes: number): Promise<Buffer> {
  const damaged = (why: string, cause?: unknown): DataError => new DataError(`${path}: damaged picture data (${why})`, { cause, next: AGAIN })
  return await new Promise((resolve, reject) => {
    inflate(packed, { maxOutputLength: bytes }, (err, raw) => {
      if (err !== null) reject(damaged((err as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'more than the header says' : err.message, err))
      else if (raw.length !== bytes) reject(damaged(`${raw.length} of ${bytes} bytes`))
      else resolve(raw)
    })
  })
}

/** Undoes the prediction of each row, in place; the first byte of a row says which it was. */
function unfilter (path: string, raw: Buffer, height: number, rowBytes: number, step: number): void {
  for (let y = 0; y < height; y++) {
    const start = y * (rowBytes + 1) + 1
    const filter = raw[start - 1] as number
    if (filter > 4) throw new DataError(`${path}: damaged picture data (filter ${filter})`, { next: AGAIN })
    for (let i = 0; i < rowBytes; i++) {
      const left = i < step ? 0 : raw[start + i - step] as number
      const up = y === 0 ? 0 : raw[start + i - rowBytes - 1] as number
      const corner = i < step || y === 0 ? 0 : raw[start + i - rowBytes - 1 - step] as number
      const guess = filter === 1 ? left : filter === 2 ? up : filter === 3 ? (left + up) >> 1 : filter === 4 ? paeth(left, up, corner) : 0
      raw[start + i] = (raw[start + i] as number) + guess
    }
  }
}

function paeth (left: number, up: number, corner: number): number {
  const guess = left + up - corner
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)]
  return a <= b && a <= c ? left : b <= c ? up : corner
}

function pixels (path: string, raw: Buffer, rowBytes: number, { height, width, channels, depth, samples, palette: indexed }: Header, palette: Buffer | undefined): Uint8Array {
  const out = new Uint8Array(height * width * channels)
  const scale = depth < 8 && !indexed ? 255 / (2 ** depth - 1) : 1
  const sample = (row: number, i: number): number => {
    if (depth >= 8) return raw[row + i * (depth / 8)] as number
    const bit = i * depth
    return ((raw[row + (bit >> 3)] as number) >> (8 - depth - (bit & 7))) & (2 ** depth - 1)
  }
  for (let y = 0; y < height; y++) {
    const row = y * (rowBytes + 1) + 1
    for (let x = 0; x < width; x++) {
      const to = (y * width + x) * channels
      if (!indexed) {
        for (let c = 0; c < channels; c++) out[to + c] = scale * sample(row, x * samples + c)
        continue
      }
      const colour = 3 * sample(row, x)
      if (palette === undefined || colour + 3 > palette.length) throw new DataError(`${path}: a colour that its palette does not have`, { next: AGAIN })
      out.set(palette.subarray(colour, colour + 3), to)
    }
  }
  return out
}

function printable (bytes: Buffer): string { return bytes.toString('latin1').replace(/[^\x20-\x7e]/g, '.') }
