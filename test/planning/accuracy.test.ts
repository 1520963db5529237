import { readFileSync } from 'node:fs'
import test from 'ava'
import { CODECS } from '../../src/compression/index.ts'
import { MEASURED, TOLERATED_LOSS, accuracyCost } from '../../src/planning/index.ts'
import { COST_METRICS } from '../../src/planning/accuracy.ts'

interface Run {
  readonly data: string
  readonly variant: string
  readonly seed: number
  readonly bytesUp: number
  readonly bytesDown: number
  readonly clients: ReadonlyArray<{ readonly tasks: ReadonlyArray<{ readonly higherIsBetter: boolean, readonly scores: Readonly<Record<string, number>> }> }>
}

/** The bar that int8 was built for: so many times fewer bytes at the cut than float32. */
const FEWER_BYTES = 3.8

function runsOf (file: string): Run[] {
  return JSON.parse(readFileSync(new URL(`../../scripts/bench/results/${file}`, import.meta.url), 'utf8')) as Run[]
}

/** Mean over clients and tasks whose metric is the better the higher. */
function mean ({ clients }: Run, metric: string): number {
  const values = clients.flatMap(({ tasks }) => tasks.filter(task => task.higherIsBetter).map(({ scores }) => scores[metric] as number))
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

for (const { codec, data, seeds, difference, file } of MEASURED) {
  test(`${codec} on ${data} costs what the runs in ${file} say`, t => {
    const runs = runsOf(file)
    const base = runs.filter(run => run.variant === 'base')
    const pairs = runs.filter(run => run.variant === codec).map(run => [run, base.find(({ seed }) => seed === run.seed) as Run] as const)
    t.true(runs.every(run => run.data === data))
    t.is(pairs.length, seeds)
    for (const metric of COST_METRICS) {
      const got = pairs.reduce((sum, [own, reference]) => sum + mean(own, metric) - mean(reference, metric), 0) / seeds
      t.true(Math.abs(got - difference[metric]) <= 5e-5, `${metric}: ${got}`)
    }
    const bytes = (i: 0 | 1): number => pairs.reduce((sum, pair) => sum + pair[i].bytesUp + pair[i].bytesDown, 0)
    if (codec === 'int8') t.true(bytes(1) >= FEWER_BYTES * bytes(0), `${bytes(1) / bytes(0)} times fewer bytes`)
  })
}

test('every codec but f32 was measured on both sets; f32 costs nothing', t => {
  for (const codec of CODECS) {
    t.deepEqual(MEASURED.filter(entry => entry.codec === codec).map(({ data }) => data), codec === 'f32' ? [] : ['digits', 'scenes'])
  }
  t.deepEqual(accuracyCost('f32'), { loss: 0, worst: undefined })
})

test('the cost of a codec is its worst on any set and metric', t => {
  const { loss, worst } = accuracyCost('int8')
  const all = MEASURED.filter(({ codec }) => codec === 'int8').flatMap(({ difference }) => Object.values(difference))
  t.is(loss, -Math.min(...all))
  t.truthy(worst)
  t.true(loss <= TOLERATED_LOSS)
})
