/**
 * The compute worker: the only thread of a daemon that touches tensors. It brings up a backend rung, builds one trainer
 * and answers calls in order. Tensor buffers are transferred, not copied.
 */
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { createBackend } from '../backend/index.ts'
import { loadBestRung } from '../backend/ladder.ts'
import { ClientTrainer } from '../training/client-trainer.ts'
import { HostTrainer } from '../training/host-trainer.ts'
import { estimateClient, estimateHost, expectRoom } from '../training/memory.ts'
import { openDataset } from '../data/open.ts'
import { queued } from './remote.ts'
import { toWire } from './wire-error.ts'
import { transferables } from './transfer.ts'
import type { Call, Stop, TrainerInit, WorkerInit } from './spawn.ts'
import type { Device } from '../backend/device.ts'

/**
 * Computing yields to the threads that answer peers. On Linux a priority belongs to a thread, and threads that this one
 * starts inherit it; elsewhere it would slow the whole process down. One run each of ten processes on two busy cores: p99
 * lag of the hosts' network threads 130 and 145 ms without, 47 and 56 ms with it.
 */
const NICENESS = 10
if (process.platform === 'linux') setPriority(NICENESS)

const port = parentPort
if (port === null) throw new Error('the compute worker is started by src/compute/spawn.ts')

type Trainer = Readonly<Record<string, (...args: unknown[]) => Promise<unknown>>>

async function build (init: TrainerInit): Promise<{ trainer: Trainer, facts: object, device: Device | undefined }> {
  const falls: string[] = []
  const onFall = (line: string): void => { falls.push(line) }
  const rung = await loadBestRung({ ...init.backend === undefined ? {} : { prefer: init.backend }, onFall })
  const backend = createBackend(rung, { onFall }) // models are loaded while the trainer is built, before the facts are posted
  const { device } = rung
  const facts = { backend: rung.name, memoryBytes: rung.memoryBytes, falls, ...device === undefined ? {} : { device: device.name } }
  const memoryBytes = init.memoryBytes ?? rung.memoryBytes
  if (init.kind === 'host') {
    expectRoom('a host', estimateHost(init.charter, init.slots ?? 1), memoryBytes)
    return { trainer: queued(new HostTrainer(backend, init.charter)) as unknown as Trainer, facts, device }
  }
  const dataset = await openDataset(init.data.path, init.data.options)
  const data = await dataset.client(init.data.client)
  expectRoom(`client ${data.id}`, estimateClient(init.charter, data, init.control), memoryBytes)
  const options = { control: init.control, ...init.partsSeed === undefined ? {} : { partsSeed: init.partsSeed } }
  return { trainer: queued(new ClientTrainer(backend, init.charter, data, options)) as unknown as Trainer, facts, device }
}

try {
  const { trainer: init, stopping } = workerData as WorkerInit
  const { trainer, facts, device } = await build(init)
  device?.interruptWhen(() => Atomics.load(stopping, 0) !== 0)
  const running = new Set<Promise<unknown>>()
  const answer = async ({ id, method, args }: Call): Promise<void> => {
    try {
      const call = trainer[method]
      if (call === undefined) throw new Error(`no method ${method}`)
      const value = await call(...args)
      port.postMessage({ id, value }, transferables(value))
    } catch (error) {
      port.postMessage({ id, error: toWire(error) })
    }
  }
  port.on('message', (message: Call | Stop) => {
    if ('stop' in message) {
      device?.close() // what reads under way wait for; the thread ends when the last of them has failed
      Promise.allSettled(running).then(() => { port.close() }, () => undefined)
      return
    }
    const ended = answer(message).then(() => { running.delete(ended) })
    running.add(ended)
  })
  device?.lost.then(error => { port.postMessage({ lost: toWire(error) }) }, () => undefined)
  port.postMessage({ ready: facts })
} catch (error) {
  port.postMessage({ failed: toWire(error) })
}
