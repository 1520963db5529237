/**
 * The payload of a delta: several units of parameters in one canonical piece of bytes (equal units, equal bytes, so a
 * hash names the content). Little-endian, every part padded with zeros to 4 bytes:
 *
 *     'FMU1' | codec u8 (index in CODECS) | 0 u8 | units u16
 *     per unit, names ascending:  elements u32 | name bytes u16 | 0 u16 | name (UTF-8) | values (./codecs.ts)
 *
 * A reader knows its model, hence every name and size: it refuses whatever differs before it allocates anything.
 */
import { DecodeError, InvalidParametersError } from '../errors.ts'
import { CODECS, MAX_ELEMENTS, decode, encodeInto, encodedBytes } from './codecs.ts'
import type { CodecName } from './codecs.ts'

const MAGIC = 0x31554d46 // 'FMU1'
const HEADER = 8
const UNIT_HEADER = 8
/** 'adapter/<client>/<layer>' and the like; far above any name in use. */
const MAX_NAME_BYTES = 512

const utf8 = new TextEncoder()
const padded = (bytes: number): number => Math.ceil(bytes / 4) * 4

/** Bytes of `packUnits` for units of these sizes. */
export function packedBytes (sizes: Readonly<Record<string, number>>, codec: CodecName): number {
  return Object.entries(sizes).reduce((sum, [name, elements]) =>
    sum + UNIT_HEADER + padded(utf8.encode(name).length) + padded(encodedBytes(codec, elements)), HEADER)
}

/** @throws {InvalidParametersError} a name that is empty, too long or not text; int8 and a value that is not finite */
export function packUnits (units: Readonly<Record<string, Float32Array>>, codec: CodecName): Uint8Array {
  const names = Object.keys(units).sort()
  if (names.length > 0xffff) throw new InvalidParametersError(`${names.length} units in one payload`)
  const out = new Uint8Array(packedBytes(Object.fromEntries(names.map((name) => [name, (units[name] as Float32Array).length])), codec))
  const view = new DataView(out.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint8(4, CODECS.indexOf(codec))
  view.setUint16(6, names.length, true)
  let at = HEADER
  for (const name of names) {
    const data = units[name] as Float32Array
    const label = utf8.encode(name)
    if (label.length === 0 || label.length > MAX_NAME_BYTES || !name.isWellFormed()) throw new InvalidParametersError(`'${name}' cannot name a unit`)
    view.setUint32(at, data.length, true)
    view.setUint16(at + 4, label.length, true)
    out.set(label, at + UNIT_HEADER)
    at += UNIT_HEADER + padded(label.length)
    const bytes = encodedBytes(codec, data.length)
    encodeInto(codec, data, out.subarray(at, at + bytes))
    at += padded(bytes)
  }
  return out
}

/**
 * @param expected - every unit that must be there, with its number of elements
 * @param codec - the codec announced for these bytes, if one was
 * @returns the units; with f32 they may be views of `bytes`
 * @throws {DecodeError} anything that `packUnits` would not have written for exactly these units
 */
export function unpackUnits (bytes: Uint8Array, expected: Readonly<Record<string, number>>, codec?: CodecName): Record<string, Float32Array> {
  if (bytes.length < HEADER) throw new DecodeError('a payload of units without its header')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.getUint32(0, true) !== MAGIC) throw new DecodeError('not a payload of units')
  const found = CODECS[view.getUint8(4)]
  if (found === undefined || view.getUint8(5) !== 0) throw new DecodeError('unknown codec of a payload of units')
  if (codec !== undefined && codec !== found) throw new DecodeError(`a payload of units as ${found}, announced as ${codec}`)
  const names = Object.keys(expected).sort()
  if (view.getUint16(6, true) !== names.length) throw new DecodeError(`${view.getUint16(6, true)} units, expected ${names.length}`)
  const total = names.reduce((sum, name) => sum + (expected[name] as number), 0)
  if (total > MAX_ELEMENTS) throw new DecodeError(`${total} elements, at most ${MAX_ELEMENTS} are allowed`)
  const want = packedBytes(expected, found)
  if (bytes.length !== want) throw new DecodeError(`${bytes.length} bytes of units, expected ${want}`)

  const places: Array<{ name: string, from: number, bytes: number }> = []
  let at = HEADER
  for (const name of names) {
    const label = utf8.encode(name)
    const elements = expected[name] as number
    if (view.getUint32(at, true) !== elements) throw new DecodeError(`unit '${name}' has another size, expected ${elements}`)
    if (view.getUint16(at + 4, true) !== label.length || view.getUint16(at + 6, true) !== 0 ||
      label.some((byte, i) => bytes[at + UNIT_HEADER + i] !== byte)) throw new DecodeError(`unit '${name}' is not where it belongs`)
    at = skipPadding(bytes, at + UNIT_HEADER + label.length)
    const size = encodedBytes(found, elements)
    places.push({ name, from: at, bytes: size })
    at = skipPadding(bytes, at + size)
  }
  return Object.fromEntries(places.map(({ name, from, bytes: size }) =>
    [name, decode(found, bytes.subarray(from, from + size), expected[name] as number)]))
}

function skipPadding (bytes: Uint8Array, at: number): number {
  const to = padded(at)
  for (let i = at; i < to; i++) if (bytes[i] !== 0) throw new DecodeError('padding that is not zero in a payload of units')
  return to
}
