/**
 * The payload of a delta: several units of parameters in one canonical piece of bytes (equal units, equal bytes, so a
 * hash names the content). Little-endian, every part padded with zeros to 4 bytes:
 *
 *     'FMU1' | codec u8 (index in CODECS) | 0 u8 | units u16
 *     per unit, names ascending:  elements u32 | name bytes u16 | still u16 | name (UTF-8) | values (./codecs.ts)
 *
 * A unit of zeros is still (1) and has no values: a trunk that is frozen costs its name. Others are not (0).
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

/** Bytes of `packUnits` for units of these sizes, none of them still: it writes no more. */
export function packedBytes (sizes: Readonly<Record<string, number>>, codec: CodecName): number {
  return Object.entries(sizes).reduce((sum, [name, elements]) =>
    sum + UNIT_HEADER + padded(utf8.encode(name).length) + padded(encodedBytes(codec, elements)), HEADER)
}

/** @throws {InvalidParametersError} a name that is empty, too long or not text; int8 and a value that is not finite */
export function packUnits (units: Readonly<Record<string, Float32Array>>, codec: CodecName): Uint8Array {
  const names = Object.keys(units).sort()
  if (names.length > 0xffff) throw new InvalidParametersError(`${names.length} units in one payload`)
  const still = new Set(names.filter((name) => isStill(units[name] as Float32Array)))
  const sizes = names.map((name) => [name, still.has(name) ? 0 : (units[name] as Float32Array).length])
  const out = new Uint8Array(packedBytes(Object.fromEntries(sizes), codec))
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
    view.setUint16(at + 6, still.has(name) ? 1 : 0, true)
    out.set(label, at + UNIT_HEADER)
    at += UNIT_HEADER + padded(label.length)
    if (still.has(name)) continue
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
 * @throws {DecodeError} anything but a payload of exactly these units
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
  const most = packedBytes(expected, found)
  if (bytes.length > most) throw new DecodeError(`${bytes.length} bytes of units, at most ${most} are expected`)

  const places: Array<{ name: string, from: number, bytes: number }> = []
  let at = HEADER
  const expectBytes = (count: number): void => {
    if (at + count > bytes.length) throw new DecodeError(`${bytes.length} bytes of units end before the last one does`)
  }
  for (const name of names) {
    const label = utf8.encode(name)
    const elements = expected[name] as number
    expectBytes(UNIT_HEADER + padded(label.length))
    if (view.getUint32(at, true) !== elements) throw new DecodeError(`unit '${name}' has another size, expected ${elements}`)
    if (view.getUint16(at + 4, true) !== label.length || view.getUint16(at + 6, true) > (elements === 0 ? 0 : 1) ||
      label.some((byte, i) => bytes[at + UNIT_HEADER + i] !== byte)) throw new DecodeError(`unit '${name}' is not where it belongs`)
    const still = view.getUint16(at + 6, true) === 1
    at = skipPadding(bytes, at + UNIT_HEADER + label.length)
    const size = still ? 0 : encodedBytes(found, elements)
    expectBytes(padded(size))
    places.push({ name, from: at, bytes: size })
    at = skipPadding(bytes, at + size)
  }
  if (at !== bytes.length) throw new DecodeError(`${bytes.length - at} bytes after the last unit`)
  return Object.fromEntries(places.map(({ name, from, bytes: size }) => {
    const elements = expected[name] as number
    return [name, size === 0 ? new Float32Array(elements) : decode(found, bytes.subarray(from, from + size), elements)]
  }))
}

/** Zeros to the last bit: what a unit that did not change is the difference of. */
function isStill (data: Float32Array): boolean { return data.length > 0 && data.every((value) => Object.is(value, 0)) }

function skipPadding (bytes: Uint8Array, at: number): number {
  const to = padded(at)
  for (let i = at; i < to; i++) if (bytes[i] !== 0) throw new DecodeError('padding that is not zero in a payload of units')
  return to
}
