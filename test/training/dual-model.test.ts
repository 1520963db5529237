/** Models with one set of normalisations or two: what moves which, and what robustness costs at toy scale. */
import test from 'ava'
import { DualForm, DualModel } from '../../src/training/dual-model.ts'
import { FRAGILE_EPSILON, FRAGILE_INPUT, fragileSite } from '../helpers/fragile.ts'
import { LEVEL, PICTURES, SIDE, clientData } from '../helpers/synthetic.ts'
import { LocalTrainer } from '../../src/training/local-trainer.ts'
import { Random } from '../../src/random.ts'
import { WholeModel } from '../../src/training/whole-model.ts'
import { backendOn } from '../helpers/rungs.ts'
import { close } from '../helpers/tensors.ts'
import { drawBatch } from '../../src/training/batches.ts'
import { parseModelSpec } from '../../src/models/spec.ts'
import { parseTrainingSpec } from '../../src/training/spec.ts'
import type { ClientData } from '../../src/data/dataset.ts'
import type { Sides } from '../../src/training/dual-model.ts'

const backend = await backendOn('wasm')
const training = parseTrainingSpec({ rounds: 4, stepsPerRound: 5, batch: 12, warmup: 2, lrLocal: 0.01, weightDecay: 0.01 })
const site = clientData({ id: 'ada', tasks: [SIDE, LEVEL] }, { rows: [40, 12, 12] })
const ATTACK = { epsilon: 0.1, steps: 3 }

function modelOf (norm: 'batch' | 'layer'): ReturnType<typeof parseModelSpec> {
  return parseModelSpec({ width: 8, layers: 1, heads: 2, hidden: 12, embedder: { patch: 4, stride: 2, padding: 1 }, trunk: 'client', norm }, PICTURES)
}

function dual (norm: 'batch' | 'layer', sides: Sides, data: ClientData = site): { form: DualForm, model: DualModel } {
  const form = new DualForm(backend, data, modelOf(norm), 0)
  return { form, model: new DualModel(form, { seed: 3, training, rate: training.lrLocal, sides }) }
}

const batchAt = (step: number): ReturnType<typeof drawBatch> => drawBatch(site.train, site.input, { size: 12, seed: 1, step, shift: 0 })

test.serial('with layer normalisations and one set it is the whole model, bit for bit', async t => {
  const { form, model } = dual('layer', 'one')
  const whole = new WholeModel(backend, site, modelOf('layer'), { seed: 3, training, rate: training.lrLocal })
  for (let step = 0; step < 3; step++) {
    const [a, b] = [await model.pass(batchAt(step)), await whole.pass(batchAt(step))]
    t.deepEqual(a.losses, b.losses)
    model.learn(a.gradients, step)
    for (const unit of whole.units) unit.learn(b.gradients.get(unit.name) as Float32Array, step)
  }
  t.deepEqual(model.units.map(({ name, parameters }) => [name, parameters]), whole.units.map(({ name, parameters }) => [name, parameters]))
  t.deepEqual(await model.predict(site.test), await whole.predict(site.test))
  form.dispose()
  whole.dispose()
})

test.serial('a pass under clean normalisations leaves those for attacked rows as they are, and the other way round', async t => {
  const { form, model } = dual('batch', 'all')
  const snapshot = (): Record<string, string> => Object.fromEntries(model.units.map(({ name, parameters }) => [name, Buffer.from(parameters.buffer, parameters.byteOffset, parameters.byteLength).toString('hex')]))
  const moved = (before: Record<string, string>, after: Record<string, string>): string[] => Object.keys(before).filter(name => before[name] !== after[name])
  const start = snapshot()
  model.learn((await model.pass(batchAt(0))).gradients, 0)
  const clean = snapshot()
  t.deepEqual(moved(start, clean), ['embed/image', 'trunk', 'head/side', 'head/level', 'statistics'])
  const { gradients } = await model.pass(batchAt(1), 'attacked')
  model.learn(gradients, 1)
  t.deepEqual(moved(clean, snapshot()), ['embed/image', 'trunk', 'head/side', 'head/level', 'adversarial/affine', 'adversarial/statistics'])
  for (const { gain, bias, channels } of form.norms) {
    const at = gain - (form.parts[0]?.[1].parameterCount ?? 0)
    t.true((gradients.get('trunk') as Float32Array).subarray(at, at + channels).every(value => value === 0), 'clean gains')
    t.is(bias, gain + channels)
  }
  form.dispose()
})

test.serial('0 is the clean set and 1 the attacked one exactly; both are what training would compute at the same statistics', async t => {
  const { form, model } = dual('batch', 'all')
  for (let step = 0; step < 60; step++) model.learn((await model.passBoth(batchAt(step), 0.5, ATTACK, new Random(step))).gradients, step)
  const [clean, attacked, half] = [model.folded(0), model.folded(1), model.folded(0.5)]
  t.notDeepEqual(clean, attacked)
  close(t, 'half', half, clean.map((value, i) => (value + (attacked[i] as number)) / 2), 1e-6)
  // With momentum .1 the running statistics of one batch over and over are that batch's own.
  const batch = batchAt(0)
  for (let again = 0; again < 150; again++) await model.pass(batch)
  const { losses } = await model.pass(batch)
  const outputs = await form.outputs([model.folded(0)], batch.x, batch.count)
  const side = form.tasks[0] as typeof form.tasks[number]
  const { value } = side.loss(outputs.get('side') as NonNullable<ReturnType<typeof outputs.get>>, form.targets('side', batch.y.side as Float32Array, batch.count))
  t.true(Math.abs(value - (losses[0]?.loss ?? NaN)) < 0.05 * value + 0.01, `${value} against ${losses[0]?.loss}`)
  form.dispose()
})

test.serial('an attack stays in its ball, raises the loss of the mixture, and is the same every time', async t => {
  const { form, model } = dual('batch', 'all')
  for (let step = 0; step < 10; step++) model.learn((await model.pass(batchAt(step))).gradients, step)
  const members = [model.folded(0), model.folded(1)]
  const rows = site.test
  const lossAt = async (x: Float32Array): Promise<number> => {
    const outputs = await form.outputs(members, x, rows.count)
    return form.tasks.reduce((sum, task) => sum + task.loss(outputs.get(task.spec.id) as NonNullable<ReturnType<typeof outputs.get>>, form.targets(task.spec.id, rows.y[task.spec.id] as Float32Array, rows.count)).value, 0)
  }
  const moved = await form.attacked(members, rows, ATTACK, new Random(4))
  t.true(moved.every((value, i) => Math.abs(value - (rows.x[i] as number)) <= 0.1 + 1e-6))
  t.true(await lossAt(moved) > await lossAt(rows.x))
  t.deepEqual(await form.attacked(members, rows, ATTACK, new Random(4)), moved)
  form.dispose()
})

test.serial('a local model with batch normalisations learns, and its running statistics are saved with it', async t => {
  const before = backend.liveTensors()
  const local = new LocalTrainer(backend, site, modelOf('batch'), { ...training, rounds: 8, lrLocal: 0.02 }, 3)
  const losses: number[] = []
  for (let step = 0; step < 40; step++) losses.push((await local.step(step))[0]?.loss ?? NaN)
  t.true((losses.at(-1) as number) < 0.7 * (losses[0] as number), losses.map(loss => loss.toFixed(2)).join(' '))
  t.true(local.units.some(({ name, parameters }) => name === 'statistics' && parameters.some(value => value !== 0 && value !== 1)))
  t.is((await local.predict(site.test)).get('side')?.shape[0], site.test.count)
  local.dispose()
  t.is(backend.liveTensors(), before)
})

test.serial('robustness is bought with accuracy on clean rows, monotonically and from one model', async t => {
  const lambdas = [0, 0.25, 0.5, 0.75, 1]
  const attack = { epsilon: FRAGILE_EPSILON, steps: 7 }
  const model = parseModelSpec({ width: 16, layers: 1, hidden: 16, embedder: { kind: 'row' }, trunk: 'client', norm: 'batch' }, FRAGILE_INPUT)
  const spec = parseTrainingSpec({ rounds: 1, stepsPerRound: 120, batch: 32, lrLocal: 0.02, warmup: 5, weightDecay: 0.01 })
  const [clean, robust] = [lambdas.map(() => 0), lambdas.map(() => 0)]
  for (const seed of [1, 2, 3]) {
    const data = fragileSite('toy', seed, [800, 0, 1000])
    const form = new DualForm(backend, data, model, 0)
    const trained = new DualModel(form, { seed, training: spec, rate: spec.lrLocal, sides: 'all' })
    for (let step = 0; step < 120; step++) {
      const batch = drawBatch(data.train, data.input, { size: 32, seed, step, shift: 0 })
      trained.learn((await trained.passBoth(batch, 0.5, attack, new Random(step))).gradients, step)
    }
    const accuracy = async (lambda: number, x: Float32Array): Promise<number> => {
      const predicted = await form.predictWith([trained.folded(lambda)], { x, count: data.test.count })
      return (form.tasks[0] as typeof form.tasks[number]).score(predicted.get('sign') as NonNullable<ReturnType<typeof predicted.get>>, form.targets('sign', data.test.y.sign as Float32Array, data.test.count)).value
    }
    for (const [i, lambda] of lambdas.entries()) {
      const x = await form.attacked([trained.folded(lambda)], data.test, attack, new Random(9))
      clean[i] = (clean[i] as number) + await accuracy(lambda, data.test.x) / 3
      robust[i] = (robust[i] as number) + await accuracy(lambda, x) / 3
    }
    form.dispose()
  }
  t.log(`clean ${clean.map(value => value.toFixed(3)).join(' ')}, attacked ${robust.map(value => value.toFixed(3)).join(' ')}`)
  for (let i = 1; i < lambdas.length; i++) {
    t.true((clean[i] as number) <= (clean[i - 1] as number) + 0.01)
    t.true((robust[i] as number) >= (robust[i - 1] as number) - 0.01)
  }
  t.true((clean.at(0) as number) - (clean.at(-1) as number) > 0.01)
  t.true((robust.at(-1) as number) - (robust.at(0) as number) > 0.01)
})
