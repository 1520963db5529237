/**
 * The one byte form of what members sign: deterministic CBOR (DAG-CBOR). What is read must be, byte for byte, what would
 * have been written, so that nobody can say the same thing in two ways: key order, integer lengths, duplicate keys, tags and
 * NaN are all caught by writing it again. `__proto__` would not be, and is refused by name.
 */
import { createHash } from 'node:crypto'
import { decode, encode } from '@ipld/dag-cbor'
import { DecodeError } from '../errors.ts'

/** @throws {DecodeError} a value that has no canonical form: NaN, undefined, a function */
export function encodeCanonical (value: unknown): Uint8Array {
  try {
    return encode(value)
  } catch (cause) {
    throw new DecodeError(`no canonical form: ${(cause as Error).message}`, { cause })
  }
}

/** @throws {DecodeError} too long, no CBOR, or not in canonical form */
export function decodeCanonical (bytes: Uint8Array, maxBytes: number, what: string): unknown {
  if (bytes.byteLength > maxBytes) throw new DecodeError(`${what}: ${bytes.byteLength} bytes, at most ${maxBytes} are read`)
  if (Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes('__proto__')) throw new DecodeError(`${what}: '__proto__' has no place in it`)
  let value: unknown
  try {
    value = decode(bytes)
  } catch (cause) {
    throw new DecodeError(`${what}: no DAG-CBOR (${(cause as Error).message})`, { cause })
  }
  if (!Buffer.from(encodeCanonical(value)).equals(bytes)) throw new DecodeError(`${what}: not in canonical form`)
  return value
}

/** sha-256 in hex: the name of what is signed. */
export function hashOf (bytes: Uint8Array): string { return createHash('sha256').update(bytes).digest('hex') }

/** Reads the fields of a decoded map one by one; `done` refuses whatever was not asked for. */
export class Fields {
  readonly #what: string
  readonly #map: Readonly<Record<string, unknown>>
  readonly #read = new Set<string>()

  constructor (value: unknown, what: string) {
    if (value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof Uint8Array) throw new DecodeError(`${what} is no map`)
    this.#map = value as Record<string, unknown>
    this.#what = what
  }

  text (key: string, maxBytes = 256): string {
    const value = this.#take(key)
    if (typeof value !== 'string' || value === '' || Buffer.byteLength(value) > maxBytes) throw this.#wrong(key, `a text of 1 to ${maxBytes} bytes`)
    return value
  }

  /** A text that is shown to people: no control characters, none that turn the direction of reading. */
  name (key: string): string {
    const value = this.text(key, 64)
    if (!isShowable(value)) throw this.#wrong(key, 'a name of printable characters')
    return value
  }

  oneOf<T extends string> (key: string, known: readonly T[]): T {
    const value = this.#take(key)
    if (!known.includes(value as T)) throw this.#wrong(key, `one of ${known.join(', ')}`)
    return value as T
  }

  integer (key: string, min: number, max: number): number {
    const value = this.#take(key)
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) throw this.#wrong(key, `a whole number from ${min} to ${max}`)
    return value
  }

  number (key: string, min: number, max: number): number {
    const value = this.#take(key)
    if (typeof value !== 'number' || !Number.isFinite(value) || value < min || value > max) throw this.#wrong(key, `a number from ${min} to ${max}`)
    return value
  }

  flag (key: string): boolean {
    const value = this.#take(key)
    if (typeof value !== 'boolean') throw this.#wrong(key, 'true or false')
    return value
  }

  bytes (key: string, length: number): Uint8Array {
    const value = this.#take(key)
    if (!(value instanceof Uint8Array) || value.byteLength !== length) throw this.#wrong(key, `${length} bytes`)
    return value
  }

  /** A sha-256, kept as 32 bytes and used in hex. */
  hash (key: string): string { return Buffer.from(this.bytes(key, 32)).toString('hex') }

  list<T> (key: string, max: number, read: (value: unknown, i: number) => T): T[] {
    const value = this.#take(key)
    if (!Array.isArray(value) || value.length > max) throw this.#wrong(key, `a list of at most ${max}`)
    return value.map(read)
  }

  /** Of a map whose keys are not known before. */
  names (max: number): readonly string[] {
    const names = Object.keys(this.#map)
    if (names.length > max) throw new DecodeError(`${this.#what}: more than ${max} fields`)
    return names
  }

  has (key: string): boolean { return Object.hasOwn(this.#map, key) }

  value (key: string): unknown { return this.#take(key) }

  done (): void {
    for (const key of Object.keys(this.#map)) if (!this.#read.has(key)) throw new DecodeError(`${this.#what}: '${key.slice(0, 40)}' is no field of it`)
  }

  #take (key: string): unknown {
    this.#read.add(key)
    if (!this.has(key)) throw new DecodeError(`${this.#what}: ${key} is missing`)
    return this.#map[key]
  }

  #wrong (key: string, want: string): DecodeError { return new DecodeError(`${this.#what}: ${key} must be ${want}`) }
}

/** Letters that hide, a blank that is a symbol, and what stands for something else. */
const HIDDEN = /[\p{Default_Ignorable_Code_Point}\u2800\ufffc\ufffd]/u
/** More marks on one letter than any script stacks: they would be drawn over other lines. */
const STACKED = /\p{M}{5}/u
/** Alphabets whose letters look alike, within one run of letters. */
const LATIN = /\p{Script=Latin}/u
const LOOK_ALIKE = /\p{Script=Cyrillic}|\p{Script=Greek}|\p{Script=Cherokee}|\p{Script=Armenian}/u

/**
 * Letters, marks, digits, punctuation, symbols and single spaces, in their composed form (NFC): nothing that hides, breaks a
 * line or turns its direction, and no word of two alphabets that look alike.
 */
export function isShowable (text: string): boolean {
  return /^[\p{L}\p{M}\p{N}\p{P}\p{S}]+( [\p{L}\p{M}\p{N}\p{P}\p{S}]+)*$/u.test(text) && text.normalize('NFC') === text &&
    !HIDDEN.test(text) && !text.includes('__proto__') && !STACKED.test(text) && (text.match(/[\p{L}\p{M}]+/gu) ?? []).every(word => !LATIN.test(word) || !LOOK_ALIKE.test(word))
}

export function hashBytes (hex: string): Uint8Array { return Uint8Array.from(Buffer.from(hex, 'hex')) }
