/**
 * The kernels as WebAssembly SIMD, two float64 or four float32 lanes. What each computes, and in which order, is said in
 * ./plain.ts: both give the same bits, because IEEE sums, products, quotients and roots have one answer and nothing is fused.
 */
import { add, addF64, addI32, assemble, four, get, lane, load, loadHalf, loop, multiply, narrow, set, splat, store, storeF64, storeHalf, widen } from './assembler.ts'
import { SLOT_BYTES } from './layout.ts'
import type { Code, FunctionSource } from './assembler.ts'
import type { Kernels } from './layout.ts'

/** What this file uses of the global, which TypeScript declares for browsers only. Absent in a process without a compiler. */
declare const WebAssembly: {
  validate: (bytes: Uint8Array<ArrayBuffer>) => boolean
  Module: new (bytes: Uint8Array<ArrayBuffer>) => object
  Instance: new (module: object) => { exports: unknown }
} | undefined

interface Exports extends Omit<Kernels, 'name' | 'buffer' | 'adam'> {
  readonly adam: (first: number, second: number, gradient: number, beta1: number, rest1: number, beta2: number, rest2: number, correction1: number, correction2: number, epsilon: number, bytes: number) => void
  readonly memory: { readonly buffer: ArrayBuffer, grow: (pages: number) => number }
}

const PAGE = 65_536
const FOUR = [0, 1, 2, 3] as const

/** products<rows>x<columns>(a, b, out, bytes): a tile of sums at once, so that a load serves several products. */
function products (rows: number, columns: number): FunctionSource {
  const [a, b, out, bytes, y, x] = [0, 1, 2, 3, 4, 5]
  const sum = (row: number, column: number): number => x + rows + row * columns + column
  const [down, across] = [FOUR.slice(0, rows), FOUR.slice(0, columns)]
  const at = (element: number): Code => [
    down.map((row) => [get(a), load(row * SLOT_BYTES + 8 * element), set(x + row)]),
    across.map((column) => [
      get(b), load(column * SLOT_BYTES + 8 * element), set(y),
      down.map((row) => [get(sum(row, column)), get(x + row), get(y), multiply, add, set(sum(row, column))])
    ])
  ]
  return {
    name: `products${rows}x${columns}`,
    params: 'iiii',
    vectors: 1 + rows + rows * columns,
    body: [
      get(a), get(bytes), addI32, set(bytes), // from here on the end of `a`
      loop([at(0), at(2)], [[a, 32], [b, 32]], bytes),
      down.map((row) => across.map((column) => [
        get(out), get(sum(row, column)), lane(0), get(sum(row, column)), lane(1), addF64, storeF64(8 * (row * columns + column))
      ]))
    ]
  }
}

/** addCombination(out, rows, c0, c1, c2, c3, bytes) */
function addCombination (): FunctionSource {
  const [out, rows, c, bytes, x, first] = [0, 1, 2, 6, 7, 8]
  const at = (element: number): Code => [
    get(out), load(8 * element), set(x),
    FOUR.map((row) => [get(x), get(first + row), get(rows), load(row * SLOT_BYTES + 8 * element), multiply, add, set(x)]),
    get(out), get(x), store(8 * element)
  ]
  return {
    name: 'addCombination',
    params: 'iiddddi',
    vectors: 5,
    body: [
      FOUR.map((row) => [get(c + row), splat, set(first + row)]),
      get(out), get(bytes), addI32, set(bytes),
      loop([at(0), at(2)], [[out, 32], [rows, 32]], bytes)
    ]
  }
}

/** widen(from, to, bytes) and narrow(from, to, bytes): bytes of the float64 side. */
function convert (name: 'widen' | 'narrow'): FunctionSource {
  const [from, to, bytes] = [0, 1, 2]
  const [wide, thin] = name === 'widen' ? [to, from] : [from, to]
  const at = (element: number): Code => name === 'widen'
    ? [get(to), get(from), loadHalf(4 * element), widen, store(8 * element)]
    : [get(to), get(from), load(8 * element), narrow, storeHalf(4 * element)]
  return {
    name,
    params: 'iii',
    vectors: 0,
    body: [
      get(wide), get(bytes), addI32, set(bytes),
      loop([at(0), at(2)], [[wide, 32], [thin, 16]], bytes)
    ]
  }
}

/** adam(first, second, gradient, beta1, 1 - beta1, beta2, 1 - beta2, correction1, correction2, epsilon, bytes) */
function adam (): FunctionSource {
  const [first, second, gradient, terms, bytes, g, m, v, spread] = [0, 1, 2, 3, 10, 11, 12, 13, 14]
  const [beta1, rest1, beta2, rest2, correction1, correction2, epsilon] = [0, 1, 2, 3, 4, 5, 6].map(i => get(spread + i)) as [Code, Code, Code, Code, Code, Code, Code]
  const { splat, squareRoot, add, multiply, divide } = four
  const at = (offset: number): Code => [
    get(gradient), load(offset), set(g),
    beta1, get(first), load(offset), multiply, rest1, get(g), multiply, add, set(m),
    get(first), get(m), store(offset),
    beta2, get(second), load(offset), multiply, rest2, get(g), multiply, get(g), multiply, add, set(v),
    get(second), get(v), store(offset),
    get(gradient), get(m), correction1, multiply, get(v), correction2, multiply, squareRoot, epsilon, add, divide, store(offset)
  ]
  return {
    name: 'adam',
    params: 'iiifffffffi',
    vectors: 10,
    body: [
      [0, 1, 2, 3, 4, 5, 6].map(i => [get(terms + i), splat, set(spread + i)]),
      get(first), get(bytes), addI32, set(bytes),
      loop([at(0)], [[first, 16], [second, 16], [gradient, 16]], bytes)
    ]
  }
}

/** descend(values, step, rate, decay, bytes) */
function descend (): FunctionSource {
  const [values, step, rate, decay, bytes, x, rates, decays] = [0, 1, 2, 3, 4, 5, 6, 7]
  const { splat, subtract, multiply } = four
  const at = (offset: number): Code => [
    get(values), load(offset), set(x),
    get(values), get(x), get(rates), get(step), load(offset), multiply, subtract, get(decays), get(x), multiply, subtract, store(offset)
  ]
  return {
    name: 'descend',
    params: 'iiffi',
    vectors: 3,
    body: [
      get(rate), splat, set(rates), get(decay), splat, set(decays),
      get(values), get(bytes), addI32, set(bytes),
      loop([at(0)], [[values, 16], [step, 16]], bytes)
    ]
  }
}

/** @returns undefined where the process has no WebAssembly, or one without SIMD */
export function simdKernels (): Kernels | undefined {
  const bytes = assemble([products(2, 4), products(2, 2), products(1, 4), addCombination(), convert('widen'), convert('narrow'), adam(), descend()], 1)
  if (typeof WebAssembly === 'undefined' || !WebAssembly.validate(bytes)) return undefined
  const { memory, adam: step, ...kernels } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports as Exports
  return {
    ...kernels,
    name: 'simd',
    adam: (first, second, gradient, { beta1, beta2, epsilon, correction1, correction2 }, bytes) => {
      step(first, second, gradient, beta1, 1 - beta1, beta2, 1 - beta2, correction1, correction2, epsilon, bytes)
    },
    get buffer () { return memory.buffer },
    grow (size) {
      const missing = size - memory.buffer.byteLength
      if (missing > 0) memory.grow(Math.ceil(missing / PAGE))
    }
  }
}
