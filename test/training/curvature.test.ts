/** Learning rates from curvature on quadratics, where L is known. Reference numbers: ../vectors/split/PROVENANCE.md. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { CurvatureRate } from '../../src/training/curvature.ts'
import { InvalidParametersError } from '../../src/errors.ts'

type Block = 'server' | 'client0' | 'client1'
type PerBlock = Readonly<Record<Block, number>>

const GOLDEN = JSON.parse(readFileSync(new URL('../vectors/split/mtsl-lr.json', import.meta.url), 'utf8')) as {
  readonly curvature: PerBlock
  readonly start: number
  readonly tol: number
  readonly singleLr: number
  readonly singleSteps: number
  readonly perEntityLr: PerBlock
  readonly perEntitySteps: number
}
const BLOCKS = Object.keys(GOLDEN.curvature) as Block[]

/** Steps until the sum of 0.5 L x^2 over all blocks is small enough. */
function steps (rate: (block: Block, x: number, gradient: number) => number): number {
  const at = new Map(BLOCKS.map(block => [block, GOLDEN.start]))
  const total = (): number => BLOCKS.reduce((sum, block) => sum + 0.5 * GOLDEN.curvature[block] * (at.get(block) as number) ** 2, 0)
  let taken = 0
  for (; total() > GOLDEN.tol; taken++) {
    for (const block of BLOCKS) {
      const x = at.get(block) as number
      const gradient = GOLDEN.curvature[block] * x
      at.set(block, x - rate(block, x, gradient) * gradient)
    }
  }
  return taken
}

test('one rate for all blocks takes the steps of the reference, rates per block take 4', t => {
  t.is(steps(() => GOLDEN.singleLr), GOLDEN.singleSteps)
  t.is(steps(block => GOLDEN.perEntityLr[block]), GOLDEN.perEntitySteps)
})

test('after one difference the rate on a quadratic is 0.9 / L', t => {
  for (const block of BLOCKS) {
    const found = new CurvatureRate({ start: GOLDEN.singleLr })
    t.is(found.rate, GOLDEN.singleLr, 'nothing to compare yet')
    for (const x of [GOLDEN.start, GOLDEN.start - GOLDEN.singleLr * GOLDEN.curvature[block]]) found.observe(Float64Array.of(x), Float64Array.of(GOLDEN.curvature[block] * x))
    t.true(Math.abs(found.rate / GOLDEN.perEntityLr[block] - 1) < 1e-12, `${block}: ${found.rate}`)
  }
})

test('estimated on the way, rates per block cost one step more than known ones', t => {
  const found = new Map(BLOCKS.map(block => [block, new CurvatureRate({ start: GOLDEN.singleLr })]))
  const taken = steps((block, x, gradient) => {
    const estimate = found.get(block) as CurvatureRate
    estimate.observe(Float64Array.of(x), Float64Array.of(gradient))
    return estimate.rate
  })
  t.is(taken, GOLDEN.perEntitySteps + 1)
})

test('the estimate is a moving mean of what each step shows, and copies what it is given', t => {
  const found = new CurvatureRate({ start: 1 })
  const [parameters, gradient] = [new Float32Array(2), new Float32Array(2)]
  for (const [x, g] of [[0, 0], [3, 6], [6, 18]] as const) {
    parameters.fill(x)
    gradient.fill(g)
    found.observe(parameters, gradient)
  }
  t.true(Math.abs((found.curvature as number) - (0.9 * 2 + 0.1 * 4)) < 1e-12)
})

test('a block that stood still, or a gradient that is not finite, says nothing', t => {
  const found = new CurvatureRate({ start: 0.3 })
  for (const [x, g] of [[1, 1], [1, 2], [2, Number.NaN], [2, Infinity]] as const) found.observe(Float64Array.of(x), Float64Array.of(g))
  t.is(found.curvature, undefined)
  t.is(found.rate, 0.3)
  found.observe(Float64Array.of(3), Float64Array.of(6))
  t.is(found.curvature, 2, 'compared with the last gradient that was one')
})

for (const { id, slope, want } of [
  { id: 'flat', slope: 0, want: 50 },
  { id: 'steep', slope: 1e9, want: 0.01 },
  { id: 'in between', slope: 3, want: 0.1 }
]) {
  test(`the rate stays within its bounds: ${id}`, t => {
    const found = new CurvatureRate({ start: 1, gamma: 0.3, least: 0.01, most: 50 })
    for (const x of [0, 1]) found.observe(Float64Array.of(x), Float64Array.of(slope * x))
    t.true(Math.abs(found.rate - want) < 1e-12, String(found.rate))
  })
}

for (const [id, init] of Object.entries({
  'a start of 0': { start: 0 },
  'no share': { start: 1, gamma: 0 },
  'a start that is no number': { start: Number.NaN },
  'bounds the wrong way round': { start: 1, least: 2, most: 1 }
})) {
  test(`is refused: ${id}`, t => { t.throws(() => new CurvatureRate(init), { instanceOf: InvalidParametersError }) })
}
