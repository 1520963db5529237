/**
 * Checks that every decoder shares. Bytes from outside are either exactly what they claim to be, or a DecodeError.
 */
import { DecodeError, InvalidParametersError } from '../src/errors.ts'
import { MAX_TEXT_BYTES } from './limits.ts'

const encoder = new TextEncoder()
const TENSOR_NAME = /^[a-z0-9][a-z0-9._/-]*$/
const HASH = /^[0-9a-f]{64}$/

/** Runs a generated decoder: whatever it throws, the bytes were wrong. */
export function parse<T> (bytes: Uint8Array, maxBytes: number, what: string, decode: (bytes: Uint8Array) => T): T {
  if (bytes.byteLength > maxBytes) throw new DecodeError(`${what}: ${bytes.byteLength} bytes, at most ${maxBytes}`)
  try {
    return decode(bytes)
  } catch (cause) {
    throw new DecodeError(`${what}: not a valid message`, { cause })
  }
}

/** A text of at most `max` bytes with no control characters. */
export function text (value: string, what: string, max = MAX_TEXT_BYTES, min = 1): string {
  const bytes = value.length > max ? value.length : encoder.encode(value).byteLength
  if (bytes < min || bytes > max) throw new DecodeError(`${what}: ${bytes} bytes, expected ${min} to ${max}`)
  for (let i = 0; i < value.length; i++) {
    const unit = value.charCodeAt(i)
    if (unit < 32 || unit === 127) throw new DecodeError(`${what}: control character`)
  }
  return value
}

/** A list of texts. */
export function texts (values: readonly string[], what: string, maxCount: number, max = MAX_TEXT_BYTES): string[] {
  atMost(values.length, what, maxCount)
  return values.map(value => text(value, what, max))
}

export function atMost (count: number, what: string, max: number): number {
  if (!(count <= max)) throw new DecodeError(`${what}: ${count}, at most ${max}`)
  return count
}

export function whole (value: number, what: string, min: number, max: number): number {
  if (!Number.isSafeInteger(value) || value < min || value > max) throw new DecodeError(`${what}: ${value}, expected a whole number from ${min} to ${max}`)
  return value
}

/** A finite number, not below zero. */
export function amount (value: number, what: string): number {
  if (!Number.isFinite(value) || value < 0) throw new DecodeError(`${what}: ${value}, expected a number of at least 0`)
  return value
}

/** Any number but NaN; a loss that diverged is Infinity. */
export function number (value: number, what: string): number {
  if (Number.isNaN(value)) throw new DecodeError(`${what}: not a number`)
  return value
}

export function hash (value: string, what: string): string {
  if (!HASH.test(value)) throw new DecodeError(`${what}: not a sha-256 in hex`)
  return value
}

export function tensorName (value: string, max: number): string {
  if (value.length > max || !TENSOR_NAME.test(value)) throw new DecodeError(`tensor name: not 1 to ${max} of a-z 0-9 . _ / -`)
  return value
}

/** For encoders: a human text is cut to what may travel, with control characters made spaces. */
export function clip (value: string, max = MAX_TEXT_BYTES): string {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  const clean = value.replace(/[\u0000-\u001f\u007f]/g, ' ')
  if (encoder.encode(clean).byteLength <= max) return clean
  let cut = clean.slice(0, max)
  while (encoder.encode(cut).byteLength > max) cut = cut.slice(0, -1)
  return cut.toWellFormed()
}

/**
 * For encoders: what we send must pass our own decoder. Anything it refuses is the caller's mistake.
 * @throws {InvalidParametersError}
 */
export function checked<T> (what: string, check: () => T): T {
  try {
    return check()
  } catch (cause) {
    throw new InvalidParametersError(`cannot send ${what}: ${(cause as Error).message}`, { cause })
  }
}
