/**
 * As much of the WebAssembly binary format as ./simd.ts needs: one memory, exported functions, counted loops and some
 * instructions on two float64 or four float32 lanes. Written by hand because a few hundred bytes of code need no tool chain.
 * Source of the numbers: https://webassembly.github.io/spec/core/binary/ (modules, instructions).
 */

/** Bytes of code, nested as they were put together. */
export type Code = ReadonlyArray<number | Code>

export interface FunctionSource {
  readonly name: string
  /** 'i' is an i32 (an address or a count of bytes), 'f' a float32, 'd' a float64. Parameters come first among the locals. */
  readonly params: string
  /** v128 locals after the parameters. */
  readonly vectors: number
  readonly body: Code
}

const TYPES: Readonly<Record<string, number>> = { i: 0x7f, f: 0x7d, d: 0x7c }
const V128 = 0x7b
/** Prefix of all SIMD instructions. */
const SIMD = 0xfd

/** Unsigned LEB128. */
function unsigned (value: number): number[] {
  const bytes: number[] = []
  for (; value > 0x7f; value >>>= 7) bytes.push(0x80 | (value & 0x7f))
  return [...bytes, value]
}

const simd = (opcode: number, ...operands: Code): Code => [SIMD, unsigned(opcode), operands]
/** Alignment (as a power of two) is a hint; the offset is added to the address on the stack. */
const memory = (opcode: number, align: number) => (offset = 0): Code => simd(opcode, align, unsigned(offset))

export const get = (local: number): Code => [0x20, unsigned(local)]
export const set = (local: number): Code => [0x21, unsigned(local)]
/** Values below 64, which signed and unsigned LEB128 write alike. */
export const smallConstant = (value: number): Code => [0x41, value]
export const addI32: Code = [0x6a]

/** Two float64 or four float32 values. */
export const load = memory(0x00, 3)
export const store = memory(0x0b, 3)
/** Two float32 values, the other two lanes zero. */
export const loadHalf = memory(0x5d, 2)
/** The lower two of four float32 values. */
export const storeHalf = (offset = 0): Code => simd(0x5b, 2, unsigned(offset), 0)
export const widen = simd(0x5f)
export const narrow = simd(0x5e)
export const splat = simd(0x14)
export const add = simd(0xf0)
export const multiply = simd(0xf2)
export const lane = (index: 0 | 1): Code => simd(0x21, index)
/** On four float32 lanes. */
export const four = { splat: simd(0x13), squareRoot: simd(0xe3), add: simd(0xe4), subtract: simd(0xe5), multiply: simd(0xe6), divide: simd(0xe7) }
export const addF64: Code = [0xa0]
export const storeF64 = (offset: number): Code => [0x39, 3, unsigned(offset)]

/** Runs `body` with `local` = `local`, `local` + step, ... below the local `end`; at least once. */
export function loop (body: Code, pointers: ReadonlyArray<readonly [local: number, step: number]>, end: number): Code {
  const [first] = pointers as [readonly [number, number]]
  const advance = pointers.map(([local, step]): Code => [get(local), smallConstant(step), addI32, set(local)])
  return [0x03, 0x40, body, advance, get(first[0]), get(end), 0x49, 0x0d, 0, 0x0b] // loop ... i32.lt_u, br_if 0, end
}

/** A module that exports `memory` and the functions. */
export function assemble (functions: readonly FunctionSource[], pages: number): Uint8Array<ArrayBuffer> {
  const vector = (items: readonly Code[]): Code => [unsigned(items.length), items]
  const sized = (code: Code): Code => { const bytes = flat(code); return [unsigned(bytes.length), bytes] }
  const section = (id: number, items: readonly Code[]): Code => [id, sized(vector(items))]
  const name = (text: string): Code => sized([...text].map((letter) => letter.charCodeAt(0)))
  return Uint8Array.from(flat([
    0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // '\0asm', version 1
    section(1, functions.map(({ params }) => [0x60, vector([...params].map((type) => TYPES[type] as number).map((type) => [type])), 0])),
    section(3, functions.map((_, i) => unsigned(i))),
    section(5, [[0, unsigned(pages)]]),
    section(7, [[name('memory'), 2, 0], ...functions.map((f, i) => [name(f.name), 0, unsigned(i)])]),
    section(10, functions.map(({ vectors, body }) => sized([vector([[unsigned(vectors), V128]]), body, 0x0b])))
  ]))
}

function flat (code: Code): number[] { return code.flatMap((item) => typeof item === 'number' ? [item] : flat(item)) }
