/**
 * FedBone at toy scale: a tanh trunk 8 -> 3 at the host under six regression tasks with a trainable linear head each, three
 * of them pulling one way and three the other. The first task's loss may be many times as heavy as the others'; its own head
 * does not feel that. Rules are the library's, the two layers plain arrays.
 */
import { Random, deriveSeed } from '../../src/random.ts'
import type { GradientRule } from '../../src/projection/index.ts'

const TASKS = 6
const INPUTS = 8
const WIDTH = 3
const ROWS = 200

interface ToyTask {
  readonly x: Float64Array
  readonly y: Float64Array
  readonly testX: Float64Array
  readonly testY: Float64Array
}

function drawTasks (random: Random): readonly ToyTask[] {
  const normals = (length: number): Float64Array => Float64Array.from({ length }, () => random.normal())
  const base = [normals(INPUTS), normals(INPUTS)] as const
  return Array.from({ length: TASKS }, (_, t) => {
    const sign = t < TASKS / 2 ? 1 : -1
    const raw = normals(INPUTS).map((value, i) => sign * (base[t % 2]?.[i] as number) + 0.3 * value)
    const length = Math.hypot(...raw)
    const truth = (x: Float64Array): Float64Array => Float64Array.from({ length: ROWS }, (_, row) => {
      let sum = 0
      for (let i = 0; i < INPUTS; i++) sum += (x[row * INPUTS + i] as number) * (raw[i] as number) / length
      return Math.tanh(2 * sum)
    })
    const [x, testX] = [normals(ROWS * INPUTS), normals(ROWS * INPUTS)]
    return { x, y: truth(x).map(value => value + 0.05 * random.normal()), testX, testY: truth(testX) }
  })
}

/** Features of all rows, [rows, 3]. The three columns are written out: this is where a run spends its time. */
function features (x: Float64Array, trunk: Float64Array, into: Float64Array): void {
  for (let row = 0; row < ROWS; row++) {
    let [a, b, c] = [0, 0, 0]
    for (let i = 0; i < INPUTS; i++) {
      const value = x[row * INPUTS + i] as number
      a += value * (trunk[i * WIDTH] as number)
      b += value * (trunk[i * WIDTH + 1] as number)
      c += value * (trunk[i * WIDTH + 2] as number)
    }
    into[row * WIDTH] = Math.tanh(a)
    into[row * WIDTH + 1] = Math.tanh(b)
    into[row * WIDTH + 2] = Math.tanh(c)
  }
}

/** Adds one row's part of the trunk's gradient: x times what comes back through the three features. */
function addOuter (into: Float64Array, x: Float64Array, row: number, [a, b, c]: readonly [number, number, number]): void {
  for (let i = 0; i < INPUTS; i++) {
    const value = x[row * INPUTS + i] as number
    into[i * WIDTH] = (into[i * WIDTH] as number) + value * a
    into[i * WIDTH + 1] = (into[i * WIDTH + 1] as number) + value * b
    into[i * WIDTH + 2] = (into[i * WIDTH + 2] as number) + value * c
  }
}

export interface ToyTrunkInit {
  readonly seed: number
  /** How many times as heavy the first task's loss is. */
  readonly heavy: number
  /** Learning rates of heads and trunk. */
  readonly headRate: number
  readonly trunkRate: number
}

export interface ToyTrunkResult {
  /** Mean over the tasks but the first of the squared error on test rows, in variances of the target. */
  readonly others: number
  /** Over all steps: the smallest cosine between an update and a task's gradient. */
  readonly minDirectionCosine: number
}

export function trainToyTrunk (rule: GradientRule, { seed, heavy, headRate, trunkRate }: ToyTrunkInit): ToyTrunkResult {
  const random = new Random(deriveSeed(seed, 'toy trunk'))
  const tasks = drawTasks(random)
  const trunk = Float64Array.from({ length: INPUTS * WIDTH }, () => 0.3 * random.normal())
  const heads = tasks.map(() => Float64Array.from({ length: WIDTH }, () => 0.5 * Math.abs(random.normal())))
  const ids = tasks.map((_, t) => `task-${t}`)
  const feats = new Float64Array(ROWS * WIDTH)
  const rows = tasks.map(() => new Float64Array(trunk.length))
  let minDirectionCosine = 1
  for (let step = 0; step < 400; step++) {
    for (const [t, { x, y }] of tasks.entries()) {
      const [head, row] = [heads[t] as Float64Array, (rows[t] as Float64Array).fill(0)]
      const headGrad = new Float64Array(WIDTH)
      features(x, trunk, feats)
      for (let r = 0; r < ROWS; r++) {
        let error = -(y[r] as number) / ROWS
        for (let h = 0; h < WIDTH; h++) error += (feats[r * WIDTH + h] as number) * (head[h] as number) / ROWS
        for (let h = 0; h < WIDTH; h++) headGrad[h] = (headGrad[h] as number) + (feats[r * WIDTH + h] as number) * error
        const back = (h: number): number => (t === 0 ? heavy : 1) * error * (head[h] as number) * (1 - (feats[r * WIDTH + h] as number) ** 2)
        addOuter(row, x, r, [back(0), back(1), back(2)])
      }
      for (let h = 0; h < WIDTH; h++) head[h] = (head[h] as number) - headRate * (headGrad[h] as number)
    }
    const { update, stats } = rule.aggregate(rows, { ids, random: new Random(step) })
    minDirectionCosine = Math.min(minDirectionCosine, stats.minDirectionCosine)
    for (let i = 0; i < trunk.length; i++) trunk[i] = (trunk[i] as number) - trunkRate * (update[i] as number)
  }
  const errors = tasks.map(({ testX, testY }, t) => {
    features(testX, trunk, feats)
    const average = testY.reduce((sum, value) => sum + value, 0) / ROWS
    let [square, spread] = [0, 0]
    for (let r = 0; r < ROWS; r++) {
      let predicted = 0
      for (let h = 0; h < WIDTH; h++) predicted += (feats[r * WIDTH + h] as number) * (heads[t]?.[h] as number)
      square += (predicted - (testY[r] as number)) ** 2
      spread += ((testY[r] as number) - average) ** 2
    }
    return square / spread
  })
  return { others: errors.slice(1).reduce((sum, error) => sum + error, 0) / (TASKS - 1), minDirectionCosine }
}
