/** What must hold of affinities and splits for any numbers. */
import test from 'ava'
import { fc, testProp } from '@fast-check/ava'
import { AffinityTally, meanOverSites } from '../../src/affinity/tally.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { Random } from '../../src/random.ts'
import { branchAndBound, exhaustive } from '../../src/affinity/search.ts'
import { chooseSplit } from '../../src/affinity/split.ts'
import { lookAhead } from '../../src/affinity/look-ahead.ts'
import { matrixOf } from '../../src/affinity/matrix.ts'

/** Whole numbers: many partitions are worth the same. */
const matrices = fc.integer({ min: 1, max: 7 }).chain(size => fc.array(fc.array(fc.integer({ min: -3, max: 3 }), { minLength: size, maxLength: size }), { minLength: size, maxLength: size }))
const groups = fc.integer({ min: 1, max: 4 })

function offDiagonal (affinity: readonly number[][], change: (value: number) => number): number[][] {
  return affinity.map((row, i) => row.map((value, j) => i === j ? value : change(value)))
}

testProp('branch and bound finds what looking at every partition finds, ties included', [matrices, groups, fc.boolean()], (t, affinity, most, exact) => {
  const init = { groups: Math.min(most, affinity.length), exact }
  const [all, fast] = [exhaustive(affinity, init), branchAndBound(affinity, init)]
  t.deepEqual(fast.best, all.best)
  t.true(fast.tried <= all.tried)
  if (exact) t.is(all.best.groups.length, init.groups)
  else t.true(all.best.groups.length <= init.groups)
  t.deepEqual(all.best.groups.flat().sort((a, b) => a - b), affinity.map((_, task) => task))
})

testProp('a positive factor and a constant change no group', [matrices, groups, fc.integer({ min: 1, max: 5 }), fc.integer({ min: -2, max: 2 })], (t, affinity, most, factor, constant) => {
  const { best } = exhaustive(affinity, { groups: most, exact: false })
  for (const other of [offDiagonal(affinity, value => value * factor), offDiagonal(affinity, value => value * 2 ** -20), offDiagonal(affinity, value => value + constant)]) {
    t.deepEqual(exhaustive(other, { groups: most, exact: false }).best.groups, best.groups)
  }
})

testProp('the diagonal decides nothing', [matrices, groups, fc.integer()], (t, affinity, most, own) => {
  const other = affinity.map((row, i) => row.map((value, j) => i === j ? own : value))
  t.deepEqual(chooseSplit(other, { groups: most }), chooseSplit(affinity, { groups: most }))
})

test('branches are left out: twelve tasks in four groups', t => {
  const random = new Random(3)
  const affinity = matrixOf(12, () => random.normal())
  // S(12,1) + S(12,2) + S(12,3) + S(12,4)
  const partitions = 1 + 2047 + 86526 + 611501
  const { best, tried } = branchAndBound(affinity, { groups: 4, exact: false })
  t.true(tried < partitions / 50, `${tried} of ${partitions}`)
  t.deepEqual(chooseSplit(affinity, { groups: 4 }).groups, best.groups)
})

const APART = [[0, 1, -1], [1, 0, -1], [-1, -1, 0]]
for (const { id, affinity, init, want, reason } of [
  { id: 'tasks that help and tasks that hurt', affinity: APART, init: { groups: 2 }, want: [[0, 1], [2]], reason: /^2 groups are worth/ },
  { id: 'no more than one group asked for', affinity: APART, init: { groups: 1 }, want: [[0, 1, 2]], reason: /^one group: no split is worth more/ },
  { id: 'a margin that is not reached', affinity: APART, init: { groups: 2, margin: 10 }, want: [[0, 1, 2]], reason: /^one group: 2 groups are worth .* which is not 10 more$/ },
  { id: 'a gain that is not reached', affinity: APART, init: { groups: 2, gain: 10 }, want: [[0, 1, 2]], reason: /^one group: 2 groups are worth .* \d+ % more, which is less than 1000 %$/ },
  { id: 'exact groups, and a margin that is not reached', affinity: APART, init: { groups: 3, exact: true, margin: 10 }, want: [[0, 1, 2]], reason: /^one group: 3 groups/ },
  { id: 'no effect at all', affinity: APART.map(row => row.map(() => 0)), init: { groups: 3, exact: true }, want: [[0, 1, 2]], reason: /^one group: 3 groups are worth 0.000, one 0.000, which is not 0 more$/ },
  { id: 'a pair that was not measured', affinity: [[0, 1, -1], [1, 0, Number.NaN], [-1, -1, 0]], init: { groups: 2 }, want: [[0, 1, 2]], reason: /^one group: the effect of 1 on 2 was not measured$/ },
  { id: 'nothing measured', affinity: APART.map(row => row.map(() => Number.NaN)), init: { groups: 2 }, want: [[0, 1, 2]], reason: /and 3 more was not measured$/ },
  { id: 'one task', affinity: [[0]], init: { groups: 1 }, want: [[0]], reason: /^one group: no split/ }
]) {
  test(`a choice with its reason: ${id}`, t => {
    const split = chooseSplit(affinity, init)
    t.deepEqual(split.groups, want)
    t.regex(split.reason, reason)
    t.false(split.reason.includes('\n'))
  })
}

for (const { id, affinity, init } of [
  { id: 'no task', affinity: [], init: { groups: 1 } },
  { id: 'a matrix that is not square', affinity: [[0, 1]], init: { groups: 1 } },
  { id: 'no group', affinity: APART, init: { groups: 0 } },
  { id: 'more groups than tasks', affinity: APART, init: { groups: 4, exact: true } },
  { id: 'a negative margin', affinity: APART, init: { groups: 2, margin: -1 } },
  { id: 'more tasks than can be searched', affinity: matrixOf(15, () => 0), init: { groups: 2 } }
]) {
  test(`is refused: ${id}`, t => { t.throws(() => chooseSplit(affinity, init), { instanceOf: InvalidParametersError }) })
}

/** L_j = scale_j (1 + |theta - target_j|^2), in single precision as weights are. */
function tasksOf (scales: readonly number[]) {
  const targets = [[1, 0], [0.5, 0.5], [-1, 2]]
  return {
    losses: (theta: Float32Array): number[] => scales.map((scale, j) => scale * (1 + theta.reduce((sum, value, i) => sum + (value - (targets[j]?.[i] as number)) ** 2, 0))),
    gradients: (theta: Float32Array): Float32Array[] => scales.map((scale, j) => theta.map((value, i) => 2 * scale * (value - (targets[j]?.[i] as number))))
  }
}

async function probe (scales: readonly number[], shared = Float32Array.of(0.25, -0.5)): Promise<number[][]> {
  const { losses, gradients } = tasksOf(scales)
  return await lookAhead({ shared, losses: losses(shared), gradients: gradients(shared), rate: 0.125 }, async theta => losses(theta))
}

test('looking ahead leaves the weights as they are, bit for bit', async t => {
  const shared = Float32Array.of(0.25, -0.5)
  await probe([1, 1, 1], shared)
  t.deepEqual(shared, Float32Array.of(0.25, -0.5))
})

test('twice a loss changes what its task does to others, not what others do to it', async t => {
  const [once, twice] = [await probe([1, 1, 1]), await probe([1, 2, 1])]
  for (const source of [0, 2]) t.is(twice[source]?.[1], once[source]?.[1])
  t.not(twice[1]?.[0], once[1]?.[0])
})

test('decay is part of the step', async t => {
  const shared = Float32Array.of(2)
  const seen: number[] = []
  await lookAhead({ shared, losses: [1], gradients: [Float32Array.of(0)], rate: 0.25, weightDecay: 0.5 }, async theta => {
    seen.push(...theta)
    return [1]
  })
  t.deepEqual(seen, [1.75])
})

test('a loss of nothing, or one that broke, is no measurement', async t => {
  const shared = Float32Array.of(1)
  const gradient = Float32Array.of(1)
  const got = await lookAhead({ shared, losses: [0, 2, 2], gradients: [gradient, gradient, gradient], rate: 1 }, async () => [1, Number.NaN, 1])
  t.deepEqual(got, [[Number.NaN, Number.NaN, 0.5], [Number.NaN, Number.NaN, 0.5], [Number.NaN, Number.NaN, 0.5]])
  const tally = new AffinityTally(3)
  tally.add(got)
  tally.add(got.map(() => [1, Number.NaN, 1.5]))
  t.deepEqual(tally.mean()[0], [1, Number.NaN, 1])
})

const sites = fc.uniqueArray(fc.record({ site: fc.string({ minLength: 1, maxLength: 4 }), affinity: fc.array(fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 3, maxLength: 3 }), { minLength: 3, maxLength: 3 }) }), { minLength: 1, maxLength: 7, selector: ({ site }) => site })

testProp('in whatever order sites come, the mean has the same bits, and so the split is the same', [sites, fc.nat(6)], (t, rows, by) => {
  const turned = [...rows.slice(by % rows.length), ...rows.slice(0, by % rows.length)]
  const [first, second] = [meanOverSites(rows, 3), meanOverSites(turned, 3)]
  t.deepEqual(second, first)
  t.deepEqual(meanOverSites(rows.toReversed(), 3), first)
  t.deepEqual(chooseSplit(second, { groups: 2 }), chooseSplit(first, { groups: 2 }))
})

for (const { honest, times, moves } of [{ honest: 3, times: -3, moves: true }, { honest: 4, times: -3, moves: false }, { honest: 4, times: -1e30, moves: false }, { honest: 5, times: -1e6, moves: false }]) {
  test(`${honest} sites and one that lies by ${times}: ${moves ? 'it' : 'it no longer'} decides the split`, t => {
    const truth = Array.from({ length: honest }, (_, i) => ({ site: `honest ${i}`, affinity: APART }))
    const lie = { site: 'liar', affinity: APART.map(row => row.map(value => value * times)) }
    const { groups } = chooseSplit(meanOverSites([...truth, lie], 3), { groups: 2 })
    t.is(JSON.stringify(groups) !== JSON.stringify([[0, 1], [2]]), moves)
  })
}

test('a site without some tasks says nothing of them, and what nobody measured stays unknown', t => {
  const none = Number.NaN
  const mean = meanOverSites([{ site: 'a', affinity: [[0, 2, none], [1, 0, none], [none, none, none]] }, { site: 'b', affinity: [[0, none, none], [none, none, none], [none, none, 0]] }], 3)
  t.deepEqual(mean, [[0, 2, none], [1, 0, none], [none, none, 0]])
})
