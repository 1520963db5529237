/** Projected gradient ascent against an independent reference on a linear softmax: test/vectors/split-mix. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { Random } from '../../src/random.ts'
import { parseAttack, pgd, stepSize } from '../../src/robustness/pgd.ts'
import { close, fromNested } from '../helpers/tensors.ts'
import type { Nested } from '../helpers/tensors.ts'

interface Vectors {
  readonly W: Nested
  readonly b: number[]
  readonly x: number[][]
  readonly y: number[]
  readonly eps: number
  readonly steps: number
  readonly stepSize: number
  readonly randomStartUnit: Nested
  readonly gradAtX: Nested
  readonly cleanLossSum: number
  readonly randomStart: { readonly xAdv: Nested, readonly trace: ReadonlyArray<{ readonly loss: number }> }
  readonly zeroStart: { readonly xAdv: Nested, readonly trace: ReadonlyArray<{ readonly loss: number }> }
  readonly stepSizeTable: ReadonlyArray<{ readonly eps: number, readonly steps: number, readonly stepSize: number }>
}

const vectors = JSON.parse(readFileSync(new URL('../vectors/split-mix/pgd.json', import.meta.url), 'utf8')) as Vectors
const { x, y, eps, steps, b } = vectors
const [inputs, classes] = [6, 3]
const weights = fromNested(vectors.W).data
const rows = fromNested(x).data
const attack = { epsilon: eps, steps, low: 0, high: 1 }

function pass (values: Float32Array): { loss: number, grad: Float32Array } {
  const grad = new Float32Array(values.length)
  let loss = 0
  for (const [row, label] of y.entries()) {
    const z = b.map((bias, c) => bias + Array.from({ length: inputs }, (_, i) => (values[row * inputs + i] as number) * (weights[i * classes + c] as number)).reduce((sum, value) => sum + value, 0))
    const top = Math.max(...z)
    const total = z.reduce((sum, value) => sum + Math.exp(value - top), 0)
    const p = z.map(value => Math.exp(value - top) / total)
    loss -= Math.log(p[label] as number)
    for (let i = 0; i < inputs; i++) grad[row * inputs + i] = p.reduce((sum, value, c) => sum + (value - (c === label ? 1 : 0)) * (weights[i * classes + c] as number), 0)
  }
  return { loss, grad }
}

const slope = async (values: Float32Array): Promise<Float32Array> => pass(values).grad

test('the gradient and the clean loss are those of the reference', t => {
  close(t, 'gradient', pass(rows).grad, fromNested(vectors.gradAtX).data, 1e-5)
  t.true(Math.abs(pass(rows).loss - vectors.cleanLossSum) < 1e-3)
})

for (const [id, start] of [['randomStart', fromNested(vectors.randomStartUnit).data], ['zeroStart', new Float32Array(rows.length)]] as const) {
  test(`${id}: attacked rows and the loss after every step are those of the reference`, async t => {
    const losses: number[] = []
    const found = await pgd(rows, async values => {
      losses.push(pass(values).loss)
      return await slope(values)
    }, attack, start)
    close(t, 'xAdv', found, fromNested(vectors[id].xAdv).data, 1e-4)
    for (const [step, { loss }] of vectors[id].trace.entries()) {
      const got = losses[step + 1] ?? pass(found).loss
      t.true(Math.abs(got - loss) < 1e-3, `step ${step}: ${got} for ${loss}`)
    }
    t.true(found.every((value, i) => Math.abs(value - (rows[i] as number)) <= eps + 1e-7 && value >= 0 && value <= 1))
    t.true(pass(found).loss >= vectors.cleanLossSum)
  })
}

test('step sizes are those of the table', t => {
  for (const { eps, steps, stepSize: want } of vectors.stepSizeTable) t.true(Math.abs(stepSize({ epsilon: eps / 255, steps }) - want) < 1e-9)
})

test('in a range twice as wide, a ball twice as large has a step twice as long', t => {
  t.is(stepSize({ epsilon: 0.2, steps: 7, low: -1, high: 1 }), 2 * stepSize({ epsilon: 0.1, steps: 7 }))
})

test('without a range only the ball bounds the attack; an input outside of the range is not pulled into it', async t => {
  const flat = async (values: Float32Array): Promise<Float32Array> => values.map(() => -1)
  const free = await pgd(Float32Array.of(0), flat, { epsilon: 0.5, steps: 4 }, new Random(1))
  t.true((free[0] as number) < 0.5 && (free[0] as number) >= -0.5)
  t.is((await pgd(Float32Array.of(0), flat, { epsilon: 0.5, steps: 4 }, new Float32Array(1)))[0], -0.5)
  const outside = await pgd(Float32Array.of(-2, 0.25), flat, { epsilon: 0.5, steps: 4, low: 0, high: 1 }, new Float32Array(2))
  t.deepEqual([...outside], [-2, 0])
})

test('an attack that cannot be is refused', t => {
  t.deepEqual(parseAttack('m', {}), { epsilon: 8 / 255, steps: 7 })
  t.deepEqual(parseAttack('m', { epsilon: 0.1, attackSteps: 3, low: -1, high: 1 }), { epsilon: 0.1, steps: 3, low: -1, high: 1 })
  for (const options of [{ epsilon: 0 }, { epsilon: '1' }, { attackSteps: 0.5 }, { low: 0 }, { low: 1, high: 0 }]) t.throws(() => parseAttack('m', options), { instanceOf: InvalidParametersError })
})
