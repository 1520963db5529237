import test from 'ava'
import { AdamW, learningRate } from '../../src/training/optimiser.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { parseTrainingSpec, totalSteps } from '../../src/training/spec.ts'

/*
 * By hand: beta1 = 0.5, beta2 = 0.75, epsilon = 0, decay 0.1, rate 0.1, one parameter from 1, gradients 2, -2, 4.
 *   t  m = m/2 + g/2   v = 3v/4 + g^2/4   m/(1 - 2^-t)   v/(1 - .75^t)   step = mhat / sqrt(vhat)    p <- p - .1 (step + .1 p)
 *   1   1               1                  2              4               1                           1 - .1 (1 + .1)       = .89
 *   2  -0.5             1.75              -2/3            4              -1/3                         .89 - .1 (-1/3 + .089) = .914433333
 *   3   1.75            5.3125             2              9.189189189     0.659760                    .914433333 - .1 (.659760 + .091443333) = .839312956
 */
const WORKED = [
  { gradient: 2, step: 1, parameter: 0.89, first: 1, second: 1 },
  { gradient: -2, step: -1 / 3, parameter: 0.9144333333, first: -0.5, second: 1.75 },
  { gradient: 4, step: 2 / Math.sqrt(5.3125 / (1 - 0.75 ** 3)), parameter: 0.8393129560, first: 1.75, second: 5.3125 }
]
const INIT = { beta1: 0.5, beta2: 0.75, epsilon: 0, weightDecay: 0.1 }

test('AdamW takes the steps worked out by hand, decay apart from the moments', t => {
  const adam = new AdamW(1, INIT)
  const parameters = Float32Array.of(1)
  for (const { gradient, step, parameter, first, second } of WORKED) {
    const direction = adam.direction(Float32Array.of(gradient))
    t.true(Math.abs((direction[0] as number) - step) < 1e-6, `step ${direction[0]} for ${step}`)
    adam.apply(parameters, direction, 0.1)
    t.true(Math.abs((parameters[0] as number) - parameter) < 1e-6, `parameter ${parameters[0]} for ${parameter}`)
    const state = adam.save()
    t.deepEqual([state.first[0], state.second[0]], [first, second])
  }
  t.is(adam.save().step, 3)
})

test('a saved optimiser goes on with the same numbers, and saving takes a copy', t => {
  const [straight, stopped, resumed] = [new AdamW(2, INIT), new AdamW(2, INIT), new AdamW(2, INIT)]
  const gradients = [[1, -3], [0.5, 2], [-1, 0.25]].map(row => Float32Array.from(row)) as [Float32Array, Float32Array, Float32Array]
  for (const gradient of gradients.slice(0, 2)) {
    straight.direction(gradient)
    stopped.direction(gradient)
  }
  const state = stopped.save()
  stopped.direction(gradients[2])
  resumed.load(state)
  t.deepEqual(resumed.direction(gradients[2]), straight.direction(gradients[2]))
})

test('a gradient of zero moves nothing but by decay', t => {
  const adam = new AdamW(2, { ...INIT, epsilon: 1e-8 })
  const parameters = Float32Array.of(1, -2)
  adam.apply(parameters, adam.direction(new Float32Array(2)), 0.5)
  t.deepEqual([...parameters], [Math.fround(0.95), Math.fround(-1.9)])
})

for (const { id, step, warmup, total, want } of [
  { id: 'the first of four warm-up steps', step: 0, warmup: 4, total: 100, want: 0.25 },
  { id: 'the second of four', step: 1, warmup: 4, total: 100, want: 0.5 * 0.5 * (1 + Math.cos(Math.PI / 100)) },
  { id: 'after warm-up', step: 4, warmup: 4, total: 100, want: 0.5 * (1 + Math.cos(Math.PI / 25)) },
  { id: 'no warm-up', step: 0, warmup: 0, total: 100, want: 1 },
  { id: 'a quarter', step: 25, warmup: 4, total: 100, want: 0.5 * (1 + Math.SQRT1_2) },
  { id: 'half way', step: 50, warmup: 4, total: 100, want: 0.5 },
  { id: 'three quarters', step: 75, warmup: 4, total: 100, want: 0.5 * (1 - Math.SQRT1_2) },
  { id: 'the end', step: 100, warmup: 4, total: 100, want: 0 },
  { id: 'past the end', step: 1000, warmup: 4, total: 100, want: 0 }
]) {
  test(`learning rate: ${id}`, t => {
    const got = learningRate(3, step, { warmup, total })
    t.true(Math.abs(got - 3 * want) < 1e-12, `${got} for ${3 * want}`)
  })
}

test('training settings: defaults, steps in all, and what cannot be is refused in one line', t => {
  t.is(totalSteps(parseTrainingSpec({ rounds: 3, stepsPerRound: 7 })), 21)
  for (const raw of [{ lrTrunks: 1 }, { toString: 1 }, { rounds: 0 }, { rounds: 1.5 }, { batch: -1 }, { lrTrunk: '0.1' }, { lrTrunk: Number.NaN }, { warmup: Infinity }]) {
    const error = t.throws(() => parseTrainingSpec(raw), { instanceOf: InvalidParametersError }, JSON.stringify(raw))
    t.regex(error?.message ?? '', /^training\.\w+ [^\n]+$/)
  }
})
