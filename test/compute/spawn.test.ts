/** Trainers in worker threads. Each worker loads a rung of its own; plain JavaScript starts quickest. */
import test from 'ava'
import { BackendError, DataError, InvalidParametersError, ProtocolError } from '../../src/errors.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { backendOn } from '../helpers/rungs.ts'
import { byName } from '../helpers/tensors.ts'
import { backwardAlone, smallCharter } from '../helpers/federation.ts'
import { createCharter } from '../../src/federation/charter.ts'
import { openDataset } from '../../src/data/open.ts'
import { spawnTrainer } from '../../src/compute/spawn.ts'
import { LEVEL, SIDE } from '../helpers/synthetic.ts'
import type { Remote } from '../../src/compute/remote.ts'

const charter = smallCharter([LEVEL, SIDE])
const activations = (step: number) => ({ shape: [3, 4, 8], data: Float32Array.from({ length: 96 }, (_, i) => Math.sin(i + step)) })
const gradient = (step: number) => [{ name: 'client', tensor: { shape: [3, 4, 8], data: Float32Array.from({ length: 96 }, (_, i) => Math.cos(3 * i + step)) } }]

type Steps = Pick<Remote<HostTrainer>, 'forward' | 'backward' | 'applyStep'>

async function takeStep (trainer: Steps | HostTrainer, step: number): Promise<void> {
  await trainer.forward([{ client: 'ada', step, activations: activations(step) }])
  await trainer.backward([{ client: 'ada', step, featureGrads: gradient(step) }])
  await trainer.applyStep(step, ['ada'])
}

test.serial('a host trainer in a worker gives the numbers of one in this thread', async t => {
  const { trainer, bringUp, stop } = await spawnTrainer({ kind: 'host', charter, backend: 'cpu' })
  const facts = await bringUp()
  t.is(facts.backend, 'cpu')
  t.true(facts.memoryBytes > 0)
  const here = new HostTrainer(await backendOn('cpu'), charter)
  const sent = activations(0)
  const shares = [{ client: 'ada', step: 0, activations: sent }]
  t.deepEqual(await trainer.forward(shares), await here.forward(shares))
  t.is(sent.data.length, 96, 'what is sent stays usable')
  const grads = (step: number) => [{ client: 'ada', step, featureGrads: gradient(step) }]
  t.deepEqual(await trainer.backward(grads(0)), await here.backward(grads(0)))
  t.deepEqual(await trainer.applyStep(0, ['ada']), here.applyStep(0, ['ada']))
  t.is(await trainer.fingerprint(), here.fingerprint())
  const error = await t.throwsAsync(backwardAlone(trainer, 'ada', 5, gradient(5)), { instanceOf: ProtocolError, code: 'ERR_LATE' })
  t.regex(error.message, /no open step 5/)
  here.dispose()
  await stop()
})

test.serial('saving, reading deltas and merging in a worker leave its state whole', async t => {
  const { trainer, stop } = await spawnTrainer({ kind: 'host', charter, backend: 'cpu' })
  const here = new HostTrainer(await backendOn('cpu'), charter)
  for (const host of [trainer, here]) {
    await takeStep(host, 0)
    await host.save()
    await host.delta()
    await takeStep(host, 1) // needs the gradient history
    const { units } = await host.delta() // needs the round's start
    await host.proposeMerge('merged', [{ id: 'a', weight: 1, units }, { id: 'b', weight: 1, units }])
    await host.accept('merged')
    await host.save()
    await takeStep(host, 2)
    const again = await host.delta()
    await host.proposeMerge('merged', [{ id: 'a', weight: 1, units: again.units }]) // needs the outer momentum
    await host.accept('merged')
  }
  t.deepEqual(byName(await trainer.save()), byName(here.save()))
  t.is(await trainer.fingerprint(), here.fingerprint())
  here.dispose()
  await stop()
})

test.serial('what keeps a trainer from being built arrives with class, code and advice', async t => {
  const nowhere = { path: './no/such/data', client: 'ada', options: { seed: 1 } }
  const error = await t.throwsAsync(spawnTrainer({ kind: 'client', charter, backend: 'cpu', data: nowhere, control: false }), { instanceOf: DataError, code: 'ERR_DATA' })
  t.regex(error.message, /no\/such\/data/)
  t.truthy(error.next)
  const broken = { ...charter, projection: { ...charter.projection, rule: 'none-such' } }
  const { bringUp, trainer, stop } = await spawnTrainer({ kind: 'host', charter: broken, backend: 'cpu' })
  await t.throwsAsync(bringUp(), { instanceOf: InvalidParametersError, code: 'ERR_INVALID_PARAMETERS' })
  await t.throwsAsync(trainer.fingerprint(), { instanceOf: InvalidParametersError })
  await stop()
})

test.serial('a trainer is built when it is first needed; a state given before is in it', async t => {
  const source = new HostTrainer(await backendOn('cpu'), charter)
  await takeStep(source, 0)
  const { trainer, bringUp, stop } = await spawnTrainer({ kind: 'host', charter, backend: 'cpu' })
  await trainer.load(source.save())
  t.is(await trainer.liveTensors(), 0, 'nothing is loaded yet')
  const [facts, fingerprint] = await Promise.all([bringUp(), trainer.fingerprint()])
  t.is(fingerprint, source.fingerprint())
  t.true(await trainer.liveTensors() > 0)
  t.deepEqual(await bringUp(), facts, 'once')
  source.dispose()
  await stop()
})

test.serial('a state of another model is refused when the trainer is built, not taken in half', async t => {
  const { trainer, bringUp, stop } = await spawnTrainer({ kind: 'host', charter, backend: 'cpu' })
  await trainer.load([{ name: 'trunk', tensor: { shape: [1], data: Float32Array.of(1) } }])
  await t.throwsAsync(bringUp(), { instanceOf: InvalidParametersError })
  await stop()
})

test.serial('a client says what it has before anything is loaded', async t => {
  const data = { path: 'scenes', client: 'camera-0', options: { seed: 1, clients: 2, rows: 24, tasks: ['seg'] } }
  const scenes = createCharter({ ...await openDataset(data.path, data.options), seed: 1, model: { width: 8, layers: 1, heads: 2, hidden: 12, embedder: { patch: 4 } } })
  const { trainer, stop } = await spawnTrainer({ kind: 'client', charter: scenes, backend: 'cpu', data, control: false })
  const { client, tasks, samples } = await trainer.describe()
  t.deepEqual([client, tasks, samples.train + samples.holdout], ['camera-0', ['seg'], 24])
  t.is(await trainer.liveTensors(), 0)
  await stop()
})

test.serial('a call that is no method fails alone; stop rejects what is pending and what comes later', async t => {
  const { trainer, stop } = await spawnTrainer({ kind: 'host', charter, backend: 'cpu' })
  await t.throwsAsync((trainer as unknown as Record<string, () => Promise<void>>).fly?.() ?? Promise.resolve(), { message: /fly/ })
  const pending = [trainer.measure(64, 256), trainer.fingerprint()]
  for (const call of pending) call.catch(() => undefined)
  await stop()
  for (const call of pending) await t.throwsAsync(call, { instanceOf: BackendError })
  await t.throwsAsync(trainer.fingerprint(), { instanceOf: BackendError })
  await t.notThrowsAsync(stop())
})

test.serial('a worker that is stopped while its rung loads ends, and what waits for it fails', async t => {
  const { bringUp, lost, stop } = await spawnTrainer({ kind: 'host', charter, backend: 'wasm' })
  let told = false
  void lost.then(() => { told = true })
  const up = bringUp()
  up.catch(() => undefined)
  await new Promise(resolve => { setTimeout(resolve, 20) }) // it has begun
  await stop()
  await t.throwsAsync(up, { instanceOf: BackendError, message: /was stopped/ })
  await t.throwsAsync(bringUp(), { instanceOf: BackendError })
  t.false(told, 'a stop is no loss')
})
