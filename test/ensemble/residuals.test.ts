import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { Random } from '../../src/random.ts'
import { ResidualScores, selectSubset } from '../../src/ensemble/index.ts'

// Labels 0, 2, 4, 6: mean 3, mean distance 2. Residuals in that unit: a .5 .5 -.5 -.5, b the opposite, c all .5.
const labels = [0, 2, 4, 6]
const scores = new ResidualScores({ width: 1, labels, predictions: [[1, 3, 3, 5], [-1, 1, 5, 7], [1, 3, 5, 7]] })
const near = (a: number, b: number): boolean => Math.abs(a - b) < 1e-9

test('skill, strength and diversity are those worked out by hand', t => {
  for (const m of [0, 1, 2]) t.true(near(scores.accuracy([m]), 0.5))
  t.is(scores.diversity([0]), 0)
  t.true(near(scores.diversity([0, 1]), 2), 'they err to opposite sides')
  t.true(near(scores.diversity([0, 2]), 1), 'one that errs always alike is correlated with none')
  t.true(near(scores.diversity([0, 1, 2]), (2 + 1 + 1) / 3))
  t.true(near(scores.strength([0, 1]), 0.5))
  t.true(near(scores.accuracy([0, 1]), 1), 'their errors cancel')
  t.true(near(scores.accuracy([0, 2]), 0.75))
})

test('every output counts in a unit of its own', t => {
  const two = new ResidualScores({ width: 2, labels: labels.flatMap(y => [y, 100 * y]), predictions: [labels.flatMap(y => [y + 1, 100 * y])] })
  t.true(near(two.accuracy([0]), 0.75))
})

test('the search finds the pair whose errors cancel', t => {
  const { chosen, by, accuracy } = selectSubset(scores, { hi: 3, local: [2], random: new Random(1) })
  t.deepEqual([chosen, by], [[0, 1], 'search'])
  t.true(near(accuracy, 1))
})

test('labels that are all alike divide nothing by zero; answers that do not fit are refused', t => {
  t.true(near(new ResidualScores({ width: 1, labels: [3, 3], predictions: [[3, 3.5]] }).accuracy([0]), 0.75))
  t.throws(() => new ResidualScores({ width: 1, labels, predictions: [[1, 2]] }), { instanceOf: InvalidParametersError })
  t.throws(() => new ResidualScores({ width: 1, labels, predictions: [[1, 2, 3, Number.NaN]] }), { instanceOf: InvalidParametersError })
})
