import { readFileSync } from 'node:fs'
import { testProp, fc } from '@fast-check/ava'
import test from 'ava'
import { crowding, dominates, nonDominatedFronts, Objectives, paretoFront, searchFront, selectEnsemble } from '../../src/ensemble/index.ts'
import { subsetCount, subsets } from '../../src/ensemble/nsga2.ts'
import { determinant } from '../../src/ensemble/objectives.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { Random } from '../../src/random.ts'
import type { AnsweredBench } from '../../src/ensemble/index.ts'

interface Golden {
  classes: number
  labels: number[]
  probs: number[][][]
  individualAcc: number[]
  table: { rows: number[][] }
  variableSize: { maxSize: number, front: number[], chosen: number[], chosenEnsAcc: number, chosenPang: number }
  sizeSweep: { chosen: number[], chosenEnsAcc: number }
  fixedSize3: { front: number[], chosen: number[], chosenEnsAcc: number }
  baselines: { localEnsAcc: number, globalEnsAcc: number, bestSingle: number }
  sorting: { fitness: number[][], fronts: number[][], crowding: Array<Array<number | null | string>> }
}
const golden = JSON.parse(readFileSync(new URL('../vectors/ensemble/nsga2-selection.json', import.meta.url), 'utf8')) as Golden
const probabilities = golden.probs.map((rows) => rows.flat())
const objectives = new Objectives({ classes: golden.classes, labels: golden.labels, probabilities })
const members = (mask: number): number[] => probabilities.flatMap((_, m) => (mask >> m) % 2 === 1 ? [m] : [])
const maskOf = (subset: readonly number[]): number => subset.reduce((mask, m) => mask + 2 ** m, 0)
const near = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-9

const bench: AnsweredBench = {
  classes: golden.classes,
  labels: golden.labels,
  models: probabilities.map((p, m) => ({ peer: `peer-${m}`, model: 'cnn', version: 1, local: m < 2, probabilities: p }))
}

test('objectives of all 127 subsets are the reference numbers', (t) => {
  golden.individualAcc.forEach((acc, m) => t.true(near(objectives.accuracies[m] as number, acc)))
  for (const [mask, strength, pang, cosine, doubleFault, soft, hard] of golden.table.rows as Array<[number, number, number, number, number, number, number]>) {
    const subset = members(mask)
    t.true(near(objectives.strength(subset), strength), `strength of ${mask}`)
    t.true(near(objectives.diversity(subset, 'pang'), pang), `pang of ${mask}`)
    t.true(near(objectives.diversity(subset, 'cosine'), cosine), `cosine of ${mask}`)
    t.true(near(objectives.diversity(subset, 'doubleFault'), doubleFault), `double fault of ${mask}`)
    t.true(near(objectives.accuracy(subset), soft), `accuracy of ${mask}`)
    t.true(near(objectives.accuracy(subset, 'hard'), hard), `votes of ${mask}`)
  }
})

test('fronts and crowding distances are the reference numbers', (t) => {
  const { fitness, fronts, crowding: want } = golden.sorting
  t.deepEqual(nonDominatedFronts(fitness).map((front) => [...front].sort((a, b) => a - b)), fronts.map((front) => [...front].sort((a, b) => a - b)))
  fronts.forEach((front, f) => crowding(fitness, front).forEach((distance, i) => {
    const expected = want[f]?.[i]
    t.true(typeof expected === 'number' ? near(distance, expected) : distance === Infinity, `front ${f}, ${i}`)
  }))
})

const paretoOf = (lo: number, hi: number): number[] => paretoFront({
  models: 7, lo, hi, random: new Random(1), evaluate: (s) => [objectives.strength(s), objectives.diversity(s, 'pang')]
}).map(maskOf).sort((a, b) => a - b)

test('exhaustive fronts of variable and of fixed size are the reference ones', (t) => {
  t.deepEqual(paretoOf(1, golden.variableSize.maxSize), [...golden.variableSize.front].sort((a, b) => a - b))
  t.deepEqual(paretoOf(3, 3), [...golden.fixedSize3.front].sort((a, b) => a - b))
})

test('variable size, fixed size and size sweep choose as the reference', (t) => {
  const random = new Random(1)
  const variable = selectEnsemble(bench, { mode: 'variable', guard: false, random })
  t.deepEqual(variable.chosen, golden.variableSize.chosen)
  t.true(near(variable.accuracy, golden.variableSize.chosenEnsAcc))
  t.true(near(variable.diversity, golden.variableSize.chosenPang))
  t.deepEqual(selectEnsemble(bench, { lo: 3, hi: 3, guard: false, random }).chosen, golden.fixedSize3.chosen)
  const sweep = selectEnsemble(bench, { random })
  t.deepEqual(sweep.chosen, golden.sizeSweep.chosen)
  t.true(near(sweep.accuracy, golden.sizeSweep.chosenEnsAcc))
  t.is(sweep.by, 'search')
  t.regex(sweep.reason, /search 0\.9583 \(3\), local 0\.8750 \(2\), whole bench 0\.7917 \(7\)/)
})

test('the search finds the exhaustive optimum in at least 9 of 10 seeds', (t) => {
  const evaluate = (s: readonly number[]): number[] => [objectives.strength(s), objectives.diversity(s, 'pang')]
  const found = Array.from({ length: 10 }, (_, seed) => searchFront({
    models: 7, lo: 1, hi: 4, evaluate, random: new Random(seed), seedSubset: [0, 1], generations: 15
  })).filter((front) => front.some((s) => near(objectives.accuracy(s), golden.variableSize.chosenEnsAcc)))
  t.true(found.length >= 9)
})

testProp('the search keeps to the sizes, never repeats an evaluation, and a seed fixes it', [fc.integer(), fc.integer({ min: 2, max: 20 })], (t, seed, models) => {
  const lo = 1 + new Random(seed).int(models)
  const hi = lo + new Random(seed + 1).int(models - lo + 1)
  const run = (): { front: unknown, calls: string[] } => {
    const calls: string[] = []
    const front = searchFront({
      models,
      lo,
      hi,
      random: new Random(seed),
      population: 12,
      generations: 6,
      evaluate: (s) => { calls.push(s.join()); return [s.reduce((a, b) => a + b, 0), -s.length] }
    })
    return { front, calls }
  }
  const { front, calls } = run()
  t.deepEqual(run(), { front, calls })
  t.is(new Set(calls).size, calls.length)
  for (const call of calls) t.true(call !== '' && call.split(',').length >= lo && call.split(',').length <= hi)
}, { numRuns: 60 })

testProp('fronts hold every point once, nobody in one beats another, all are beaten by the front before', [
  fc.array(fc.tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 6 })), { minLength: 1, maxLength: 40 })
], (t, points) => {
  const fronts = nonDominatedFronts(points)
  t.deepEqual(fronts.flat().sort((a, b) => a - b), points.map((_, i) => i))
  const at = (i: number): number[] => points[i] as number[]
  fronts.forEach((front, f) => front.forEach((i) => {
    t.false(front.some((j) => dominates(at(j), at(i))))
    if (f > 0) t.true((fronts[f - 1] as number[]).some((j) => dominates(at(j), at(i))))
  }))
}, { numRuns: 100 })

test('subsets are listed once each, as many as the binomials say', (t) => {
  const all = [...subsets(6, 2, 4)]
  t.is(all.length, subsetCount(6, 2, 4))
  t.is(all.length, 15 + 20 + 15)
  t.is(new Set(all.map((s) => s.join())).size, all.length)
})

testProp('the choice does not depend on the order of arrival', [fc.integer()], (t, seed) => {
  const order = new Random(seed).permutation(7)
  const mixed = selectEnsemble({ ...bench, models: order.map((i) => bench.models[i] as AnsweredBench['models'][number]) }, { random: new Random(1) })
  t.deepEqual(mixed.chosen.map((i) => order[i]), golden.sizeSweep.chosen)
}, { numRuns: 20 })

testProp('the guarded answer is never below local, whole bench or best single model', [fc.integer(), fc.constantFrom('sweep' as const, 'variable' as const)], (t, seed, mode) => {
  const random = new Random(seed)
  const labels = Array.from({ length: 12 }, () => random.int(4))
  const models = Array.from({ length: 5 }, (_, m) => ({
    peer: `p${m}`, model: 'm', version: 0, local: m === 0, probabilities: Float32Array.from({ length: 48 }, () => random.next())
  }))
  const chosen = selectEnsemble({ classes: 4, labels, models }, { random, mode })
  const all = new Objectives({ classes: 4, labels, probabilities: models.map((x) => x.probabilities) })
  for (const rival of [[0], [0, 1, 2, 3, 4], ...models.map((_, i) => [i])]) t.true(chosen.accuracy >= all.accuracy(rival))
}, { numRuns: 60 })

test('a bench too large to try every subset is searched, and the answer is guarded', (t) => {
  const random = new Random(3)
  const labels = Array.from({ length: 30 }, () => random.int(6))
  const models = Array.from({ length: 30 }, (_, m) => ({
    peer: `p${String(m).padStart(2, '0')}`,
    model: 'm',
    version: 0,
    local: m === 0,
    probabilities: labels.flatMap((label) => Array.from({ length: 6 }, (_, c) => random.next() + (c === label ? m % 3 * 0.3 : 0)))
  }))
  t.true(subsetCount(30, 5, 5) > 4096)
  const { chosen, accuracy } = selectEnsemble({ classes: 6, labels, models }, { random: new Random(1), generations: 8 })
  t.true(chosen.length <= 5)
  t.true(accuracy >= new Objectives({ classes: 6, labels, probabilities: models.map((x) => x.probabilities) }).accuracy([0]))
})

test('without validation rows the local models are chosen', (t) => {
  const models = bench.models.map((x) => ({ ...x, probabilities: [] }))
  const { chosen, by, accuracy } = selectEnsemble({ classes: 5, labels: [], models }, { random: new Random(1) })
  t.deepEqual(chosen, [0, 1])
  t.is(by, 'local')
  t.is(accuracy, NaN)
})

test('a near copy adds almost no determinant, a further member never raises it', (t) => {
  t.true(objectives.diversity([0, 6], 'pang') < 0.1)
  t.true(objectives.diversity([0, 1, 2], 'pang') <= objectives.diversity([0, 1], 'pang'))
  t.is(determinant(Float64Array.of(0, 2, 3, 0), 2), -6)
  t.is(determinant(Float64Array.of(1, 1, 1, 1), 2), 0)
})

test('two classes leave pang nothing to span, so single models are chosen', (t) => {
  const models = [0.9, 0.6].map((p, m) => ({ peer: `p${m}`, model: 'm', version: 0, local: m === 0, probabilities: [p, 1 - p] }))
  t.deepEqual(selectEnsemble({ classes: 2, labels: [0], models }, { random: new Random(1) }).chosen, [0])
})

const REFUSED: Array<{ id: string, bench: AnsweredBench, lo?: number }> = [
  { id: 'an empty bench', bench: { classes: 2, labels: [0], models: [] } },
  { id: 'a label out of range', bench: { ...bench, labels: golden.labels.map(() => 9) } },
  { id: 'probabilities of another size', bench: { ...bench, models: [{ ...(bench.models[0] as AnsweredBench['models'][number]), probabilities: [1] }] } },
  { id: 'a probability that is not finite', bench: { classes: 1, labels: [0], models: [{ peer: 'p', model: 'm', version: 0, local: true, probabilities: [NaN] }] } },
  { id: 'a smallest size above the bench', bench, lo: 8 },
  { id: 'no rows and no local model', bench: { classes: 1, labels: [], models: [{ peer: 'p', model: 'm', version: 0, local: false, probabilities: [] }] } }
]
for (const { id, bench: bad, lo } of REFUSED) {
  test(`selection refuses ${id}`, (t) => {
    t.throws(() => selectEnsemble(bad, { random: new Random(1), ...(lo === undefined ? {} : { lo }) }), { instanceOf: InvalidParametersError })
  })
}
