import { readFileSync } from 'node:fs'
import test from 'ava'
import { fc, testProp } from '@fast-check/ava'
import { close } from '../helpers/tensors.ts'
import { averageLinkage, cutAt, distance, distancesOf, leavesOf } from '../../src/combinatorics/linkage.ts'
import { InvalidParametersError } from '../../src/errors.ts'

const { points, merges } = JSON.parse(readFileSync(new URL('../vectors/methods/demlearn-tree.json', import.meta.url), 'utf8')) as { points: number[][], merges: number[][] }
const EXACT = 1e-9

test('merges are those of the reference', t => {
  const made = averageLinkage(distancesOf(points.map(point => [point]), 'euclidean'))
  t.deepEqual(made.map(({ members, size }) => [...members, size]), merges.map(([a, b, , size]) => [a, b, size]))
  close(t, 'heights', made.map(({ height }) => height), merges.map(([, , height]) => height as number), EXACT)
})

test('a cut joins what lies no farther apart than that', t => {
  const made = averageLinkage(distancesOf(points.map(point => [point]), 'euclidean'))
  t.deepEqual(cutAt(made, 0.1), [[0], [1], [2], [3], [4], [5]])
  t.deepEqual(cutAt(made, 0.25), [[0, 1], [2], [3], [4], [5]])
  t.deepEqual(cutAt(made, 2), [[0, 1, 2], [3, 4], [5]])
  t.deepEqual(cutAt(made, 100), [[0, 1, 2, 3, 4, 5]])
})

test('a cosine is over the pieces that both have, and zeros point nowhere', t => {
  t.is(distance([[1, 0], [5]], [[0, 2], undefined], 'cosine'), 1)
  t.is(distance([[1, 1], [5]], [[2, 2], undefined], 'cosine'), 0)
  t.is(distance([[1, 0]], [[-3, 0]], 'cosine'), 2)
  t.is(distance([[0, 0]], [[0, 0]], 'cosine'), 1)
  t.is(distance([[3, 0], undefined], [[0, 4], [7]], 'euclidean'), 5)
})

test('one point alone is a tree without merges', t => {
  t.deepEqual(averageLinkage([[0]]), [])
  t.deepEqual(averageLinkage([]), [])
  t.deepEqual(cutAt([], 1), [[0]])
})

test('what is not finite has no tree', t => {
  t.throws(() => averageLinkage([[0, NaN], [NaN, 0]]), { instanceOf: InvalidParametersError })
})

const plane = fc.array(fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 3, maxLength: 3 }), { minLength: 2, maxLength: 12 })

testProp('every height is the mean distance between the points of the two, and heights rise', [plane], (t, drawn) => {
  const distances = distancesOf(drawn.map(point => [point]), 'euclidean')
  const made = averageLinkage(distances)
  t.is(made.length, drawn.length - 1)
  made.forEach(({ members: [a, b], height, size }, i) => {
    const [left, right] = [leavesOf(made, a), leavesOf(made, b)]
    const between = left.flatMap(x => right.map(y => distances[x]?.[y] as number))
    t.true(Math.abs(height - between.reduce((sum, value) => sum + value, 0) / between.length) < EXACT)
    t.is(size, left.length + right.length)
    if (i > 0) t.true(height >= (made[i - 1]?.height as number))
    t.true(Math.max(a, b) < drawn.length + i)
  })
  t.deepEqual(leavesOf(made, 2 * drawn.length - 2), drawn.map((_, i) => i))
})

testProp('a cut puts every point into one group', [plane, fc.double({ min: 0, max: 15, noNaN: true })], (t, drawn, height) => {
  const groups = cutAt(averageLinkage(distancesOf(drawn.map(point => [point]), 'euclidean')), height)
  t.deepEqual(groups.flat().sort((a, b) => a - b), drawn.map((_, i) => i))
})
