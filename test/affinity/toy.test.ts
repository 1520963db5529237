/**
 * What splitting is worth, and what it costs, on tasks small enough to count: a linear encoder of width 1 and a number per
 * task, exact gradients, 100 steps. 20 seeds each.
 */
import test from 'ava'
import { AffinityTally } from '../../src/affinity/tally.ts'
import { GROUPING } from '../../src/federation/grouping.ts'
import { Random, deriveSeed } from '../../src/random.ts'
import { chooseSplit } from '../../src/affinity/split.ts'
import { lookAhead } from '../../src/affinity/look-ahead.ts'
import type { Partition } from '../../src/affinity/partition.ts'

const SEEDS = 20
const COLUMNS = 10
const RATE = 0.15
const STEPS = 100
const MERGED = 30
const EVERY = 5
const TASKS = [0, 1, 2, 3, 4]
const PLANTED: Partition = [[0, 1], [2, 3, 4]]
const CROSSED: Partition = [[0, 2], [1, 3, 4]]

/** Second moments of rows and labels: all that a squared error of something linear depends on. */
interface Rows {
  readonly x: readonly Float64Array[]
  /** By task: with the columns, and with itself. */
  readonly xy: readonly Float64Array[]
  readonly yy: readonly number[]
}
interface Toy { readonly train: Rows, readonly test: Rows, readonly start: Model }
interface Model { readonly encoder: Float64Array, /** A factor per task. */ readonly heads: Float64Array }
interface World {
  /** Whether the second group lies in an orthogonal direction, or in the first one's. */
  readonly apart: boolean
  /** How far a task's direction lies from its group's. */
  readonly spread: number
  /** Training rows, and how noisy their labels are. */
  readonly rows: number
  readonly noise: number
}

/** Two groups of tasks in orthogonal directions. */
function toyOf (seed: number, { apart, spread, rows, noise }: World): Toy {
  const random = new Random(deriveSeed(seed, 'toy'))
  const axes: Float64Array[] = []
  while (axes.length < 4) {
    const axis = Float64Array.from({ length: COLUMNS }, () => random.normal())
    for (const other of axes) {
      const along = dot(axis, other)
      for (let i = 0; i < COLUMNS; i++) axis[i] = (axis[i] as number) - along * (other[i] as number)
    }
    axes.push(unit(axis))
  }
  const [a, aside, b, bside] = axes as [Float64Array, Float64Array, Float64Array, Float64Array]
  const directions = TASKS.map(task => {
    const [main, side, turn] = task < 2 || !apart ? [a, aside, random.normal()] : [b, bside, random.normal()]
    return unit(main.map((value, i) => value + spread * turn * (side[i] as number)))
  })
  const draw = (count: number, noise: number): Rows => {
    const rows = Array.from({ length: count }, () => Float64Array.from({ length: COLUMNS }, () => random.normal()))
    const labels = directions.map(direction => rows.map(row => dot(row, direction) + noise * random.normal()))
    const moment = (values: readonly number[]): Float64Array => Float64Array.from({ length: COLUMNS }, (_, c) => rows.reduce((sum, row, i) => sum + (row[c] as number) * (values[i] as number), 0) / count)
    return {
      x: Array.from({ length: COLUMNS }, (_, c) => moment(rows.map(row => row[c] as number))),
      xy: labels.map(moment),
      yy: labels.map(values => values.reduce((sum, value) => sum + value * value, 0) / count)
    }
  }
  const start = { encoder: Float64Array.from({ length: COLUMNS }, () => 0.3 * random.normal()), heads: Float64Array.from(TASKS, () => 0.3 * random.normal()) }
  return { train: draw(rows, noise), test: draw(300, 0), start }
}

function dot (a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number)
  return sum
}

function unit (vector: Float64Array): Float64Array { return vector.map(value => value / Math.hypot(...vector)) }

/** Mean of x (x . encoder head - y). */
function slope ({ x, xy }: Rows, { encoder, heads }: Model, task: number): Float64Array {
  return Float64Array.from(x, (row, c) => (heads[task] as number) * dot(row, encoder) - (xy[task]?.[c] as number))
}

/** Half the mean squared error. */
function lossOf (rows: Rows, model: Model, task: number): number {
  const [head, xy] = [model.heads[task] as number, rows.xy[task] as Float64Array]
  return (head * dot(model.encoder, slope(rows, model, task)) - head * dot(model.encoder, xy) + (rows.yy[task] as number)) / 2
}

function encoderGradient (rows: Rows, model: Model, task: number): Float64Array {
  return slope(rows, model, task).map(value => value * (model.heads[task] as number))
}

function headGradient (rows: Rows, model: Model, task: number): number { return dot(model.encoder, slope(rows, model, task)) }

/** Steps on the sum of the tasks' losses. @param tally - measured every so many steps, where there is one */
async function train (rows: Rows, start: Model, tasks: readonly number[], steps: number, tally?: AffinityTally): Promise<Model> {
  let { encoder } = start
  const heads = start.heads.slice()
  for (let step = 0; step < steps; step++) {
    const model = { encoder, heads }
    if (tally !== undefined && step % EVERY === 0) {
      tally.add(await lookAhead({ shared: encoder, losses: TASKS.map(task => lossOf(rows, model, task)), gradients: TASKS.map(task => encoderGradient(rows, model, task)), rate: RATE },
        async moved => TASKS.map(task => lossOf(rows, { encoder: moved, heads }, task))))
    }
    const gradients = tasks.map(task => ({ task, encoder: encoderGradient(rows, model, task), head: headGradient(rows, model, task) }))
    encoder = encoder.map((value, c) => value - RATE * gradients.reduce((sum, gradient) => sum + (gradient.encoder[c] as number), 0))
    for (const { task, head } of gradients) heads[task] = (heads[task] as number) - RATE * head
  }
  return { encoder, heads }
}

interface Plan { readonly loss: number, readonly encoderSteps: number }
interface Seed { readonly allInOne: Plan, readonly oneByOne: Plan, readonly mas: Plan, readonly oracle: Plan, readonly crossed: Plan, readonly groups: Partition }

async function plansOf (seed: number, { gain = 0, ...world }: World & { readonly gain?: number }): Promise<Seed> {
  const { train: rows, test: held, start } = toyOf(seed, world)
  const inGroups = async (from: Model, groups: Partition, before: number): Promise<Plan> => {
    let [loss, encoderSteps] = [0, before]
    for (const group of groups) {
      const model = await train(rows, from, group, STEPS - before)
      loss += group.reduce((sum, task) => sum + 2 * lossOf(held, model, task), 0)
      encoderSteps += STEPS - before
    }
    return { loss, encoderSteps }
  }
  const tally = new AffinityTally(TASKS.length)
  const merged = await train(rows, start, TASKS, MERGED, tally)
  const { groups } = chooseSplit(tally.mean(), { groups: 2, gain })
  return {
    allInOne: await inGroups(start, [TASKS], 0),
    oneByOne: await inGroups(start, TASKS.map(task => [task]), 0),
    mas: await inGroups(merged, groups, MERGED),
    oracle: await inGroups(merged, PLANTED, MERGED),
    crossed: await inGroups(merged, CROSSED, MERGED),
    groups
  }
}

async function seedsOf (world: World & { readonly gain?: number }): Promise<readonly Seed[]> {
  return await Promise.all(Array.from({ length: SEEDS }, async (_, seed) => await plansOf(seed, world)))
}

type Name = 'allInOne' | 'oneByOne' | 'mas' | 'oracle' | 'crossed'

function mean (seeds: readonly Seed[], plan: Name): number { return seeds.reduce((sum, seed) => sum + seed[plan].loss, 0) / seeds.length }

function table (seeds: readonly Seed[]): string {
  const found = seeds.filter(({ groups }) => JSON.stringify(groups) === JSON.stringify(PLANTED)).length
  return `${(['allInOne', 'crossed', 'mas', 'oracle', 'oneByOne'] as const).map(plan => `${plan} ${mean(seeds, plan).toFixed(3)}`).join(', ')}; planted groups found in ${found} of ${seeds.length}`
}

test('two groups with nothing in common: a split beats one model in nine seeds of ten, at a third of the steps of one by one', async t => {
  const seeds = await seedsOf({ apart: true, spread: 0.3, rows: 300, noise: 0 })
  t.log(table(seeds))
  t.true(seeds.filter(({ mas, allInOne }) => mas.loss < allInOne.loss).length >= 0.9 * SEEDS, table(seeds))
  t.true(mean(seeds, 'oracle') <= mean(seeds, 'mas') && mean(seeds, 'mas') <= mean(seeds, 'crossed'))
  for (const { mas, oneByOne } of seeds) t.true(mas.encoderSteps < 0.6 * oneByOne.encoderSteps, `${mas.encoderSteps}`)
})

test('few noisy rows, groups that share a direction: a split beats one model and one by one, at a third of the steps', async t => {
  const seeds = await seedsOf({ apart: true, spread: 0.1, rows: 20, noise: 0.5 })
  t.log(table(seeds))
  t.true(seeds.filter(({ mas, allInOne }) => mas.loss < allInOne.loss).length >= 0.9 * SEEDS, table(seeds))
  t.true(seeds.filter(({ mas, oneByOne }) => mas.loss < oneByOne.loss).length >= 0.75 * SEEDS, table(seeds))
  t.true(mean(seeds, 'mas') < mean(seeds, 'oneByOne'))
  t.true(mean(seeds, 'oracle') <= mean(seeds, 'mas') && mean(seeds, 'mas') <= mean(seeds, 'crossed'))
})

test('the guard: tasks that all help each other stay together under the preset gain, which lets the others part', async t => {
  const { gain } = GROUPING
  const [together, apart] = [await seedsOf({ apart: false, spread: 0, rows: 300, noise: 0, gain }), await seedsOf({ apart: true, spread: 0.3, rows: 300, noise: 0, gain })]
  const kept = together.filter(({ groups }) => groups.length === 1)
  t.log(`one group in ${kept.length} and in ${apart.filter(({ groups }) => groups.length === 1).length} of ${SEEDS}`)
  t.true(kept.length >= 0.85 * SEEDS)
  for (const { mas } of kept) t.is(mas.encoderSteps, STEPS)
  t.true(apart.filter(({ groups }) => groups.length === 2).length >= 0.9 * SEEDS)
})
