/** The arithmetic of FlexMod in float64 against the reference numbers: test/vectors/flexmod. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { ALLOCATIONS, classSums, largestRemainder, prototypeLoss, prototypesOf, shapleyValues, shares } from '../../src/methods/flexmod/allocation.ts'
import type { ExecutionContext } from 'ava'

interface Golden {
  values: Record<string, number>,
  shapley: number[]
  prototypes: { Z: number[][], labels: number[], protos: number[][], loss: number }
  allocation: { prototypeLoss: number[], score: number[], share: number[], budgetSteps: number, steps: number[] }
}

const golden = JSON.parse(readFileSync(new URL('../vectors/flexmod/flexmod-shapley.json', import.meta.url), 'utf8')) as Golden

function near (t: ExecutionContext, got: ArrayLike<number>, want: readonly number[]): void {
  t.is(got.length, want.length)
  want.forEach((value, i) => t.true(Math.abs((got[i] as number) - value) <= 1e-9, `[${i}] ${got[i]} for ${value}`))
}

const values = Array.from({ length: 8 }, (_, subset) => golden.values[[0, 1, 2].filter(i => (subset >> i) % 2 === 1).join('+') || 'empty'] as number)

test('Shapley values are the reference\'s, and share out what all blocks give', t => {
  const phi = shapleyValues(values)
  near(t, phi, golden.shapley)
  near(t, [phi.reduce((a, b) => a + b, 0)], [(values[7] as number) - (values[0] as number)])
})

test('prototypes and the loss against them', t => {
  const { Z, labels, protos, loss } = golden.prototypes
  const { sums, counts } = classSums(Z.flat(), labels, 3)
  const prototypes = prototypesOf(sums, counts)
  prototypes.forEach((prototype, c) => { near(t, prototype ?? [], protos[c] as number[]) })
  near(t, [prototypeLoss(Z.flat(), labels, prototypes)], [loss])
  near(t, [prototypeLoss(Z.flat(), labels, prototypesOf(sums.map(sum => sum / 6), counts.map(count => count / 6)))], [loss])
  t.is(prototypeLoss(Z.flat(), labels, [undefined, undefined, undefined]), 0)
})

test('a budget of 20 steps goes 7, 6, 7', t => {
  const { prototypeLoss: need, share, budgetSteps: budget, steps } = golden.allocation
  near(t, shares(golden.shapley, need), share)
  t.deepEqual(ALLOCATIONS.shapley({ budget, shapley: golden.shapley, need, step: 0 }), steps)
})

test('a block that gives nothing has one step, and all have alike where none gives anything', t => {
  t.deepEqual(ALLOCATIONS.shapley({ budget: 10, shapley: [0.3, -0.1, 0.3], need: [1, 5, 1], step: 0 }), [4, 1, 5])
  t.deepEqual(ALLOCATIONS.shapley({ budget: 10, shapley: [0, 0, 0], need: [1, 5, 1], step: 0 }), [4, 3, 3])
  t.deepEqual(ALLOCATIONS.uniform({ budget: 10, shapley: [0.3, -0.1, 0.3], need: [1, 5, 1], step: 0 }), [4, 3, 3])
  t.deepEqual(largestRemainder([1, 0, 0], 3), [1, 1, 1])
})
