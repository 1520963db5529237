/** What a client serves, and which of its own models it names the best: by modality, by hold-out, never by test rows. */
import test from 'ava'
import { ClientLayout } from '../../src/training/client-layout.ts'
import { ClientTrainer } from '../../src/training/client-trainer.ts'
import { Committee } from '../../src/training/committee.ts'
import { backendOn } from '../helpers/rungs.ts'
import { clientData, LEVEL, SIDE, syntheticDataset } from '../helpers/synthetic.ts'
import { close } from '../helpers/tensors.ts'
import { fitSimple } from '../../src/training/simple/index.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { smallCharter } from '../helpers/federation.ts'
import type { ClientData, InputSpec, Modality } from '../../src/data/dataset.ts'
import type { ClientReport } from '../../src/training/committee.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

const backend = await backendOn('wasm')
const dataset = syntheticDataset({ clients: [{ id: 'ada', tasks: [SIDE, LEVEL] }, { id: 'ben', tasks: [SIDE, LEVEL] }] })

const INPUTS: Readonly<Record<Modality, InputSpec>> = {
  image: { modality: 'image', shape: [8, 8, 1] },
  table: { modality: 'table', shape: [64] },
  series: { modality: 'series', shape: [8, 8] },
  tokens: { modality: 'tokens', shape: [8, 8], buckets: 16 }
}

/** A client whose candidates miss 'level' by so much, the same way on every row; at the hold-out and at the test rows. */
function reportOf (modality: Modality, offsets: Readonly<Record<string, readonly [holdout: number, test: number]>>, holdoutRows = 6): ClientReport {
  const { model, training } = smallCharter([LEVEL])
  const pictures = clientData({ id: 'ada', tasks: [LEVEL] }, { rows: [12, holdoutRows, 6] })
  const data: ClientData = { ...pictures, input: INPUTS[modality] }
  const committee = new Committee(new ClientLayout(pictures, model, training.smoothing), data)
  for (const [name, off] of Object.entries(offsets)) {
    for (const [i, split] of (['holdout', 'test'] as const).entries()) {
      const y = data[split].y.level as Float32Array
      const prediction: TensorData = { shape: [y.length, 1, 1], data: y.map((value, row) => value + (off[i] as number) * (1 + row / 100)) }
      committee.put(name, split, new Map([['level', prediction]]))
    }
  }
  return committee.report()
}

// Errors of opposite sign: both combinations with the federated model are exact, so nothing is better than the default.
const EVEN = { local: [0.1, 0.1], federated: [-0.1, -0.1], simple: [0.1, 0.1] } as const

for (const { modality, want } of [
  { modality: 'table', want: 'simple+federated' },
  { modality: 'tokens', want: 'simple+federated' },
  { modality: 'image', want: 'ensemble' },
  { modality: 'series', want: 'ensemble' }
] as const) {
  test(`of equals, ${modality} is served by ${want}; without a simple model by the ensemble, alone by the federated model`, t => {
    t.is(reportOf(modality, EVEN).served, want)
    const { local, federated } = EVEN
    t.is(reportOf(modality, { local, federated }).served, 'ensemble')
    t.is(reportOf(modality, { federated }).served, 'federated')
    t.is(reportOf(modality, EVEN, 0).served, want, 'no hold-out row says otherwise')
  })
}

test('the simple model is served where the hold-out says so, and the mean with it is the mean of both outputs', t => {
  const { served, tasks } = reportOf('table', { local: [0.5, 0.5], federated: [0.9, 0.9], simple: [0.01, 0.3] })
  t.is(served, 'simple')
  const scores = tasks[0]?.scores
  t.deepEqual(scores?.served, scores?.simple)
  close(t, 'means', [scores?.['simple+federated']?.value as number, scores?.ensemble?.value as number], [0.6 * 1.025, 0.7 * 1.025], 1e-5)
})

for (const { id, offsets, want } of [
  { id: 'the simple one', offsets: { local: [0.2, 0.1], federated: [0.3, 0.3], simple: [0.1, 0.2] }, want: 'simple' },
  { id: 'the deep one', offsets: { local: [0.1, 0.2], federated: [0.3, 0.3], simple: [0.2, 0.1] }, want: 'local' },
  { id: 'the deep one where there is no other', offsets: { local: [0.1, 0.2], federated: [0.3, 0.3] }, want: 'local' }
] as const) {
  test(`the best local model is ${id} by the hold-out, whatever the test rows say`, t => {
    const { bestLocal, tasks } = reportOf('image', offsets)
    t.is(bestLocal, want)
    t.deepEqual(tasks[0]?.scores.bestLocal, tasks[0]?.scores[want])
  })
}

test.serial('the report\'s simple score is that of a model of the training rows alone; simpleRefit can be left out', async t => {
  const data = await dataset.client('ada')
  const rows = async (refit: boolean): Promise<readonly string[]> => {
    const trainer = new ClientTrainer(backend, smallCharter(dataset.tasks), data, { control: false, refit })
    const count = (split: 'holdout' | 'test'): number => data[split].count
    for (const split of ['holdout', 'test'] as const) {
      const activations = await trainer.evaluateForward(split, 0)
      t.is(await trainer.evaluateFeatures('federated', split, 0, activations), 0)
      t.is(activations.shape[0], count(split))
    }
    const { tasks } = await trainer.report()
    const level = fitSimple({ ...data, holdout: data.holdout }).model?.predict(data.test).get('level') as TensorData
    const error = level.data.reduce((sum, value, row) => sum + Math.abs(value - (data.test.y.level?.[row] as number)), 0) / data.test.count
    t.true(Math.abs((tasks[1]?.scores.simple?.value as number) - error) < 1e-6)
    trainer.dispose()
    return Object.keys(tasks[1]?.scores ?? {})
  }
  t.true((await rows(true)).includes('simpleRefit'))
  t.false((await rows(false)).includes('simpleRefit'))
})

test.serial('no frame of a client depends on its simple model: with and without a baseline they carry the same', async t => {
  const run = async (baseline: boolean): Promise<string[]> => {
    const frames: string[] = []
    await simulate({
      charter: smallCharter(dataset.tasks),
      dataset,
      backend,
      hosts: ['host'],
      clients: dataset.clientIds,
      control: false,
      baseline,
      onFrame: (client, { kind, step, tensors }) => { frames.push(`${client} ${kind} ${step} ${tensors.map(({ name, tensor }) => `${name} ${tensor.data.join()}`).join(';')}`) }
    })
    return frames.sort()
  }
  const [bare, full] = [await run(false), await run(true)]
  t.true(full.length > 20)
  t.deepEqual(full, bare)
})
