/**
 * The safetensors format, so that checkpoints and exports open in Python, Rust and the browser as they are:
 *
 *     u64 LE        length N of the header
 *     N bytes       JSON {"__metadata__": {text: text}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [from, to]}, ...},
 *                   padded with spaces so that the data is aligned to 8 bytes
 *     rest          the tensors, little-endian, row-major, without gap or overlap
 *
 * Names are sorted and so is the data: equal content, equal bytes. F32 is written; F32, F16 and BF16 are read.
 * The header has its own parser because JSON.parse keeps the last of two equal keys and says nothing.
 * Source: https://github.com/huggingface/safetensors, README section "Format".
 */
import { decode } from '../../src/compression/index.ts'
import { DecodeError, InvalidParametersError } from '../../src/errors.ts'
import { elements } from '../../src/tensor/tensor.ts'
import type { NamedTensor, TensorData } from '../../src/tensor/tensor.ts'

/** A tensor's entry takes about 100 bytes: room for the largest number of tensors and for metadata. */
export const MAX_HEADER_BYTES = 16 * 2 ** 20
/** The largest models published have some 10,000. */
export const MAX_TENSORS = 100_000
/** Convolutions have 5 axes at most; 8 is also numpy's and TensorFlow's practical end. */
export const MAX_RANK = 8

const DTYPES = { F32: { codec: 'f32', size: 4 }, F16: { codec: 'f16', size: 2 }, BF16: { codec: 'bf16', size: 2 } } as const
/** What others write too, with the bytes of one number; not read here. */
const FOREIGN_DTYPES = { F64: 8, I64: 8, U64: 8, I32: 4, U32: 4, I16: 2, U16: 2, I8: 1, U8: 1, BOOL: 1, F8_E4M3: 1, F8_E5M2: 1 } as const
const METADATA = '__metadata__'

export interface SafetensorsEntry {
  readonly name: string
  readonly dtype: keyof typeof DTYPES | keyof typeof FOREIGN_DTYPES
  readonly shape: readonly number[]
  /** Bytes from the start of the data. */
  readonly from: number
  readonly to: number
}

export interface SafetensorsHeader {
  /** In the order of the data. */
  readonly entries: readonly SafetensorsEntry[]
  readonly metadata: Record<string, string>
}

export interface SafetensorsContent {
  readonly tensors: NamedTensor[]
  readonly metadata: Record<string, string>
}

/** @throws {InvalidParametersError} a name twice or reserved, data that does not fill its shape, above a limit */
export function encodeSafetensors (tensors: readonly NamedTensor[], metadata: Readonly<Record<string, string>>): Uint8Array {
  if (tensors.length > MAX_TENSORS) throw new InvalidParametersError(`${tensors.length} tensors, at most ${MAX_TENSORS} fit`)
  const sorted = [...tensors].sort((a, b) => byText(a.name, b.name))
  const fields: string[] = []
  const meta = Object.entries(metadata).sort(([a], [b]) => byText(a, b))
  if (meta.length > 0) {
    for (const [key, value] of meta) if (key === '__proto__' || !key.isWellFormed() || !value.isWellFormed()) throw new InvalidParametersError(`metadata '${key}' cannot be written`)
    fields.push(`"${METADATA}":{${meta.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`)
  }
  let at = 0
  for (const [i, { name, tensor: { shape, data } }] of sorted.entries()) {
    if (name === METADATA || name === '__proto__' || !name.isWellFormed()) throw new InvalidParametersError(`a tensor cannot be called '${name}'`)
    if (name === sorted[i - 1]?.name) throw new InvalidParametersError(`two tensors are called '${name}'`)
    if (shape.length > MAX_RANK) throw new InvalidParametersError(`tensor '${name}' has ${shape.length} axes, at most ${MAX_RANK} fit`)
    if (elements(shape) !== data.length) throw new InvalidParametersError(`tensor '${name}' has ${data.length} numbers for shape [${shape.join(', ')}]`)
    const to = at + 4 * data.length
    fields.push(`${JSON.stringify(name)}:{"dtype":"F32","shape":[${shape.join(',')}],"data_offsets":[${at},${to}]}`)
    at = to
  }
  const json = new TextEncoder().encode(`{${fields.join(',')}}`)
  const headerBytes = Math.ceil(json.length / 8) * 8
  if (headerBytes > MAX_HEADER_BYTES) throw new InvalidParametersError(`a header of ${headerBytes} bytes, at most ${MAX_HEADER_BYTES} fit`)
  const out = new Uint8Array(8 + headerBytes + at)
  new DataView(out.buffer).setBigUint64(0, BigInt(headerBytes), true)
  out.set(json, 8)
  out.fill(0x20, 8 + json.length, 8 + headerBytes)
  let start = 8 + headerBytes
  for (const { tensor: { data } } of sorted) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), start)
    start += data.byteLength
  }
  return out
}

/**
 * @returns tensors in the order of the data; each owns its numbers
 * @throws {DecodeError} the bytes are not exactly one well-formed file; before anything is allocated for the tensors
 */
export function decodeSafetensors (bytes: Uint8Array): SafetensorsContent {
  const start = dataStart(bytes.subarray(0, 8), bytes.length)
  const { entries, metadata } = parseHeader(bytes.subarray(8, start), bytes.length - start)
  for (const entry of entries) expectReadable(entry)
  // Copies, so that one kept tensor does not keep the file in memory, nor see the caller reuse the bytes.
  return { tensors: entries.map(entry => ({ name: entry.name, tensor: decodeEntry(entry, bytes.slice(start + entry.from, start + entry.to)) })), metadata }
}

/** Where the data begin. @param prefix - the first 8 bytes @throws {DecodeError} */
export function dataStart (prefix: Uint8Array, fileBytes: number): number {
  if (prefix.length < 8) throw new DecodeError(`safetensors: ${prefix.length} bytes hold no header`)
  const headerBytes = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true)
  if (headerBytes > BigInt(MAX_HEADER_BYTES)) throw new DecodeError(`safetensors: a header of ${headerBytes} bytes, at most ${MAX_HEADER_BYTES} are allowed`)
  const start = 8 + Number(headerBytes)
  if (start > fileBytes) throw new DecodeError(`safetensors: a header of ${headerBytes} bytes in a file of ${fileBytes}`)
  return start
}

/** @param dataBytes - behind the header @throws {DecodeError} what the header describes is not exactly what is there */
export function parseHeader (header: Uint8Array, dataBytes: number): SafetensorsHeader {
  const { entries, metadata } = new HeaderParser(text(header)).parse()
  entries.sort((a, b) => a.from - b.from || a.to - b.to)
  let at = 0
  for (const { name, dtype, shape, from, to } of entries) {
    if (from !== at) throw new DecodeError(`safetensors: '${name}' begins at ${from}, the data before it ends at ${at}`)
    if (to < from || elements(shape) * sizeOf(dtype) !== to - from) throw new DecodeError(`safetensors: '${name}' has ${to - from} bytes for [${shape.join(', ')}] of ${dtype}`)
    at = to
  }
  if (at !== dataBytes) throw new DecodeError(`safetensors: ${at} bytes of data are described, the file has ${dataBytes}`)
  return { entries, metadata }
}

/** @param bytes - the entry's own, which nobody else changes @throws {DecodeError} a dtype that is not read */
export function decodeEntry (entry: SafetensorsEntry, bytes: Uint8Array): TensorData {
  const count = elements(entry.shape)
  return { shape: entry.shape, data: decode(expectReadable(entry), bytes, count, count) }
}

function expectReadable ({ name, dtype }: SafetensorsEntry): 'f32' | 'f16' | 'bf16' {
  if (!isReadable(dtype)) throw new DecodeError(`safetensors: '${name}' is of dtype ${dtype}, only ${Object.keys(DTYPES).join(', ')} are read`)
  return DTYPES[dtype].codec
}

function isReadable (dtype: SafetensorsEntry['dtype']): dtype is keyof typeof DTYPES { return Object.hasOwn(DTYPES, dtype) }
function sizeOf (dtype: SafetensorsEntry['dtype']): number { return isReadable(dtype) ? DTYPES[dtype].size : FOREIGN_DTYPES[dtype] }

function byText (a: string, b: string): number { return a < b ? -1 : a > b ? 1 : 0 }

function text (bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new DecodeError('safetensors: the header is not UTF-8', { cause })
  }
}

/** Reads the JSON that the format allows and no other: nothing nests deeper than it must, no key comes twice. */
class HeaderParser {
  readonly #text: string
  #at = 0

  constructor (text: string) { this.#text = text }

  parse (): { entries: SafetensorsEntry[], metadata: Record<string, string> } {
    const entries: SafetensorsEntry[] = []
    let metadata: Record<string, string> = {}
    if (this.#text[0] !== '{') this.#fail('expected {')
    this.#object(name => {
      if (name === METADATA) {
        metadata = this.#strings()
      } else {
        if (entries.length === MAX_TENSORS) this.#fail(`more than ${MAX_TENSORS} tensors`)
        entries.push(this.#entry(name))
      }
    })
    if (this.#at !== this.#text.length) this.#fail('something follows the header')
    return { entries, metadata }
  }

  #strings (): Record<string, string> {
    const found: Array<[string, string]> = []
    this.#object(key => { found.push([key, this.#string()]) })
    return Object.fromEntries(found)
  }

  #entry (name: string): SafetensorsEntry {
    let dtype: string | undefined
    let shape: number[] | undefined
    let offsets: number[] | undefined
    this.#object(key => {
      if (key === 'dtype') dtype = this.#string()
      else if (key === 'shape') shape = this.#integers(MAX_RANK)
      else if (key === 'data_offsets') offsets = this.#integers(2)
      else this.#fail(`unknown key in '${name}'`)
    })
    if (dtype === undefined || !(Object.hasOwn(DTYPES, dtype) || Object.hasOwn(FOREIGN_DTYPES, dtype))) return this.#fail(`dtype of '${name}' is not one of ${Object.keys({ ...DTYPES, ...FOREIGN_DTYPES }).join(', ')}`)
    const [from, to] = offsets ?? []
    if (shape === undefined || from === undefined || to === undefined) return this.#fail(`'${name}' needs dtype, shape and two data_offsets`)
    return { name, dtype: dtype as SafetensorsEntry['dtype'], shape, from, to }
  }

  /** `member` reads the value of the key that it is given. */
  #object (member: (key: string) => void): void {
    const keys = new Set<string>()
    this.#take('{')
    if (!this.#took('}')) {
      do {
        const key = this.#string()
        if (key === '__proto__') this.#fail('a key called __proto__')
        if (keys.has(key)) this.#fail(`the key '${key}' twice`)
        keys.add(key)
        this.#take(':')
        member(key)
      } while (this.#took(','))
      this.#take('}')
    }
  }

  #integers (max: number): number[] {
    const found: number[] = []
    this.#take('[')
    if (this.#took(']')) return found
    do {
      if (found.length === max) this.#fail(`more than ${max} numbers`)
      found.push(Number(this.#match(/(?:0|[1-9][0-9]{0,15})(?![0-9.eE])/y, 'a whole number')))
      if (!Number.isSafeInteger(found.at(-1))) this.#fail('a number too large')
    } while (this.#took(','))
    this.#take(']')
    return found
  }

  #string (): string {
    const start = this.#at
    if (this.#text[start] !== '"') this.#fail('expected a text')
    let end = start + 1
    while (this.#text[end] !== '"') {
      if (end >= this.#text.length) this.#fail('a text without end')
      end += this.#text[end] === '\\' ? 2 : 1
    }
    this.#at = end + 1
    let value: string
    try {
      value = JSON.parse(this.#text.slice(start, end + 1)) as string
    } catch {
      return this.#fail('a text with a wrong escape or a control character')
    }
    if (!value.isWellFormed()) this.#fail('a text that is not Unicode')
    this.#space()
    return value
  }

  #match (pattern: RegExp, what: string): string {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    if (found === undefined) return this.#fail(`expected ${what}`)
    this.#at += found.length
    this.#space()
    return found
  }

  #take (char: string): void {
    if (!this.#took(char)) this.#fail(`expected ${char}`)
  }

  #took (char: string): boolean {
    if (this.#text[this.#at] !== char) return false
    this.#at++
    this.#space()
    return true
  }

  #space (): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? 'end')) this.#at++
  }

  #fail (why: string): never {
    throw new DecodeError(`safetensors: header, character ${this.#at}: ${why}`)
  }
}
