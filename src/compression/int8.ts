/**
 * The int8 codec: one scale (f32) per block, then the elements as round(x / scale), ties away from zero. Layout and error:
 * ./codecs.ts. Tight loops over typed arrays, four elements a turn: a turn's own cost is that of an element.
 */
import { DecodeError, InvalidParametersError } from '../errors.ts'

/** Elements under one scale: 1.6 % on top of the bytes, and an outlier coarsens 255 neighbours, not its whole row. */
export const INT8_BLOCK = 256

/** Largest scale with a finite 127 * scale in float32. */
const SCALE_MAX = Math.fround(3.4028234663852886e38 / 127) - 2 ** 98 // the quotient rounds up; one step (2^98) below it
/** Smallest positive float32: the scale of a block whose largest value is smaller than 127 of it. */
const SCALE_MIN = 2 ** -149
/** Below it a scale has fewer than 24 bits, and largest / scale may be far above 127. */
const SCALE_NORMAL = 2 ** -126
/** Bits of a float32 without its sign; and those of infinity, above which is NaN. */
const SIZE_BITS = 0x7fffffff
const INFINITY_BITS = 0x7f800000
/**
 * Turns division by a scale into multiplication without another result. A quotient of two float32 that is no tie k + 1/2 is
 * at least 2^-25 away from one, and the product is off by 2^-45 at most: lengthened by 2^-34 (2^-27 at 127), ties go away
 * from zero and nothing else crosses one.
 */
const AWAY_FROM_ZERO = 1 + 2 ** -34

const word = new Int32Array(1)
const single = new Float32Array(word.buffer)

export function int8Bytes (elements: number): number { return 4 * Math.ceil(elements / INT8_BLOCK) + elements }

/** @throws {InvalidParametersError} a value that is not finite */
export function toInt8 (data: Float32Array, out: Uint8Array): void {
  const { length } = data
  const blocks = Math.ceil(length / INT8_BLOCK)
  const bits = new Int32Array(data.buffer, data.byteOffset, length)
  const codes = new Int8Array(out.buffer, out.byteOffset + 4 * blocks, length)
  const scales = new Float32Array(blocks)
  for (let b = 0; b < blocks; b++) {
    const from = b * INT8_BLOCK
    const to = Math.min(length, from + INT8_BLOCK)
    const scale = scaleOf(bits, from, to)
    scales[b] = scale
    if (scale >= SCALE_NORMAL) quantise(data, codes, from, to, AWAY_FROM_ZERO / scale)
    else quantiseTiny(data, codes, from, to, scale)
  }
  // the bytes may start anywhere in their buffer: scales go over as bytes
  out.set(new Uint8Array(scales.buffer))
}

function scaleOf (bits: Int32Array, from: number, to: number): number {
  const largest = largestSize(bits, from, to)
  if (largest >= INFINITY_BITS) {
    const at = bits.findIndex((value, i) => i >= from && (value & SIZE_BITS) >= INFINITY_BITS)
    throw new InvalidParametersError(`element ${at} is not finite; int8 cannot carry it`)
  }
  if (largest === 0) return 1
  word[0] = largest
  return Math.min(SCALE_MAX, Math.max(SCALE_MIN, Math.fround((single[0] as number) / 127)))
}

/** Without sign, floats compare as their bits do. Two maxima, which need not wait for each other. */
function largestSize (bits: Int32Array, from: number, to: number): number {
  let one = 0
  let two = 0
  let i = from
  for (; i < to - 3; i += 4) {
    const a = (bits[i] as number) & SIZE_BITS
    const b = (bits[i + 1] as number) & SIZE_BITS
    const c = (bits[i + 2] as number) & SIZE_BITS
    const d = (bits[i + 3] as number) & SIZE_BITS
    if (a > one) one = a
    if (b > two) two = b
    if (c > one) one = c
    if (d > two) two = d
  }
  for (; i < to; i++) one = Math.max(one, (bits[i] as number) & SIZE_BITS)
  return Math.max(one, two)
}

function quantise (data: Float32Array, codes: Int8Array, from: number, to: number, factor: number): void {
  let i = from
  for (; i < to - 3; i += 4) {
    codes[i] = nearest((data[i] as number) * factor)
    codes[i + 1] = nearest((data[i + 1] as number) * factor)
    codes[i + 2] = nearest((data[i + 2] as number) * factor)
    codes[i + 3] = nearest((data[i + 3] as number) * factor)
  }
  for (; i < to; i++) codes[i] = nearest((data[i] as number) * factor)
}

/** Cut to an integer above zero, where cutting is rounding down. */
function nearest (x: number): number { return ((x + 128.5) | 0) - 128 }

function quantiseTiny (data: Float32Array, codes: Int8Array, from: number, to: number, scale: number): void {
  for (let i = from; i < to; i++) {
    const x = (data[i] as number) / scale
    codes[i] = Math.sign(x) * Math.min(127, Math.floor(Math.abs(x) + 0.5))
  }
}

/** @throws {DecodeError} a scale that is not a positive finite number, or the unused code -128; before anything is allocated */
export function fromInt8 (bytes: Uint8Array, elements: number): Float32Array {
  const blocks = Math.ceil(elements / INT8_BLOCK)
  const scales = new Float32Array(new Uint8Array(bytes.subarray(0, 4 * blocks)).buffer)
  for (let b = 0; b < blocks; b++) {
    const scale = scales[b] as number
    if (!(scale > 0 && scale <= SCALE_MAX)) throw new DecodeError(`int8 scale of block ${b} is not a positive finite number`)
  }
  if (bytes.indexOf(0x80, 4 * blocks) >= 0) throw new DecodeError('int8 element -128 is outside the symmetric range')
  const codes = new Int8Array(bytes.buffer, bytes.byteOffset + 4 * blocks, elements)
  const out = new Float32Array(elements)
  for (let b = 0; b < blocks; b++) expand(codes, out, b * INT8_BLOCK, Math.min(elements, (b + 1) * INT8_BLOCK), scales[b] as number)
  return out
}

function expand (codes: Int8Array, out: Float32Array, from: number, to: number, scale: number): void {
  let i = from
  for (; i < to - 3; i += 4) {
    out[i] = scale * (codes[i] as number)
    out[i + 1] = scale * (codes[i + 1] as number)
    out[i + 2] = scale * (codes[i + 2] as number)
    out[i + 3] = scale * (codes[i + 3] as number)
  }
  for (; i < to; i++) out[i] = scale * (codes[i] as number)
}
