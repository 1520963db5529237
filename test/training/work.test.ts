import test from 'ava'
import { modelWork, passWork } from '../../src/training/work.ts'
import { loadBestRung, rungsFor } from '../../src/backend/ladder.ts'
import { smallCharter } from '../helpers/federation.ts'
import { buildTrunk } from '../../src/models/trunk.ts'
import { embedderOf } from '../../src/models/inputs.ts'
import { LEVEL } from '../helpers/synthetic.ts'

test('work is positions of a batch times parameters of the trunk, where the trunk is computed', t => {
  const charter = smallCharter([LEVEL])
  const { model, training, input } = charter
  const work = training.batch * embedderOf(model, input).tokens * buildTrunk(model.backbone).parameterCount
  t.true(work > 0)
  t.is(passWork(charter, 'host'), work)
  t.is(passWork(charter, 'client'), 0)
  t.is(passWork(charter, 'both'), work)
  const averaging = { ...charter, model: { ...model, trunk: 'client' as const } }
  t.is(passWork(averaging, 'host'), 0)
  t.is(passWork(averaging, 'client'), work)
  t.is(passWork({ ...charter, training: { ...training, batch: 3 * training.batch } }, 'host'), 3 * work)
  t.is(modelWork(model, charter, 5 * training.batch), 5 * work)
  t.is(modelWork({ ...model, kind: 'linear' }, charter, training.batch), 0)
})

test('small passes go to TensorFlow before a graphics device, large ones after it; every rung is tried once', t => {
  t.deepEqual(rungsFor(0), ['tensorflow', 'webgpu', 'wasm', 'cpu'])
  t.deepEqual(rungsFor(Infinity), ['webgpu', 'tensorflow', 'wasm', 'cpu'])
})

test('a small pass loads TensorFlow without a look at graphics devices', async t => {
  const falls: string[] = []
  const rung = await loadBestRung({ work: 1, onFall: line => falls.push(line) })
  if (rung.name !== 'tensorflow') t.regex(falls[0] ?? '', /^tensorflow does not load/)
  else t.deepEqual(falls, [])
})
