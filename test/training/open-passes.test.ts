/** Passes that several clients share: the numbers of separate ones, whatever is kept and in whatever order gradients come. */
import test from 'ava'
import { OpenPasses, mayShare } from '../../src/training/open-passes.ts'
import { ProtocolError } from '../../src/errors.ts'
import { Random } from '../../src/random.ts'
import { Unit } from '../../src/training/unit.ts'
import { backendIfAny } from '../helpers/rungs.ts'
import { buildTrunk } from '../../src/models/trunk.ts'
import { parseTrainingSpec } from '../../src/training/spec.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { NamedTensor, TensorData } from '../../src/tensor/tensor.ts'

const SHAPE = [4, 4, 16]
const SPEC = { width: 16, layers: 2, heads: 2, hidden: 32, attention: true }
const CLIENTS = ['ada', 'ben', 'cy']

function noise (seed: number): TensorData {
  const random = new Random(seed)
  return { shape: SHAPE, data: Float32Array.from({ length: 256 }, () => random.normal()) }
}

const gradsOf = (client: number, tasks = 1): NamedTensor[] => tasks === 1
  ? [{ name: 'client', tensor: noise(20 + client) }]
  : Array.from({ length: tasks }, (_, k) => ({ name: `task/${k}`, tensor: noise(40 + 10 * client + k) }))

function passesOn (backend: Backend, limit = Infinity): OpenPasses {
  const unit = new Unit(backend, 'trunk', buildTrunk(SPEC), {
    seed: 1, training: parseTrainingSpec({}), rate: 0.1, wanted: ['activations'], grouped: true
  })
  return new OpenPasses(unit, limit)
}

const anything = (): void => {}

for (const rung of ['tensorflow', 'wasm'] as const) {
  test.serial(`${rung}: clients in one pass get the numbers of passes of their own`, async t => {
    const backend = await backendIfAny(t, rung)
    if (backend === undefined) return
    for (const limit of [Infinity, 0]) {
      const [alone, together] = [passesOn(backend), passesOn(backend, limit)]
      const forward = CLIENTS.map((client, i) => ({ client, step: 5, activations: noise(i) }))
      const backward = CLIENTS.map((client, i) => ({ client, step: 5, featureGrads: gradsOf(i, 1 + i) }))
      const want = []
      for (const [i, share] of forward.entries()) {
        want.push({ features: (await alone.forward([share]))[0], back: (await alone.backward([backward[i] as typeof backward[number]], anything))[0] })
      }
      const features = await together.forward(forward)
      t.deepEqual([...features], want.map(({ features }) => features))
      // two in one backward, the third later
      const back = [...await together.backward([backward[2], backward[0]] as typeof backward, anything), ...await together.backward([backward[1]] as typeof backward, anything)]
      t.deepEqual(back, [want[2]?.back, want[0]?.back, want[1]?.back])
      for (const [i, client] of CLIENTS.entries()) {
        t.deepEqual([...together.expect(client, 5).rows.keys()], i === 0 ? [client] : gradsOf(i, 1 + i).map(({ name }) => `${client}/${name}`))
        for (const [id, row] of together.expect(client, 5).rows) t.deepEqual(row, alone.expect(client, 5).rows.get(id))
      }
      alone.dispose()
      together.dispose()
    }
  })
}

test('clients share a pass only where nobody can see it in the numbers', t => {
  t.true(mayShare(SPEC, SHAPE))
  t.true(mayShare(SPEC, [32, 1, 16]))
  t.false(mayShare(SPEC, [3, 4, 16]))
  t.false(mayShare({ ...SPEC, width: 8 }, SHAPE))
  t.false(mayShare({ ...SPEC, hidden: 12 }, SHAPE))
})

test.serial('tensors of a pass are freed when its last client is through, left, or its step closed', async t => {
  const backend = await backendIfAny(t, 'wasm') as Backend
  const passes = passesOn(backend)
  await passes.forward([{ client: 'ada', step: 0, activations: noise(0) }])
  await passes.backward([{ client: 'ada', step: 0, featureGrads: gradsOf(0) }], anything) // what a model keeps for all passes is there now
  passes.closeThrough(0)
  const before = backend.liveTensors()
  for (const end of ['backward', 'drop', 'close'] as const) {
    await passes.forward(CLIENTS.map((client, i) => ({ client, step: 1, activations: noise(i) })))
    await passes.backward([{ client: 'ada', step: 1, featureGrads: gradsOf(0) }], anything)
    t.true(backend.liveTensors() > before, end)
    for (const [i, client] of ['ben', 'cy'].entries()) {
      if (end === 'backward') await passes.backward([{ client, step: 1, featureGrads: gradsOf(i) }], anything)
      if (end === 'drop') passes.drop(client)
    }
    if (end === 'close') passes.closeThrough(1)
    t.is(backend.liveTensors(), before, end)
    passes.closeThrough(1)
  }
  passes.dispose()
})

test.serial('a wrong share fails alone: no open step, gradients twice, another shape, names that are not taken', async t => {
  const passes = passesOn(await backendIfAny(t, 'wasm') as Backend)
  await passes.forward(CLIENTS.map((client, i) => ({ client, step: 1, activations: noise(i) })))
  const results = await passes.backward([
    { client: 'ada', step: 1, featureGrads: gradsOf(0) },
    { client: 'ben', step: 2, featureGrads: gradsOf(1) },
    { client: 'cy', step: 1, featureGrads: [{ name: 'client', tensor: { shape: [2, 4, 16], data: new Float32Array(128) } }] }
  ], anything)
  t.deepEqual(results.map(result => 'code' in result ? result.code : 'tensor'), ['tensor', 'ERR_LATE', 'ERR_SHAPE_MISMATCH'])
  const again = await passes.backward([{ client: 'ada', step: 1, featureGrads: gradsOf(0) }, { client: 'ben', step: 1, featureGrads: gradsOf(1) }], client => {
    if (client === 'ben') throw new ProtocolError('not taken')
  })
  t.deepEqual(again.map(result => 'message' in result ? result.message : 'tensor'), ['ada sent the gradients of step 1 twice', 'not taken'])
  passes.dispose()
})
