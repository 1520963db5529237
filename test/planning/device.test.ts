import test from 'ava'
import { blankSite, measureDevice } from '../../src/planning/index.ts'
import { createCharter } from '../../src/federation/charter.ts'
import { backendOn } from '../helpers/rungs.ts'
import { findStrategy, settingsOf } from '../../src/strategies/index.ts'
import { smallCharter } from '../helpers/federation.ts'
import { LEVEL, MASK, SIDE, THREE, clientData } from '../helpers/synthetic.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

const backend = await backendOn('wasm')

test.serial('every part of a step takes time, and nothing is left behind', async t => {
  const charter = smallCharter([LEVEL, SIDE], { model: { sharedEmbedder: true } })
  const before = backend.liveTensors()
  const { site, ms, clientRowsPerSecond, trunkRowsPerSecond, codecMs, backend: name } = await measureDevice(backend, charter, clientData(THREE[0] as typeof THREE[number]))
  t.is(backend.liveTensors(), before)
  t.is(name, 'wasm')
  t.deepEqual(site.cut, [4, 8])
  t.deepEqual(site.sharedUnits, ['embed/image'])
  for (const [part, value] of Object.entries({ ...ms, ...codecMs, clientRowsPerSecond, trunkRowsPerSecond })) t.true(value > 0 && Number.isFinite(value), `${part}: ${value}`)
  t.true(Math.abs(trunkRowsPerSecond * (ms.trunkForward + ms.trunkBackward) - 1000 * site.batch) < 1)
})

test.serial('a charter is enough: blank rows of every kind of task stand in', async t => {
  const charter = smallCharter([LEVEL, MASK, SIDE])
  const { site } = await measureDevice(backend, charter, blankSite(charter))
  t.deepEqual(site.tasks, ['level', 'mask', 'side'])
  t.is(site.batch, charter.training.batch)
  t.deepEqual(site.samples, { train: charter.training.batch, holdout: 0, test: 0 })
})

test.serial('blank rows of words and directions too', async t => {
  const tasks: TaskSpec[] = [
    { id: 'tag', kind: 'token-classes', channels: 3, targets: 1, positions: [5], metric: 'accuracy' },
    { id: 'turn', kind: 'direction', channels: 2, targets: 3, positions: [1], metric: 'angle' }
  ]
  const charter = createCharter({ name: 'words', seed: 1, input: { modality: 'tokens', shape: [5, 2], buckets: 16 }, tasks, model: { width: 8, layers: 1, heads: 2, hidden: 8 }, training: { batch: 4 } })
  const { site } = await measureDevice(backend, charter, blankSite(charter))
  t.deepEqual(site.cut, [5, 8])
})

test.serial('a method is measured as it goes: told what its host made of a step before the next one', async t => {
  const before = backend.liveTensors()
  const charter = smallCharter([SIDE], settingsOf(findStrategy('fedit'), {}, { training: { rounds: 8, localSteps: 2 } }))
  const { whole } = await measureDevice(backend, charter, blankSite(charter))
  for (const [part, value] of Object.entries(whole)) t.true(value > 0 && Number.isFinite(value), `${part}: ${value}`)
  t.is(backend.liveTensors(), before)
})
