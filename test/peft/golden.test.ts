/** The aggregation rules against an independent reference, and what must hold of them for any factors: test/vectors/peft. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { Matrix, SVD } from 'ml-matrix'
import { Random } from '../../src/random.ts'
import { factorsOf, mergeInto, resized, stack } from '../../src/peft/factors.ts'
import { loraRules } from '../../src/peft/rules/index.ts'
import type { ExecutionContext } from 'ava'
import type { Factors, Share } from '../../src/peft/factors.ts'
import type { LoraRule } from '../../src/peft/rules/index.ts'

type Rows = number[][]
interface Client { readonly rank: number, readonly n: number, readonly A: Rows, readonly B: Rows }
interface Pair { readonly A: Rows, readonly B: Rows, readonly product: Rows, readonly error: number }
interface Vectors {
  readonly homogeneous: {
    readonly p: number[],
    readonly clients: Client[],
    readonly exact: Rows
    readonly fedit: Pair & { readonly relError: number }
    readonly ffa: { readonly frozenA: Rows, readonly B: Rows, readonly product: Rows }
    readonly flora: Pair
    readonly weightingBothIsWrong: { readonly product: Rows, readonly error: number }
    readonly svdRank2: { readonly product: Rows, readonly error: number }
  }
  readonly heterogeneous: { readonly p: number[], readonly clients: Client[], readonly exact: Rows, readonly zeroPad: Pair, readonly flora: Pair & { readonly rank: number } }
  readonly merge: { readonly W0: Rows, readonly scale: number, readonly x: Rows, readonly y: Rows }
}

const { homogeneous, heterogeneous, merge } = JSON.parse(readFileSync(new URL('../vectors/peft/lora-aggregation.json', import.meta.url), 'utf8')) as Vectors
const TOLERANCE = 1e-9

const rule = (name: string): LoraRule => loraRules.find(rule => rule.name === name) as LoraRule
const sharesOf = ({ p, clients }: { readonly p: readonly number[], readonly clients: readonly Client[] }): Share[] =>
  clients.map(({ A, B }, k) => ({ weight: p[k] as number, a: new Matrix(A), b: new Matrix(B) }))
const productOf = ({ a, b }: Factors): Matrix => b.mmul(a)
const off = (got: Matrix, want: Matrix | Rows): number => Matrix.sub(got, new Matrix(want as Rows)).norm('frobenius')

function near (t: ExecutionContext, what: string, got: Matrix, want: Matrix | Rows, tolerance = TOLERANCE): void {
  t.true(off(got, want) <= tolerance, `${what}: off by ${off(got, want)}`)
}

test('FedIT: both means, and an error of its product that is the cross terms', t => {
  const shares = sharesOf(homogeneous)
  const { a, b } = rule('fedit').aggregate(shares, { rank: 2 })
  near(t, 'A', a, homogeneous.fedit.A)
  near(t, 'B', b, homogeneous.fedit.B)
  near(t, 'product', b.mmul(a), homogeneous.fedit.product)
  const cross = shares.reduce((sum, i) => shares.reduce((sum, j) => sum.add(Matrix.mul(i.b.mmul(j.a), i.weight * j.weight)), sum), Matrix.mul(new Matrix(homogeneous.exact), -1))
  near(t, 'error', Matrix.sub(b.mmul(a), new Matrix(homogeneous.exact)), cross)
  t.true(Math.abs(cross.norm('frobenius') / new Matrix(homogeneous.exact).norm('frobenius') - homogeneous.fedit.relError) < TOLERANCE)
})

test('FFA: A is the common one, and the product is the mean of the products', t => {
  const { frozenA, B, product } = homogeneous.ffa
  const shares = sharesOf(homogeneous).map(share => ({ ...share, a: new Matrix(frozenA) }))
  const got = rule('ffa').aggregate(shares, { rank: 2 })
  t.deepEqual(got.a.to2DArray(), frozenA)
  near(t, 'B', got.b, B)
  near(t, 'product', productOf(got), product)
  near(t, 'mean of the products', productOf(got), productOf(stack(shares)))
})

test('FLoRA: the stack is exact, with the weights on one factor only', t => {
  const got = rule('flora').aggregate(sharesOf(homogeneous), { rank: 2 })
  near(t, 'A', got.a, homogeneous.flora.A)
  near(t, 'B', got.b, homogeneous.flora.B)
  near(t, 'product', productOf(got), homogeneous.exact)
  const { product, error } = homogeneous.weightingBothIsWrong
  t.true(Math.abs(off(productOf(got), product) - error) < TOLERANCE)
})

test('mixed ranks 1, 2 and 3: FLoRA stacks six rows and is exact, zero padding is not', t => {
  const shares = sharesOf(heterogeneous)
  const stacked = rule('flora').aggregate(shares, { rank: 3 })
  t.is(stacked.a.rows, heterogeneous.flora.rank)
  near(t, 'A', stacked.a, heterogeneous.flora.A)
  near(t, 'B', stacked.b, heterogeneous.flora.B)
  near(t, 'product', productOf(stacked), heterogeneous.exact)
  const padded = rule('zero-pad').aggregate(shares, { rank: 3 })
  near(t, 'A, padded', padded.a, heterogeneous.zeroPad.A)
  near(t, 'B, padded', padded.b, heterogeneous.zeroPad.B)
  t.true(Math.abs(off(productOf(padded), heterogeneous.exact) - heterogeneous.zeroPad.error) < TOLERANCE)
})

test('svd: its error is that of the singular values left out, and never above FedIT\'s', t => {
  const got = rule('svd').aggregate(sharesOf(homogeneous), { rank: 2 })
  near(t, 'product', productOf(got), homogeneous.svdRank2.product)
  const tail = new SVD(new Matrix(homogeneous.exact), { autoTranspose: true }).diagonal.slice(2)
  t.true(Math.abs(off(productOf(got), homogeneous.exact) - Math.hypot(...tail)) < TOLERANCE)
  t.true(off(productOf(got), homogeneous.exact) < homogeneous.fedit.error)
})

test('a stack above rankMax is factored anew to that many rows, as svd does; below it stays', t => {
  const shares = sharesOf(homogeneous)
  const capped = rule('flora').aggregate(shares, { rank: 2, rankMax: 2 })
  t.is(capped.a.rows, 2)
  near(t, 'product', productOf(capped), homogeneous.svdRank2.product)
  t.deepEqual(rule('flora').aggregate(shares, { rank: 2, rankMax: 6 }), stack(shares))
})

test('merged: x (W0 + s B A) is x W0 and s (x A^T) B^T, with the trunk\'s weights the other way round', t => {
  const shares = sharesOf(heterogeneous)
  const { W0, scale, x, y } = merge
  const weight = Float32Array.from(new Matrix(W0).transpose().to1DArray())
  mergeInto(weight, stack(shares), scale)
  const got = new Matrix(x).mmul(Matrix.from1DArray(5, 4, [...weight]))
  near(t, 'y', got, y, 1e-5)
  near(t, 'apart', got, Matrix.add(new Matrix(x).mmul(new Matrix(W0).transpose()), Matrix.mul(new Matrix(x).mmul(productOf(stack(shares)).transpose()), scale)), 1e-5)
})

/** Clients as they come, of a layer wider than the stack and of one narrower. */
const drawn = (seed: number, [inputs, outputs]: readonly [number, number], ranks: readonly number[]): Share[] => {
  const random = new Random(seed)
  const normal = (count: number): number[] => Array.from({ length: count }, () => random.normal())
  const weights = ranks.map(() => 0.2 + random.next())
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return ranks.map((rank, k) => ({ weight: (weights[k] as number) / total, ...factorsOf(normal(rank * inputs), normal(outputs * rank), { inputs, outputs }) }))
}

for (const { id, size, ranks } of [
  { id: 'one rank, a wide layer', size: [24, 20], ranks: [3, 3, 3, 3] },
  { id: 'one rank, a narrow layer', size: [5, 4], ranks: [2, 2, 2] },
  { id: 'mixed ranks, a wide layer', size: [20, 24], ranks: [1, 4, 2] },
  { id: 'mixed ranks, a narrow layer', size: [4, 7], ranks: [3, 1, 2] }
] as const) {
  test(`in whatever order clients stand, no rule's product changes: ${id}`, t => {
    const shares = drawn(5, size, ranks)
    const common = shares.map(share => ({ ...share, a: resized(shares[1] as Share, share.a.rows).a }))
    for (const each of loraRules) {
      if (!each.mixedRanks && new Set(ranks as readonly number[]).size > 1) continue
      const from = each.name === 'ffa' ? common : shares
      const init = { rank: Math.max(...ranks), rankMax: 3 }
      near(t, each.name, productOf(each.aggregate([...from].reverse(), init)), productOf(each.aggregate(from, init)), 1e-12)
    }
  })

  test(`svd through the factors' QR is the best that a rank can do: ${id}`, t => {
    const shares = drawn(9, size, ranks)
    const exact = productOf(stack(shares))
    for (const rank of [1, 2, 3]) {
      const got = rule('svd').aggregate(shares, { rank })
      const best = Math.hypot(...new SVD(exact, { autoTranspose: true }).diagonal.slice(rank))
      t.true(Math.abs(off(productOf(got), exact) - best) < TOLERANCE, `rank ${rank}: ${off(productOf(got), exact)}, best ${best}`)
      t.deepEqual([got.a.rows, got.b.columns], [rank, rank])
    }
  })
}

test('svd of a product with fewer dimensions than the rank leaves rows and columns of zeros', t => {
  const [share] = drawn(3, [12, 10], [2]) as [Share]
  const got = rule('svd').aggregate([{ ...share, weight: 1 }], { rank: 4 })
  near(t, 'product', productOf(got), productOf(share))
  for (const row of [2, 3]) t.true(got.a.getRow(row).every(value => value === 0) && got.b.getColumn(row).every(value => value === 0))
})
