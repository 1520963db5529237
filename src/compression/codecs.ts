/**
 * Tensor payloads as bytes, little-endian, without a header: codec and number of elements come from the message around
 * them, and the length must be exactly the one they imply, so nothing is allocated on the sender's word.
 *
 *     codec   bytes for n elements          error per element
 *     f32     4 n                           none
 *     f16     2 n                           |x| 2^-11, at least 2^-25; beyond 65504 the largest finite value
 *     bf16    2 n                           |x| 2^-8; beyond 3.39e38 the largest finite value
 *     int8    4 ceil(n / 256) + n           scale / 2, scale = max|x| / 127 over the element's block of 256
 *
 * int8: all scales (f32) first, then the elements as round(x / scale) in -127..127; a block of zeros has scale 1.
 * f32, f16 and bf16 pass NaN and infinities as they are (f16, bf16: NaN as the quiet NaN); int8 has no code for them
 * and refuses. Rounding is to nearest, ties to even (int8: ties away from zero), so equal tensors give equal bytes.
 * Formats: IEEE 754-2019 binary16; bfloat16 is the upper half of a binary32.
 */
import { DecodeError, InvalidParametersError } from '../errors.ts'
import { fromInt8, int8Bytes, toInt8 } from './int8.ts'

export const CODECS = ['f32', 'f16', 'bf16', 'int8'] as const
export type CodecName = typeof CODECS[number]

/** 2^26 elements are 256 MiB as f32: above any backbone here, below what ends a process. */
export const MAX_ELEMENTS = 2 ** 26

const F16_MAX = 65504
const BF16_MAX = 0x7f7f
/** From here on rounding to 8 bits of fraction would carry into infinity. */
const BF16_OVERFLOW = 0x7f7f8000

/** @throws {InvalidParametersError} the number of elements is not an integer >= 0 */
export function encodedBytes (codec: CodecName, elements: number): number {
  if (!(Number.isSafeInteger(elements) && elements >= 0)) throw new InvalidParametersError(`${elements} is not a number of elements`)
  switch (codec) {
    case 'f32': return 4 * elements
    case 'f16':
    case 'bf16': return 2 * elements
    case 'int8': return int8Bytes(elements)
    default: throw new InvalidParametersError(`no codec '${String(codec)}'`, { next: `use one of ${CODECS.join(', ')}` })
  }
}

/** @throws {InvalidParametersError} int8 and a value that is not finite */
export function encode (codec: CodecName, data: Float32Array): Uint8Array {
  const out = new Uint8Array(encodedBytes(codec, data.length))
  encodeInto(codec, data, out)
  return out
}

/** `encode` into bytes that the caller owns; `out` is exactly as long as `encodedBytes` says. */
export function encodeInto (codec: CodecName, data: Float32Array, out: Uint8Array): void {
  if (out.length !== encodedBytes(codec, data.length)) throw new InvalidParametersError(`${data.length} elements do not fill ${out.length} bytes as ${codec}`)
  switch (codec) {
    case 'f32': out.set(bytesOf(data)); break
    case 'f16': fillHalves(out, into => { toHalf(data, into) }); break
    case 'bf16': fillHalves(out, into => { toBrain(data, into) }); break
    case 'int8': toInt8(data, out)
  }
}

/**
 * @param elements - how many the message around promises
 * @returns for f32 with aligned bytes a view of them, else a new array
 * @throws {DecodeError} more elements than allowed, a wrong length, an int8 scale that is not a positive finite
 *   number, or the unused int8 code -128; before anything is allocated
 */
export function decode (codec: CodecName, bytes: Uint8Array, elements: number, maxElements = MAX_ELEMENTS): Float32Array {
  if (!CODECS.includes(codec)) throw new DecodeError('unknown tensor codec')
  if (!(Number.isSafeInteger(elements) && elements >= 0)) throw new DecodeError('not a number of elements')
  if (elements > maxElements) throw new DecodeError(`${elements} elements, at most ${maxElements} are allowed`)
  const want = encodedBytes(codec, elements)
  if (bytes.length !== want) throw new DecodeError(`${bytes.length} bytes for ${elements} elements as ${codec}, expected ${want}`)
  switch (codec) {
    case 'f32': return bytes.byteOffset % 4 === 0 ? new Float32Array(bytes.buffer, bytes.byteOffset, elements) : new Float32Array(aligned(bytes))
    case 'f16': return fromHalf(halvesOf(bytes))
    case 'bf16': return fromBrain(halvesOf(bytes))
    case 'int8': return fromInt8(bytes, elements)
  }
}

function bytesOf (data: Float32Array | Uint16Array): Uint8Array { return new Uint8Array(data.buffer, data.byteOffset, data.byteLength) }

/** The bytes as numbers of 16 bits: a view where they are aligned, else a copy. */
function halvesOf (bytes: Uint8Array): Uint16Array {
  return bytes.byteOffset % 2 === 0 ? new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2) : new Uint16Array(aligned(bytes))
}

/** Has `out` filled in place where it is aligned. */
function fillHalves (out: Uint8Array, fill: (into: Uint16Array) => void): void {
  const into = halvesOf(out)
  fill(into)
  if (into.buffer !== out.buffer) out.set(bytesOf(into))
}

/** A copy of exactly these bytes; a Buffer's own `slice` would be a view of its pool. */
function aligned (bytes: Uint8Array): ArrayBuffer { return new Uint8Array(bytes).buffer }

const word = new Uint32Array(1)
const single = new Float32Array(word.buffer)

/** Node 24 has float16 arrays in the engine; older ones take the integer path, to the same bytes. */
const native = typeof Float16Array === 'function'

function toHalf (data: Float32Array, into: Uint16Array): void {
  if (native) toHalfNative(data, into)
  else into.set(toHalfBits(data))
}

function toHalfNative (data: Float32Array, into: Uint16Array): void {
  new Float16Array(into.buffer, into.byteOffset, into.length).set(data)
  for (let i = 0; i < into.length; i++) {
    const bits = into[i] as number
    if ((bits & 0x7c00) !== 0x7c00) continue
    const x = data[i] as number
    into[i] = Number.isFinite(x) ? bits - 1 : Number.isNaN(x) ? 0x7e00 : bits
  }
}

/** Float32 to the nearest binary16, ties to even, finite values kept finite. */
export function toHalfBits (data: Float32Array): Uint16Array {
  const out = new Uint16Array(data.length)
  for (let i = 0; i < data.length; i++) {
    const x = data[i] as number
    single[0] = x
    const bits = word[0] as number
    const sign = (bits >>> 16) & 0x8000
    const size = bits & 0x7fffffff
    if (size > 0x7f800000) out[i] = 0x7e00
    else if (size === 0x7f800000) out[i] = sign | 0x7c00
    else if (Math.abs(x) >= F16_MAX) out[i] = sign | 0x7bff
    else if (size < 0x38800000) out[i] = sign | evenInteger(Math.abs(x) * 2 ** 24) // below 2^-14: multiples of 2^-24
    else out[i] = sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13)
  }
  return out
}

function evenInteger (x: number): number {
  const low = Math.floor(x)
  const rest = x - low
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low
}

function fromHalf (bits: Uint16Array): Float32Array {
  return native ? new Float32Array(new Float16Array(bits.buffer, bits.byteOffset, bits.length)) : fromHalfBits(bits)
}

export function fromHalfBits (bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, (h) => {
    const sign = (h & 0x8000) === 0 ? 1 : -1
    const exponent = (h >>> 10) & 0x1f
    const fraction = h & 0x3ff
    if (exponent === 0) return sign * fraction * 2 ** -24
    if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
  })
}

function toBrain (data: Float32Array, into: Uint16Array): void {
  const words = new Int32Array(data.buffer, data.byteOffset, data.length)
  for (let i = 0; i < words.length; i++) {
    const bits = words[i] as number
    const size = bits & 0x7fffffff
    if (size < BF16_OVERFLOW) into[i] = (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16
    else if (size > 0x7f800000) into[i] = 0x7fc0
    else into[i] = ((bits >>> 16) & 0x8000) | (size === 0x7f800000 ? 0x7f80 : BF16_MAX)
  }
}

function fromBrain (bits: Uint16Array): Float32Array {
  const out = new Float32Array(bits.length)
  const words = new Int32Array(out.buffer)
  for (let i = 0; i < words.length; i++) words[i] = (bits[i] as number) << 16
  return out
}
