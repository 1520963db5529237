import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { Random } from '../../src/random.ts'
import { assign } from '../../src/combinatorics/assignment.ts'

/** Least cost over all ways to give each row a column. */
function least (costs: readonly number[][], row = 0, taken: readonly number[] = []): number {
  if (row === costs.length) return 0
  return Math.min(...(costs[row] as number[]).map((cost, column) => taken.includes(column) ? Infinity : cost + least(costs, row + 1, [...taken, column])))
}

test('the cost is the least there is, in squares and rectangles, and the answer is the same every time', t => {
  const random = new Random(5)
  for (const [rows, columns] of [[1, 1], [3, 3], [3, 5], [4, 6], [5, 5]] as const) {
    for (let trial = 0; trial < 20; trial++) {
      const costs = Array.from({ length: rows }, () => Array.from({ length: columns }, () => trial % 2 === 0 ? random.int(3) : random.normal()))
      const found = assign(costs)
      t.is(new Set(found).size, rows)
      t.true(Math.abs(found.reduce((sum, column, row) => sum + (costs[row]?.[column] as number), 0) - least(costs)) < 1e-9)
      t.deepEqual(assign(costs), found)
    }
  }
})

test('without rows there is nothing to assign', t => { t.deepEqual(assign([]), []) })

for (const { id, costs } of [
  { id: 'more rows than columns', costs: [[1], [2]] },
  { id: 'rows of different lengths', costs: [[1, 2], [1, 2, 3]] },
  { id: 'a cost that is no number', costs: [[1, NaN]] }
]) {
  test(`refused: ${id}`, t => { t.throws(() => assign(costs), { instanceOf: InvalidParametersError, code: 'ERR_INVALID_PARAMETERS' }) })
}
