/** The solvers against numbers worked by hand and against the equations that their solutions satisfy. */
import test from 'ava'
import { minimise } from '../../../src/training/simple/lbfgs.ts'
import { logisticProbabilities, solveLogistic } from '../../../src/training/simple/logistic.ts'
import { ridgeValues, solveRidge } from '../../../src/training/simple/ridge.ts'
import { RowBuilder, numericEncoder, takeRows } from '../../../src/training/simple/rows.ts'
import { taggerEncoder } from '../../../src/training/simple/tagger.ts'
import { inverseDocumentFrequency, tfidfEncoder } from '../../../src/training/simple/tfidf.ts'
import { Random } from '../../../src/random.ts'
import { close } from '../../helpers/tensors.ts'
import type { InputSpec } from '../../../src/data/dataset.ts'
import type { Logistic } from '../../../src/training/simple/logistic.ts'
import type { SparseRows } from '../../../src/training/simple/rows.ts'

function rowsOf (table: ReadonlyArray<readonly number[]>): SparseRows {
  const builder = new RowBuilder()
  for (const row of table) builder.add(row.flatMap((value, column) => value === 0 ? [] : [[column, value] as const]))
  return builder.build(table[0]?.length ?? 0)
}

function randomTable (random: Random, rows: number, columns: number): number[][] {
  return Array.from({ length: rows }, () => Array.from({ length: columns }, () => random.normal()))
}

/** sum (p - target) x + w / C per class and column, from the definition. */
function gradientOf (table: readonly number[][], labels: readonly number[], { known, weights }: Logistic, c: number): number {
  const [k, columns] = [known.length, table[0]?.length ?? 0]
  const gradient = Array.from({ length: (columns + 1) * k }, (_, at) => at < columns * k ? (weights[at] as number) / c : 0)
  for (const [row, x] of table.entries()) {
    const logits = known.map((_, j) => [...x, 1].reduce((sum, value, column) => sum + value * (weights[column * k + j] as number), 0))
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0)
    logits.forEach((logit, j) => {
      const error = Math.exp(logit) / total - (known[j] === labels[row] ? 1 : 0)
      ;[...x, 1].forEach((value, column) => { gradient[column * k + j] = (gradient[column * k + j] as number) + error * value })
    })
  }
  return Math.max(...gradient.map(Math.abs))
}

test('a quadratic is minimised at its known minimum', t => {
  const { x, gradient } = minimise(3, (at, out) => {
    let value = 0
    for (let i = 0; i < 3; i++) {
      const scale = 10 ** (2 * i)
      value += scale * ((at[i] as number) - i - 1) ** 2 / 2
      out[i] = scale * ((at[i] as number) - i - 1)
    }
    return value
  }, { tolerance: 1e-9, iterations: 200 })
  t.true(gradient <= 1e-9)
  close(t, 'minimum', x, [1, 2, 3], 1e-9)
})

test('two separable rows: the weight solves its equation, worked by hand', t => {
  // x = -1 is class 0, x = 1 is class 1, so b = 0 and w1 = -w0 = w, and 2 (1 - p) = w / C with p = 1 / (1 + exp(-2w)).
  // At C = 1: w = 2 / (1 + exp(2w)), w = 0.5213 (2 / (1 + exp(1.0426)) = 2 / 3.8366).
  const { weights } = solveLogistic(rowsOf([[-1], [1]]), [0, 1], { classes: 2, c: 1 })
  let [low, high] = [0, 2]
  for (let i = 0; i < 60; i++) {
    const w = (low + high) / 2
    if (w < 2 / (1 + Math.exp(2 * w))) low = w
    else high = w
  }
  close(t, 'weights', weights, [-low, low, 0, 0], 1e-6)
  t.true(Math.abs(low - 0.5213) < 1e-4, `${low}`)
})

for (const { id, classes, columns, rows, c } of [
  { id: 'two classes', classes: 2, columns: 5, rows: 40, c: 1 },
  { id: 'five classes', classes: 5, columns: 8, rows: 60, c: 10 },
  { id: 'more columns than rows', classes: 3, columns: 60, rows: 12, c: 10 },
  { id: 'weak regularisation of separable rows', classes: 2, columns: 40, rows: 20, c: 1000 }
]) {
  test(`logistic regression, ${id}: the gradient at the solution is 0`, t => {
    const random = new Random(5)
    const table = randomTable(random, rows, columns)
    const labels = table.map(row => ((row[0] as number) + 0.5 * random.normal() > 0 ? 1 : 0) + (classes > 2 ? random.int(classes - 1) : 0))
    const solved = solveLogistic(rowsOf(table), labels, { classes, c })
    const gradient = gradientOf(table, labels, solved, c)
    t.true(gradient < 1e-6, `${gradient} after ${solved.iterations}`)
    t.true(Math.abs(gradient - solved.gradient) < 1e-9)
    const probabilities = logisticProbabilities(solved, rowsOf(table))
    for (let row = 0; row < rows; row++) {
      const sum = probabilities.subarray(row * classes, (row + 1) * classes).reduce((total, p) => total + p, 0)
      t.true(Math.abs(sum - 1) < 1e-5, `row ${row}: ${sum}`)
    }
  })
}

test('without a column that tells anything, logistic regression says how often each class came', t => {
  const solved = solveLogistic(rowsOf([[0], [0], [0], [0]]), [0, 0, 0, 1], { classes: 2, c: 10 })
  close(t, 'probabilities', logisticProbabilities(solved, rowsOf([[0]])), [0.75, 0.25], 1e-6)
})

test('a class that no row has keeps the share of half a row; one class or no rows at all are answered too', t => {
  const three = solveLogistic(rowsOf([[-1], [1]]), [0, 2], { classes: 3, c: 1 })
  const p = logisticProbabilities(three, rowsOf([[1]]))
  t.true(Math.abs((p[1] as number) - 0.5 / 3.5) < 1e-6)
  t.true(Math.abs(p.reduce((sum, value) => sum + value, 0) - 1) < 1e-6)
  const one = solveLogistic(rowsOf([[-1], [1]]), [1, 1], { classes: 2, c: 1 })
  close(t, 'one class', logisticProbabilities(one, rowsOf([[3]])), [0.5 / 3, 2.5 / 3], 1e-6)
  const none = solveLogistic(rowsOf([]), [], { classes: 4, c: 1 })
  close(t, 'no rows', logisticProbabilities(none, rowsOf([[3]])), [0.25, 0.25, 0.25, 0.25], 1e-6)
})

test('ridge on one column is worked by hand', t => {
  // x = 0, 1, 2 and y = 1, 3, 5: centred x'y = 4, x'x = 2, so w = 4 / (2 + 2) = 1 and the intercept 3 - 1.
  const [ridge] = solveRidge(rowsOf([[0], [1], [2]]), Float64Array.of(1, 3, 5), [2])
  close(t, 'weight', ridge?.weights as Float64Array, [1], 1e-12)
  t.is(ridge?.intercept, 2)
})

for (const { id, rows, columns } of [{ id: 'more rows than columns', rows: 30, columns: 6 }, { id: 'more columns than rows', rows: 7, columns: 25 }]) {
  test(`ridge, ${id}: the normal equations hold`, t => {
    const random = new Random(8)
    const table = randomTable(random, rows, columns)
    const y = Float64Array.from({ length: rows }, () => 20 + random.normal())
    const lambdas = [10, 0.1]
    const fits = solveRidge(rowsOf(table), y, lambdas)
    for (const [i, fit] of fits.entries()) {
      const residual = ridgeValues(fit, rowsOf(table)).map((value, row) => (y[row] as number) - value)
      // X'(y - Xw - b) = lambda w, and the residuals sum to 0: both derivatives of the loss.
      const left = Float64Array.from({ length: columns }, (_, column) => table.reduce((sum, x, row) => sum + (x[column] as number) * (residual[row] as number), 0))
      close(t, `lambda ${lambdas[i]}`, left, fit.weights.map(w => w * (lambdas[i] as number)), 1e-9)
      t.true(Math.abs(residual.reduce((sum, value) => sum + value, 0)) < 1e-9)
    }
  })
}

test('columns are scaled by their own deviation, pixels by one; a constant column is left out', t => {
  const x = Float32Array.of(0, 7, 10, 2, 7, 50)
  const table: InputSpec = { modality: 'table', shape: [3] }
  const scaled = numericEncoder(table, x, 2).encode(x, 2)
  close(t, 'table', scaled.value, [-1, -1, 1, 1].map(value => value / Math.SQRT2), 1e-12)
  t.deepEqual([...scaled.column], [0, 2, 0, 2])
  // Variances 1 and 400: one deviation sqrt(401 / 2).
  const pixels = numericEncoder({ modality: 'image', shape: [1, 3, 1] }, x, 2).encode(x, 2)
  close(t, 'image', pixels.value, [-1, -20, 1, 20].map(value => value / Math.sqrt(401 / 2) / Math.SQRT2), 1e-12)
  t.is(numericEncoder(table, new Float32Array(6).fill(3), 2).encode(x, 2).value.length, 0, 'nothing varies')
})

test('idf is ln((1 + N) / (1 + n)) + 1, and rows of TF-IDF are of length 1', t => {
  t.is(inverseDocumentFrequency(3, 1), Math.log(4 / 2) + 1)
  t.is(inverseDocumentFrequency(3, 3), 1)
  // Two slots per token; texts "5 5 9", "9", "4 9": only the first slots are words.
  const input: InputSpec = { modality: 'tokens', shape: [3, 2], buckets: 16 }
  const x = Float32Array.of(5, 1, 5, 1, 9, 2, 9, 2, -1, -1, -1, -1, 4, 3, 9, 2, -1, -1)
  const encoder = tfidfEncoder(input, x, 3)
  t.is(encoder.columns, 3, 'the words 4, 5 and 9')
  const { start, column, value } = encoder.encode(x, 3)
  t.deepEqual([[...start], [...column]], [[0, 2, 3, 5], [1, 2, 2, 0, 2]])
  const [rare, common] = [Math.log(2) + 1, 1]
  close(t, 'first text', value.subarray(0, 2), [2 * rare, common].map(v => v / Math.hypot(2 * rare, common)), 1e-12)
  close(t, 'second text', value.subarray(2, 3), [1], 1e-12)
  const unseen = encoder.encode(Float32Array.of(8, -1, -1, -1, -1, -1), 1)
  t.is(unseen.value.length, 0, 'a text of unknown words has no features, and no NaN')
})

test('a tagged token has its own features and its neighbours\', told apart by their place', t => {
  const input: InputSpec = { modality: 'tokens', shape: [3, 1], buckets: 10 }
  const x = Float32Array.of(4, 7, -1)
  const encoder = taggerEncoder(input, x, 1, token => token < 2)
  // Token 0: no token before (mark 30), itself (14), 7 after (27). Token 1: 4 before (4), itself (17), none after (mark 32).
  t.is(encoder.columns, 6)
  const { start, column, value } = encoder.encode(x, 1)
  const features = [4, 14, 17, 27, 30, 32]
  const named = (token: number): number[] => [...column.subarray(start[token], start[token + 1])].map(at => features[at] as number)
  t.deepEqual([named(0), named(1)], [[14, 27, 30], [4, 17, 32]])
  close(t, 'values', value.subarray(0, 3), new Array(3).fill(1 / Math.sqrt(3)), 1e-12)
})

test('rows are taken in the order asked for', t => {
  const { start, column, value } = takeRows(rowsOf([[1, 0], [2, 3], [0, 4]]), [2, 1])
  t.deepEqual([[...start], [...column], [...value]], [[0, 1, 3], [1, 0, 1], [4, 2, 3]])
})
