/** PNG files as other programs write them: every kind of pixel and every filter, and the ways in which such files break. */
import { crc32, deflateSync } from 'node:zlib'

export interface PngInit {
  readonly width: number
  readonly height: number
  /** Samples as the file has them: of `depth` bits, `samples` per pixel. */
  readonly samples: readonly number[]
  readonly colour?: 0 | 2 | 3 | 4 | 6
  readonly depth?: 1 | 2 | 4 | 8 | 16
  /** Filter of each row in turn. */
  readonly filters?: readonly number[]
  readonly palette?: readonly number[]
  readonly interlace?: number
}

const SAMPLES = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 } as const

export function chunk (kind: string, content: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(kind, 'latin1'), content])
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)]
  length.writeUInt32BE(content.length)
  checksum.writeUInt32BE(crc32(body))
  return Buffer.concat([length, body, checksum])
}

export function pngHeader ({ width, height, colour = 0, depth = 8, interlace = 0 }: Omit<PngInit, 'samples'>): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([depth, colour, 0, 0, interlace], 8)
  return Buffer.concat([Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), chunk('IHDR', header)])
}

export function png (init: PngInit): Buffer {
  const { width, height, samples, colour = 0, depth = 8, filters = [0], palette } = init
  const perRow = width * SAMPLES[colour]
  const rowBytes = Math.ceil(perRow * depth / 8)
  const step = Math.max(1, SAMPLES[colour] * depth >> 3)
  const rows = Array.from({ length: height }, (_, y) => {
    const row = new Uint8Array(rowBytes)
    for (let i = 0; i < perRow; i++) {
      const value = samples[y * perRow + i] as number
      if (depth === 16) row.set([value >> 8, value & 255], 2 * i)
      else if (depth === 8) row[i] = value
      else row[i * depth >> 3] = (row[i * depth >> 3] as number) | value << (8 - depth - (i * depth & 7))
    }
    return row
  })
  const filtered = rows.map((row, y) => {
    const filter = filters[y % filters.length] as number
    const guess = (i: number): number => {
      const left = row[i - step] ?? 0
      const up = rows[y - 1]?.[i] ?? 0
      const corner = rows[y - 1]?.[i - step] ?? 0
      const nearest = [left, up, corner].reduce((best, value) => Math.abs(left + up - corner - value) < Math.abs(left + up - corner - best) ? value : best)
      return [0, left, up, Math.floor((left + up) / 2), nearest][filter] ?? 0
    }
    return Buffer.from([filter, ...row.map((value, i) => value - guess(i))])
  })
  return Buffer.concat([
    pngHeader(init),
    ...palette === undefined ? [] : [chunk('PLTE', Uint8Array.from(palette))],
    chunk('tEXt', Buffer.from('Comment\0made for a test')),
    chunk('IDAT', deflateSync(Buffer.concat(filtered))),
    chunk('IEND', new Uint8Array())
  ])
}
