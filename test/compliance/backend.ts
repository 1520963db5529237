/**
 * What every rung and executor must do. Results are held against a 64-bit interpreter of the same graphs; a process has one
 * rung at a time, so each takes a test file of its own in ../backend/compliance.
 */
import test from 'ava'
import { createBackend } from '../../src/backend/index.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { loadRung } from '../../src/backend/ladder.ts'
import { ClientTrainer } from '../../src/training/client-trainer.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { BackendError, InvalidParametersError } from '../../src/errors.ts'
import { OPERATIONS } from './operations.ts'
import { EDGE_PARTS, GROUPED_PARTS, MODEL_PARTS, noise, trunk, weights } from '../helpers/parts.ts'
import { LEVEL, MASK, SIDE, clientData } from '../helpers/synthetic.ts'
import { byName, close } from '../helpers/tensors.ts'
import { interpreterBackend } from '../helpers/interpreter.ts'
import { backwardAlone, forwardAlone, smallCharter } from '../helpers/federation.ts'
import type { Backend, ForwardOptions, Kept, Model } from '../../src/backend/backend.ts'
import type { ExecutionContext } from 'ava'
import type { Executor } from '../../src/backend/index.ts'
import type { Graph } from '../../src/graph/graph.ts'
import type { RungName } from '../../src/backend/ladder.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

/** Of the largest number of a tensor. Rounding of a 32-bit sum over a few thousand products stays ten times below. */
const TOLERANCE = 1e-5
/** Where results run through several parts and steps. */
const CHAIN_TOLERANCE = 1e-4

type Named = Readonly<Record<string, TensorData>>

/** Registers the tests of one executor on one rung; where the rung does not load they are skipped, with the reason. */
export async function backendCompliance (rungName: RungName, executor: Executor): Promise<void> {
  const rung = await loadRung(rungName).catch((error: Error) => error)
  if (rung instanceof Error) {
    test.skip(`${executor} on ${rungName} (skipped: ${rung.message})`, t => { t.pass() })
    return
  }
  const backend = createBackend(rung, { executor, onFall: line => { throw new Error(line) } })
  const reference = interpreterBackend()
  const models = (graph: Graph, wanted: readonly string[], grouped = false): [Model, Model] => {
    const program = differentiate(graph, wanted, { grouped })
    const pair: [Model, Model] = [backend.load(program), reference.load(program)]
    for (const model of pair) model.setParameters(weights(graph))
    return pair
  }
  const tried = (title: string, run: (t: ExecutionContext) => Promise<void>): void => {
    test.serial(`${executor} on ${rungName}: ${title}`, async t => {
      const before = backend.liveTensors()
      await run(t)
      t.is(backend.liveTensors(), before, 'tensors were left behind')
    })
  }

  for (const { id, graph, passes, gradients = true } of OPERATIONS) {
    tried(id, async t => {
      const [model, want] = models(graph, gradients ? [...graph.inputs.keys()] : [])
      for (const shapes of passes) await samePass(t, model, want, inputsOf(shapes))
      model.dispose()
    })
  }

  for (const { id, graph, input, shapes } of [...MODEL_PARTS, ...EDGE_PARTS]) {
    tried(`${id}: forward, infer, backward and kept backwards, for every size on one model`, async t => {
      const [model, want] = models(graph, [input])
      for (const [i, shape] of shapes.entries()) await samePass(t, model, want, { [input]: noise(shape, 5 + i) })
      model.dispose()
    })
  }

  for (const { id, graph, input, shapes } of [...MODEL_PARTS, ...EDGE_PARTS]) {
    tried(`${id}: backward from nothing but the inputs`, async t => {
      const [model, want] = models(graph, [input])
      for (const [i, shape] of shapes.entries()) await samePass(t, model, want, { [input]: noise(shape, 5 + i) }, { keep: 'inputs' })
      model.dispose()
    })
  }

  for (const { id, graph, input, shapes } of GROUPED_PARTS) {
    tried(`${id}: parameter gradients of one to three groups of rows, kept apart`, async t => {
      const [model, want] = models(graph, [input], true)
      const inputs = { [input]: noise([6, ...(shapes[0] as readonly number[]).slice(1)], 5) }
      for (const groups of [1, 2, 3]) {
        for (const keep of ['values', 'inputs'] as const) await samePass(t, model, want, inputs, { groups, keep })
      }
      model.dispose()
    })
  }

  tried('rows that do not make equal groups, and groups that a model does not keep apart, are refused', async t => {
    const [[model], [ungrouped]] = [models(trunk, ['activations'], true), models(trunk, ['activations'])]
    await t.throwsAsync(model.forward(activations(), { groups: 2 }), { instanceOf: InvalidParametersError, message: /groups/ })
    await t.throwsAsync(ungrouped.forward(activations(), { groups: 3 }), { instanceOf: InvalidParametersError, message: /group/ })
    for (const each of [model, ungrouped]) each.dispose()
  })

  tried('a pass that keeps its inputs alone holds fewer tensors, and the parameters that it began with', async t => {
    const [model] = models(trunk, ['activations'])
    const seeds = { features: noise([3, 4, 8], 2) }
    const pass = async (keep: 'values' | 'inputs'): Promise<{ kept: Kept, held: number }> => {
      const before = backend.liveTensors()
      const { kept } = await model.forward(activations(), { keep })
      return { kept, held: backend.liveTensors() - before }
    }
    await pass('values').then(({ kept }) => { kept.release() }) // what a model keeps for all passes is there now
    const [values, inputs] = [await pass('values'), await pass('inputs')]
    t.true(inputs.held < values.held, `${inputs.held} against ${values.held}`)
    model.setParameters(new Float32Array(trunk.parameterCount))
    const [want, got] = [await model.backward(values.kept, seeds), await model.backward(inputs.kept, seeds)]
    close(t, 'parameter gradient', got.parameters, want.parameters, TOLERANCE)
    model.dispose()
  })

  tried('an input that needs no gradient gets none', async t => {
    const [model] = models(trunk, [])
    const { outputs, kept } = await model.forward(activations())
    const { inputs, parameters } = await model.backward(kept, outputs)
    t.deepEqual(inputs, {})
    t.is(parameters.length, trunk.parameterCount)
    model.dispose()
  })

  tried('a pass under way keeps the parameters it began with, whatever is set in between', async t => {
    const [model, want] = models(trunk, ['activations'])
    const seeds = { features: noise([3, 4, 8], 2) }
    const run = async (model: Model): Promise<Float32Array[]> => {
      const flat = weights(trunk, 1)
      model.setParameters(flat)
      flat.fill(0) // the model has its own copy
      const first = await model.forward(activations())
      model.setParameters(weights(trunk, 2))
      const second = await model.forward(activations())
      model.setParameters(new Float32Array(trunk.parameterCount))
      const late = await model.backward(second.kept, seeds)
      const early = await model.backward(first.kept, seeds)
      return [early.parameters, late.parameters]
    }
    const [got, expected] = [await run(model), await run(want)]
    close(t, 'first pass', got[0] as Float32Array, expected[0] as Float32Array, TOLERANCE)
    close(t, 'second pass', got[1] as Float32Array, expected[1] as Float32Array, TOLERANCE)
    t.notDeepEqual(got[0], got[1])
    model.dispose()
  })

  tried('what is handed out is the caller\'s own', async t => {
    const [model] = models(trunk, ['activations'])
    const { outputs, kept } = await model.forward(activations())
    const seeds = { features: noise([3, 4, 8], 2) }
    const first = await model.backwardKeep(kept, seeds)
    const copy = structuredClone(first)
    for (const { data } of [...Object.values(outputs), ...Object.values(first.inputs)]) data.fill(9)
    first.parameters.fill(9)
    t.deepEqual(await model.backward(kept, seeds), copy)
    model.dispose()
  })

  tried('a pass serves one backward, or several kept ones; wrong calls are told apart from failures', async t => {
    const program = differentiate(trunk, ['activations'])
    const [model, other] = [backend.load(program), backend.load(program)]
    const invalid = { instanceOf: InvalidParametersError }
    await t.throwsAsync(model.forward(activations()), { instanceOf: BackendError }, 'no parameters yet')
    t.throws(() => model.setParameters(new Float32Array(3)), invalid)
    for (const each of [model, other]) each.setParameters(weights(trunk))
    await t.throwsAsync(model.forward({}), { ...invalid, message: /activations/ })
    await t.throwsAsync(model.forward({ activations: noise([3, 4, 9], 1) }), { ...invalid, message: /activations/ })
    await t.throwsAsync(model.infer({ activations: noise([12, 8], 1) }), { ...invalid, message: /activations/ })
    const { outputs, kept } = await model.forward(activations())
    await t.throwsAsync(model.backwardKeep(kept, { features: noise([3, 5, 8], 1) }), { ...invalid, message: /features/ })
    await t.throwsAsync(model.backwardKeep(kept, {}), { ...invalid, message: /features/ })
    const first = await model.backwardKeep(kept, outputs)
    t.deepEqual(await model.backward(kept, outputs), first)
    await t.throwsAsync(model.backward(kept, outputs), invalid, 'used up')
    const { kept: released } = await model.forward(activations())
    released.release()
    released.release()
    await t.throwsAsync(model.backward(released, outputs), invalid, 'released')
    const { kept: foreign } = await other.forward(activations())
    await t.throwsAsync(model.backward(foreign, outputs), invalid, 'of another model')
    for (const each of [model, other]) each.dispose()
  })

  tried('tensors are flat over steps, however each of them ends', async t => {
    const [model] = models(trunk, ['activations'])
    const counts: number[] = []
    for (let step = 0; step < 20; step++) {
      model.setParameters(weights(trunk, step))
      const x = { activations: noise([1 + step % 3, 2 + step % 2, 8], step) }
      const { outputs, kept } = await model.forward(x)
      await model.infer(x)
      if (step % 4 === 1) kept.release()
      else if (step % 4 === 2) await t.throwsAsync(model.backward(kept, {}), { instanceOf: InvalidParametersError })
      else await model.backward(kept, outputs)
      counts.push(backend.liveTensors())
    }
    t.is(new Set(counts).size, 1, counts.join())
    model.dispose()
    model.dispose()
  })

  tried('three steps of a host and a client, as the reference takes them', async t => {
    const [got, want] = [await train(backend), await train(reference)]
    t.is(got.length, want.length)
    for (const [i, { what, data }] of want.entries()) close(t, what, got[i]?.data ?? [], data, CHAIN_TOLERANCE)
  })
}

function activations (): Named { return { activations: noise([3, 4, 8], 1) } }

function inputsOf (shapes: Readonly<Record<string, readonly number[]>>): Named {
  return Object.fromEntries(Object.entries(shapes).map(([name, shape], i) => [name, noise(shape, 5 + i)]))
}

/** Forward, infer, a kept backward and a last one with other gradients, all as the reference gives them. */
async function samePass (t: ExecutionContext, model: Model, reference: Model, inputs: Named, options: ForwardOptions = {}): Promise<void> {
  const [got, want] = [await model.forward(inputs, options), await reference.forward(inputs, options)]
  sameTensors(t, 'forward', got.outputs, want.outputs)
  sameTensors(t, 'infer', await model.infer(inputs), want.outputs)
  for (const way of ['backwardKeep', 'backward'] as const) {
    const seeds = Object.fromEntries(Object.entries(want.outputs).map(([name, { shape }], i) => [name, noise(shape, (way === 'backward' ? 30 : 20) + i)]))
    const [back, expected] = [await model[way](got.kept, seeds), await reference[way](want.kept, seeds)]
    sameTensors(t, `${way}: gradient of`, back.inputs, expected.inputs)
    close(t, `${way}: parameter gradient`, back.parameters, expected.parameters, TOLERANCE)
  }
}

function sameTensors (t: ExecutionContext, what: string, got: Named, want: Named): void {
  t.deepEqual(Object.keys(got), Object.keys(want))
  for (const [name, { shape, data }] of Object.entries(want)) {
    t.deepEqual(got[name]?.shape, shape, `${what} ${name}`)
    close(t, `${what} ${name}`, got[name]?.data ?? [], data, TOLERANCE)
  }
}

/** Everything that crosses the cut, the losses, and the first moments, in which every gradient shows. */
async function train (backend: Backend): Promise<Array<{ what: string, data: ArrayLike<number> }>> {
  const charter = smallCharter([SIDE, LEVEL, MASK])
  const host = new HostTrainer(backend, charter)
  const client = new ClientTrainer(backend, charter, clientData({ id: 'ada', tasks: [SIDE, LEVEL, MASK] }), { control: false })
  const seen: Array<{ what: string, data: ArrayLike<number> }> = []
  for (let step = 0; step < 3; step++) {
    const cut = await client.forward(step)
    const features = await forwardAlone(host, 'ada', step, cut)
    const { featureGrads, losses } = await client.backward(step, features)
    const back = await backwardAlone(host, 'ada', step, featureGrads)
    await client.finish(step, back)
    host.applyStep(step, ['ada'])
    await client.localStep(step)
    const parts: Array<[string, ArrayLike<number>]> = [['activations', cut.data], ['features', features.data], ['losses', losses.map(({ loss }) => loss)],
      ...featureGrads.map(({ name, tensor }): [string, Float32Array] => [`gradient of ${name}`, tensor.data]), ['gradient of activations', back.data]]
    seen.push(...parts.map(([what, data]) => ({ what: `step ${step}: ${what}`, data })))
    if (step > 0) continue
    // Later ones follow from weights that AdamW moved by the sign of gradients next to zero.
    for (const [name, data] of Object.entries({ ...byName(host.save()), ...byName(client.save()) })) {
      if (/\.first$/.test(name)) seen.push({ what: `first moment ${name}`, data })
    }
  }
  host.dispose()
  client.dispose()
  return seen
}
