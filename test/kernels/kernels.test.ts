import { testProp, fc } from '@fast-check/ava'
import test from 'ava'
import { BLOCK, Workspace, combined, dot, gram, norm, over, plainKernels, simdKernels } from '../../src/kernels/index.ts'
import { Random } from '../../src/random.ts'
import type { Kernels, Row } from '../../src/kernels/index.ts'

const simd = simdKernels()
const both = (simd === undefined ? [] : [simd]).concat(plainKernels())

test('this Node has WebAssembly SIMD, so that what follows compares two implementations', (t) => {
  t.deepEqual(both.map(({ name }) => name), ['simd', 'plain'])
})

/** A row that begins anywhere in its buffer, of ordinary numbers and, if `wild`, of those at the edges of float32. */
function rowOf (random: Random, length: number, type: 'f32' | 'f64', wild: boolean): Row {
  const offset = random.int(8)
  const row = (type === 'f32' ? new Float32Array(offset + length) : new Float64Array(offset + length)).subarray(offset)
  const edges = [0, -0, NaN, Infinity, -Infinity, 1e-45, -1e-40, 3.4e38, 1e-300]
  for (let i = 0; i < length; i++) row[i] = wild && random.int(4) === 0 ? edges[random.int(edges.length)] as number : random.normal() * 10 ** random.int(5)
  return row
}

interface Block { sums: Float64Array, sum: Float64Array, stored: Row, kept: Float64Array, around: Row }

/** All that a workspace does with one block, at both sides of the place it writes to. */
function useAll (kernels: Kernels, rows: readonly Row[], coefficients: Float64Array): Block {
  const length = (rows[0] as Row).length
  const n = rows.length
  const space = new Workspace(kernels)
  space.begin(length, n + 1)
  rows.forEach((row, i) => { space.load(i, row, 0) })
  const sums = new Float64Array(n * n)
  space.addProducts(sums, n, n)
  rows.forEach((row, i) => { space.load(i + 1, row, 0) })
  space.combine(0, 1, coefficients)
  const sum = space.values(0).slice()
  const around = (rows[0] as Row) instanceof Float32Array ? new Float32Array(length + 2).fill(7) : new Float64Array(length + 2).fill(7)
  space.save(0, around, 1)
  return { sums, sum, stored: around.slice(1, length + 1), kept: space.values(0).slice(), around }
}

const drawn = fc.record({ seed: fc.integer(), n: fc.integer({ min: 1, max: 11 }), length: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: BLOCK - 5, max: BLOCK })), wild: fc.boolean(), type: fc.constantFrom('f32' as const, 'f64' as const) })

testProp('SIMD and plain kernels give the same bits, whatever the length, the alignment and the numbers', [drawn], (t, { seed, n, length, wild, type }) => {
  const random = new Random(seed)
  const rows = Array.from({ length: n }, () => rowOf(random, length, type, wild))
  const coefficients = Float64Array.from(rows, () => random.normal())
  const [one, other] = both.map((kernels) => useAll(kernels, rows, coefficients)) as [Block, Block]
  // as numbers, so that one NaN is as good as another; -0 is not 0
  for (const part of ['sums', 'sum', 'stored', 'kept', 'around'] as const) t.deepEqual([...one[part]], [...other[part]], part)
}, { numRuns: 200 })

testProp('kernels give the sums and combinations that a plain loop gives', [drawn], (t, { seed, n, length, type }) => {
  const random = new Random(seed)
  const rows = Array.from({ length: n }, () => rowOf(random, length, type, false))
  const coefficients = Float64Array.from(rows, () => random.normal())
  for (const kernels of both) {
    const { sums, sum, stored, kept, around } = useAll(kernels, rows, coefficients)
    rows.forEach((row, i) => rows.slice(0, i + 1).forEach((left, j) => {
      let product = 0
      let size = 0
      row.forEach((x, k) => { product += x * (left[k] as number); size += Math.abs(x * (left[k] as number)) })
      t.true(Math.abs((sums[j * n + i] as number) - product) <= 1e-13 * size, `${kernels.name}: product of rows ${j} and ${i}`)
    }))
    sum.forEach((value, k) => {
      const terms = rows.map((row, i) => (coefficients[i] as number) * (row[k] as number))
      const size = terms.reduce((all, term) => all + Math.abs(term), 0)
      t.true(Math.abs(value - terms.reduce((all, term) => all + term, 0)) <= 1e-14 * size, `${kernels.name}: combination at ${k}`)
    })
    t.deepEqual([...stored], [...type === 'f32' ? Float32Array.from(sum) : sum])
    t.deepEqual([...kept], [...stored])
    t.is(around[0], 7)
    t.is(around[length + 1], 7)
  }
}, { numRuns: 100 })

test('passes over many blocks add up to the products of the whole rows', (t) => {
  const random = new Random(3)
  for (const length of [BLOCK, 64 * BLOCK, 64 * BLOCK + 1, 70_001]) {
    const rows = Array.from({ length: 6 }, () => rowOf(random, length, 'f32', false))
    const k = gram(rows)
    rows.forEach((a, i) => rows.forEach((b, j) => {
      let product = 0
      a.forEach((x, at) => { product += x * (b[at] as number) })
      t.true(Math.abs((k[i * 6 + j] as number) - product) <= 1e-12 * norm(a) * norm(b))
      t.is(k[i * 6 + j], dot(a, b))
      t.is(k[i * 6 + j], k[j * 6 + i])
    }))
    const sum = new Float64Array(length)
    over(rows, combined(Float64Array.of(1, -1, 0, 2, 0.5, -0.25), length, (values, from) => { sum.set(values, from) }))
    const [a, b, , d, e, f] = rows as [Row, Row, Row, Row, Row, Row]
    for (const at of [0, BLOCK - 1, length - 1]) t.true(Math.abs((sum[at] as number) - ((a[at] as number) - (b[at] as number) + 2 * (d[at] as number) + (e[at] as number) / 2 - (f[at] as number) / 4)) < 1e-9)
  }
})

test('one number that is not finite shows in every product of its row and in no other', (t) => {
  const random = new Random(5)
  for (const bad of [NaN, Infinity, -Infinity]) {
    for (const at of [0, 4095, 5000]) {
      const rows = Array.from({ length: 5 }, () => rowOf(random, 5001, 'f32', false))
      ;(rows[2] as Row)[at] = bad
      const k = gram(rows)
      for (let i = 0; i < 5; i++) for (let j = 0; j < 5; j++) t.is(Number.isFinite(k[i * 5 + j]), i !== 2 && j !== 2)
    }
  }
})

/** What an optimiser does with rows of a length that ends within a block, and the numbers around them. */
function optimise (kernels: Kernels, seed: number, length: number, wild: boolean): Float32Array[] {
  const random = new Random(seed)
  const [first, second, gradient, values] = [rowOf(random, length, 'f32', false), rowOf(random, length, 'f32', false).map(Math.abs), rowOf(random, length, 'f32', wild), rowOf(random, length, 'f32', wild)] as [Float32Array, Float32Array, Float32Array, Float32Array]
  const into = new Float32Array(length + 2).fill(7)
  const space = new Workspace(kernels)
  space.adam({ first, second }, gradient, into.subarray(1, length + 1), { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, correction1: 10, correction2: 1000 })
  space.descend(values, gradient, 0.003, 0.0001)
  return [first, second, into, values, gradient]
}

testProp('optimiser steps give the same bits by SIMD and plainly, within the numbers that they are given', [drawn], (t, { seed, length, wild }) => {
  const [one, other] = both.map(kernels => optimise(kernels, seed, 3 * length, wild)) as [Float32Array[], Float32Array[]]
  one.forEach((row, i) => t.deepEqual([...row], [...other[i] as Float32Array], String(i)))
  t.deepEqual([one[2]?.[0], one[2]?.at(-1)], [7, 7])
}, { numRuns: 100 })
