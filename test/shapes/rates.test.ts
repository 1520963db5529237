/**
 * MTSL's learning rates per entity, in a run: regressions whose inputs differ in size from site to site, a tanh layer 5 -> 3
 * at each and one linear layer above them all. The steepest lower layer allows the common rate hardly any step where the
 * flattest one needs a long one. All rows every step, so that consecutive gradients are of the same loss.
 */
import test from 'ava'
import { CurvatureRate } from '../../src/training/curvature.ts'
import { Random, deriveSeed } from '../../src/random.ts'
import { createRule } from '../../src/projection/index.ts'
import { toySites, trainMtsl } from '../helpers/toy-sites.ts'
import type { BlockRate } from '../helpers/toy-sites.ts'

const SCALES = [0.1, 0.3, 1]
const [ROWS, INPUTS, HIDDEN] = [40, 5, 3]
/** Common rates tried: the best one counts. */
const COMMON = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8]
const TARGET = 0.05
const STEPS = 2000

/** Steps until the mean loss over sites is at the target; Infinity where it never is. */
function until (seed: number, rate: (block: string, parameters: Float64Array, gradient: Float64Array) => number): number {
  const random = new Random(deriveSeed(seed, 'regressions'))
  const normals = (length: number, scale: number): Float64Array => Float64Array.from({ length }, () => scale * random.normal())
  const sites = SCALES.map((scale, s) => {
    const x = normals(ROWS * INPUTS, scale)
    const truth = normals(INPUTS, 1 / scale)
    const y = Float64Array.from({ length: ROWS }, (_, row) => Math.tanh(truth.reduce((sum, value, i) => sum + value * (x[row * INPUTS + i] as number), 0)))
    return { id: `site-${s}`, x, y, lower: normals(INPUTS * HIDDEN, 0.3) }
  })
  const upper = normals(HIDDEN, 0.5)
  const rule = createRule('mean')
  const move = (block: string, parameters: Float64Array, gradient: Float64Array): void => {
    const eta = rate(block, parameters, gradient)
    for (let i = 0; i < parameters.length; i++) parameters[i] = (parameters[i] as number) - eta * (gradient[i] as number)
  }
  for (let step = 0; step <= STEPS; step++) {
    let loss = 0
    const passes = sites.map(({ x, y, lower }) => {
      const gradients = { lower: new Float64Array(lower.length), upper: new Float64Array(HIDDEN) }
      for (let row = 0; row < ROWS; row++) {
        const z = Array.from({ length: HIDDEN }, (_, h) => {
          let sum = 0
          for (let i = 0; i < INPUTS; i++) sum += (x[row * INPUTS + i] as number) * (lower[i * HIDDEN + h] as number)
          return Math.tanh(sum)
        })
        const error = z.reduce((sum, value, h) => sum + value * (upper[h] as number), -(y[row] as number))
        loss += error * error / (2 * ROWS * sites.length)
        z.forEach((value, h) => {
          gradients.upper[h] = (gradients.upper[h] as number) + error * value / ROWS
          const back = error / ROWS * (upper[h] as number) * (1 - value * value)
          for (let i = 0; i < INPUTS; i++) gradients.lower[i * HIDDEN + h] = (gradients.lower[i * HIDDEN + h] as number) + back * (x[row * INPUTS + i] as number)
        })
      }
      return gradients
    })
    if (loss <= TARGET) return step
    if (!Number.isFinite(loss)) return Infinity
    const { update } = rule.aggregate(passes.map(pass => pass.upper), { ids: sites.map(({ id }) => id), random: new Random(step) })
    move('upper', upper, update)
    for (const [s, { id, lower }] of sites.entries()) move(id, lower, (passes[s] as typeof passes[number]).lower)
  }
  return Infinity
}

type Numbers = Float32Array | Float64Array

/** A rate for every block from its own curvature. */
function perBlock (gamma: number): { readonly rate: (block: string, parameters: Numbers, gradient: Numbers) => number, readonly found: ReadonlyMap<string, CurvatureRate> } {
  const found = new Map<string, CurvatureRate>()
  const rate = (block: string, parameters: Numbers, gradient: Numbers): number => {
    const estimate = found.get(block) ?? new CurvatureRate({ start: 0.1, gamma })
    found.set(block, estimate)
    estimate.observe(parameters, gradient)
    return estimate.rate
  }
  return { rate, found }
}

test('rates from curvature reach the loss no later than the best common rate, and in three quarters of its steps over five seeds', t => {
  const total = { common: 0, own: 0 }
  for (const seed of [0, 1, 2, 3, 4]) {
    const common = COMMON.map(rate => until(seed, () => rate))
    const best = Math.min(...common)
    const { rate, found } = perBlock(0.9)
    const own = until(seed, rate)
    t.log(`seed ${seed}: common rates ${COMMON.map((rate, i) => `${rate}: ${common[i]}`).join(', ')}; per block ${own}, at the end ${[...found].map(([block, each]) => `${block} ${each.rate.toPrecision(2)}`).join(', ')}`)
    t.true(best < Infinity && own <= best, `seed ${seed}: ${own} steps against ${best}`)
    total.common += best
    total.own += own
  }
  t.true(total.own <= 0.75 * total.common, `${total.own} steps against ${total.common}`) // seen: 56 against 112
})

for (const gamma of [0.9, 0.45]) {
  test(`on mini-batches the rate runs down to nothing, which is why no charter offers it: gamma ${gamma}`, t => {
    const sites = toySites({ seed: 0, alpha: 1, rows: 60 })
    const rates = (batch: number): number[] => {
      const { rate, found } = perBlock(gamma)
      trainMtsl(sites, { seed: 0, steps: 200, batch, rate: rate satisfies BlockRate })
      return [...found.values()].map(each => each.rate)
    }
    const [drawn, all] = [rates(16), rates(Infinity)]
    t.log(`batches of 16: ${drawn.map(each => each.toPrecision(2)).join(', ')}; all rows: ${all.map(each => each.toPrecision(2)).join(', ')}`)
    t.true(Math.max(...drawn) < 0.05 && Math.min(...all) > 1)
  })
}
