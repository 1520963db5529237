import { readFileSync } from 'node:fs'
import { testProp, fc } from '@fast-check/ava'
import test from 'ava'
import { createWeighting, weightingNames } from '../../src/weighting/index.ts'
import { dwaWeights } from '../../src/weighting/dwa.ts'
import { gradnormTerms } from '../../src/weighting/gradnorm.ts'
import { uncertaintyTerms } from '../../src/weighting/uncertainty.ts'
import { Random } from '../../src/random.ts'
import type { LossWeighting, SeenStep } from '../../src/weighting/index.ts'
import type { ExecutionContext } from 'ava'

interface GradnormCase {
  name: string,
  scale: number[],
  grads: number[][],
  losses: number[],
  initialLosses: number[],
  alpha: number
  weights: number[],
  gradNorms: number[],
  relativeRate: number[],
  target: number[],
  gradnormLoss: number,
  dScale: number[],
  update: number[]
}
interface UncertaintyCase { name: string, logVar: number[], losses: number[], total: number, weights: number[], dLogVar: number[] }
interface DwaCase { name: string, T: number, lossPrev: number[], lossPrevPrev: number[], weights: number[] }
interface Golden { tolerance: number, gradnorm: GradnormCase[], uw: UncertaintyCase[], dwa: DwaCase[] }
const GOLDEN = JSON.parse(readFileSync(new URL('../vectors/gradient-rules/loss-weighting.json', import.meta.url), 'utf8')) as Golden

function near (t: ExecutionContext, got: ArrayLike<number>, want: readonly number[], tolerance = GOLDEN.tolerance): void {
  t.is(got.length, want.length)
  want.forEach((value, i) => t.true(Math.abs((got[i] as number) - value) <= tolerance, `[${i}] ${got[i]} for ${value}`))
}

for (const c of GOLDEN.gradnorm) {
  test(`gradnorm gives the reference numbers: ${c.name}`, (t) => {
    const got = gradnormTerms(c.scale, c.grads.map((row) => Math.hypot(...row)), c.losses, c.initialLosses, c.alpha)
    near(t, got.weights, c.weights)
    near(t, got.lengths, c.gradNorms)
    near(t, got.rates, c.relativeRate)
    near(t, got.targets, c.target)
    near(t, [got.loss], [c.gradnormLoss])
    near(t, got.slope, c.dScale)
    near(t, c.update.map((_, k) => got.weights.reduce((sum, w, i) => sum + w * (c.grads[i]?.[k] as number), 0)), c.update)
  })
}

for (const c of GOLDEN.uw) {
  test(`uncertainty gives the reference numbers: ${c.name}`, (t) => {
    const got = uncertaintyTerms(c.logVar, c.losses)
    near(t, got.weights, c.weights)
    near(t, got.slope, c.dLogVar)
    near(t, [got.total], [c.total])
  })
}

for (const c of GOLDEN.dwa) {
  test(`dwa gives the reference numbers: ${c.name}`, (t) => { near(t, dwaWeights(c.lossPrev, c.lossPrevPrev, c.T), c.weights) })
}

/** Steps as training might show them, bad ones among them: zero, huge and unknown losses, no gradient. */
function seen (random: Random, n: number): SeenStep {
  const pick = (values: readonly number[]): number => values[random.int(values.length)] as number
  return {
    losses: Array.from({ length: n }, () => pick([random.next(), random.next(), 0, 1e6, NaN, -0.5])),
    norms: Array.from({ length: n }, () => pick([random.next(), random.next(), 0, 1e6]))
  }
}

function teach (weighting: LossWeighting, random: Random, n: number, steps: number): void {
  for (let step = 0; step < steps; step++) weighting.learn(seen(random, n))
}

for (const name of weightingNames) {
  testProp(`${name}: whatever steps show, weights stay finite and above zero; of one seed they are the same`, [fc.integer(), fc.integer({ min: 1, max: 6 })], (t, seed, n) => {
    const [one, two] = [createWeighting(name, { tasks: n, epochSteps: 5 }), createWeighting(name, { tasks: n, epochSteps: 5 })]
    teach(one, new Random(seed), n, 100)
    teach(two, new Random(seed), n, 100)
    t.deepEqual(one.weights(), two.weights())
    t.true(one.weights().every((w) => w >= 0 && w < Infinity))
    t.true(one.weights().some((w) => w > 0))
    if (name !== 'uncertainty') t.true(Math.abs(one.weights().reduce((sum, w) => sum + w, 0) - n) < 1e-9)
  }, { numRuns: 60 })

  testProp(`${name}: saved and loaded in the middle of an epoch, it goes on as if nothing had happened`, [fc.integer(), fc.integer({ min: 0, max: 23 })], (t, seed, cut) => {
    const [whole, before, after] = [0, 1, 2].map(() => createWeighting(name, { tasks: 3, epochSteps: 5 })) as [LossWeighting, LossWeighting, LossWeighting]
    teach(whole, new Random(seed), 3, 40)
    const random = new Random(seed)
    teach(before, random, 3, cut)
    after.load(before.save())
    teach(after, random, 3, 40 - cut)
    t.deepEqual(after.weights(), whole.weights())
    t.deepEqual(after.save(), whole.save())
  }, { numRuns: 60 })

  test(`${name}: tasks that go alike keep one weight`, (t) => {
    const weighting = createWeighting(name, { tasks: 3, epochSteps: 4 })
    for (let step = 0; step < 30; step++) weighting.learn({ losses: [1, 1, 1].map((x) => x / (step + 1)), norms: [2, 2, 2] })
    const [a, b, c] = weighting.weights()
    t.is(a, b)
    t.is(b, c)
  })
}

test('dwa: the first two epochs weigh alike, then a slow task weighs more', (t) => {
  const weighting = createWeighting('dwa', { tasks: 2, epochSteps: 3 })
  for (let step = 0; step < 6; step++) {
    t.deepEqual(weighting.weights(), Float64Array.of(1, 1))
    weighting.learn({ losses: step < 3 ? [1, 1] : [0.2, 0.9], norms: [1, 1] })
  }
  near(t, weighting.weights(), [...dwaWeights([0.2, 0.9], [1, 1])], 1e-6)
  t.true((weighting.weights()[1] as number) > 1)
})

test('uncertainty: the variance settles where it is the loss', (t) => {
  const weighting = createWeighting('uncertainty', { tasks: 2, epochSteps: 1 })
  for (let step = 0; step < 2000; step++) weighting.learn({ losses: [0.1, 4], norms: [1, 1] })
  near(t, weighting.weights(), [5, 0.125], 1e-3)
})

test('gradnorm: after an epoch of equal weights, lengths become alike, and a slow task gets the longer one', (t) => {
  const weighting = createWeighting('gradnorm', { tasks: 2, epochSteps: 2 })
  for (let step = 0; step < 2; step++) {
    t.deepEqual(weighting.weights(), Float64Array.of(1, 1))
    weighting.learn({ losses: [1, 1], norms: [9, 1] })
  }
  const lengths = (): [number, number] => [9 * (weighting.weights()[0] as number), weighting.weights()[1] as number]
  for (let step = 0; step < 400; step++) weighting.learn({ losses: [0.5, 0.5], norms: [9, 1] })
  t.true(Math.abs(lengths()[0] / lengths()[1] - 1) < 0.1, `${lengths()}`)
  for (let step = 0; step < 400; step++) weighting.learn({ losses: [0.5, 0.8], norms: [9, 1] })
  t.true(Math.abs(lengths()[1] / lengths()[0] / 1.6 ** 1.5 - 1) < 0.1, `${lengths()}`)
})

test('gradnorm: alpha says how much longer the slow task\'s gradient gets, dwa: the temperature how much more it weighs', (t) => {
  const ratio = (alpha: number): number => {
    const weighting = createWeighting('gradnorm', { tasks: 2, epochSteps: 1, alpha })
    weighting.learn({ losses: [1, 1], norms: [1, 1] })
    for (let step = 0; step < 400; step++) weighting.learn({ losses: [0.5, 0.8], norms: [1, 1] })
    const [fast, slow] = weighting.weights()
    return (slow as number) / (fast as number)
  }
  for (const alpha of [0, 0.5, 2]) t.true(Math.abs(ratio(alpha) / 1.6 ** alpha - 1) < 0.1, `${alpha}: ${ratio(alpha)}`)
  const weighting = createWeighting('dwa', { tasks: 2, epochSteps: 1, temperature: 0.5 })
  weighting.learn({ losses: [1, 1], norms: [1, 1] })
  weighting.learn({ losses: [0.5, 0.75], norms: [1, 1] })
  near(t, weighting.weights(), [...dwaWeights([0.5, 0.75], [1, 1], 0.5)])
})
