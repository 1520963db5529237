/** Compute workers on a graphics device, here in software: the device is lost, or the worker is stopped, under way. */
import test from 'ava'
import { BackendError } from '../../src/errors.ts'
import { loadRung } from '../../src/backend/ladder.ts'
import { noise } from '../helpers/parts.ts'
import { forwardAlone, smallCharter } from '../helpers/federation.ts'
import { spawnTrainer } from '../../src/compute/spawn.ts'
import { useSoftwareGpu } from '../helpers/software-gpu.ts'
import { LEVEL } from '../helpers/synthetic.ts'

useSoftwareGpu()
const missing = await loadRung('webgpu').then(rung => { rung.device?.close() }, (error: Error) => error)
const title = (text: string): string => missing === undefined ? text : `${text} (skipped: ${missing.message})`
const onDevice = missing === undefined ? test.serial : test.skip

const charter = smallCharter([LEVEL])
const init = { kind: 'host', charter, backend: 'webgpu' } as const
const activations = noise([3, 4, 8], 1)

onDevice(title('a device that is lost fails the call under way and all later ones; a new worker has a new device'), async t => {
  const first = await spawnTrainer(init, { script: new URL('../helpers/losing-worker.ts', import.meta.url) })
  t.truthy((await first.bringUp()).device)
  const features = await forwardAlone(first.trainer, 'ada', 0, activations)
  const channel = new BroadcastChannel('lose-device')
  const call = first.trainer.measure(16, 32)
  channel.postMessage('now')
  const error = await t.throwsAsync(call, { instanceOf: BackendError, code: 'ERR_BACKEND', message: /^the graphics device was lost \([^\n]+\): [^\n]+$/ })
  t.truthy(error.next)
  t.is((await first.lost).message, error.message)
  await t.throwsAsync(first.trainer.fingerprint(), { instanceOf: BackendError, message: error.message })
  channel.close()
  await first.stop()
  const second = await spawnTrainer(init)
  t.deepEqual(await forwardAlone(second.trainer, 'ada', 0, activations), features)
  await second.stop()
})

onDevice(title('a worker that is stopped while its device comes up ends by itself, too'), async t => {
  const { bringUp, stop } = await spawnTrainer(init)
  const up = bringUp()
  await new Promise(resolve => { setTimeout(resolve, 50) }) // the rung is loading
  const stopped = stop()
  await t.throwsAsync(up, { instanceOf: BackendError, message: /was stopped/ })
  await stopped
})

onDevice(title('a worker that is stopped under way ends by itself and takes nothing along'), async t => {
  const { trainer, lost, stop } = await spawnTrainer(init)
  let told = false
  void lost.then(() => { told = true })
  const call = trainer.measure(16, 32)
  await new Promise(resolve => { setTimeout(resolve, 100) }) // it is at work
  const stopped = stop()
  await t.throwsAsync(call, { instanceOf: BackendError, message: /was stopped/ })
  await stopped
  await t.throwsAsync(trainer.fingerprint(), { instanceOf: BackendError })
  t.false(told, 'a stop is no loss')
})
