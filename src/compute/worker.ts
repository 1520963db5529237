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
import type { Call, TrainerInit } from './spawn.ts'

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

async function build (init: TrainerInit): Promise<{ trainer: Trainer, facts: object }> {
  const falls: string[] = []
  const onFall = (line: string): void => { falls.push(line) }
  const rung = await loadBestRung({ ...init.backend === undefined ? {} : { prefer: init.backend }, onFall })
  const backend = createBackend(rung, { onFall }) // models are loaded while the trainer is built, before the facts are posted
  const facts = { backend: rung.name, memoryBytes: rung.memoryBytes, falls }
  const memoryBytes = init.memoryBytes ?? rung.memoryBytes
  if (init.kind === 'host') {
    expectRoom('a host', estimateHost(init.charter, init.slots ?? 1), memoryBytes)
    return { trainer: queued(new HostTrainer(backend, init.charter)) as unknown as Trainer, facts }
  }
  const dataset = await openDataset(init.data.path, init.data.options)
  const data = await dataset.client(init.data.client)
  expectRoom(`client ${data.id}`, estimateClient(init.charter, data, init.baseline === false ? 0 : init.control ? 2 : 1), memoryBytes)
  const options = { control: init.control, baseline: init.baseline ?? true, ...init.partsSeed === undefined ? {} : { partsSeed: init.partsSeed } }
  return { trainer: queued(new ClientTrainer(backend, init.charter, data, options)) as unknown as Trainer, facts }
}

try {
  const { trainer, facts } = await build(workerData as TrainerInit)
  port.on('message', ({ id, method, args }: Call) => {
    const answer = trainer[method]
    const result = answer === undefined ? Promise.reject(new Error(`no method ${method}`)) : answer(...args)
    result.then(
      value => { port.postMessage({ id, value }, transferables(value)) },
      (error: unknown) => { port.postMessage({ id, error: toWire(error) }) })
  })
  port.postMessage({ ready: facts })
} catch (error) {
  port.postMessage({ failed: toWire(error) })
}
