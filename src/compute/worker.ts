/**
 * The compute worker: the only thread of a daemon that touches tensors. It checks its work at once (rows, model, room) and
 * says that it is ready; the backend rung is loaded and the trainer built when somebody first needs them, because TensorFlow
 * takes 200 MB that a node which only waits can do without. Calls are answered in order; tensor buffers are transferred,
 * not copied.
 */
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { createBackend } from '../backend/index.ts'
import { loadBestRung } from '../backend/ladder.ts'
import { ClientTrainer } from '../training/client-trainer.ts'
import { HostTrainer } from '../training/host-trainer.ts'
import { describeClient } from '../training/client-description.ts'
import { estimateClient, estimateHost, expectRoom } from '../training/memory.ts'
import { openDataset } from '../data/open.ts'
import { queued } from './remote.ts'
import { toWire } from './wire-error.ts'
import { transferables } from './transfer.ts'
import { usableMemoryBytes } from '../backend/compat.ts'
import type { Backend } from '../backend/backend.ts'
import type { Call, ComputeFacts, TrainerInit } from './spawn.ts'
import type { ClientDescription } from '../training/client-description.ts'
import type { MemoryEstimate } from '../training/memory.ts'
import type { NamedTensor } from '../tensor/tensor.ts'

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

/** Work that has been checked and costs no more than its rows yet. */
interface Prepared {
  readonly what: string
  /** For a trainer that may use so many bytes. */
  readonly estimate: (memoryBytes: number) => MemoryEstimate
  readonly description?: ClientDescription
  readonly build: (backend: Backend, memoryBytes: number) => HostTrainer | ClientTrainer
}

async function prepare (init: TrainerInit): Promise<Prepared> {
  const { charter } = init
  if (init.kind === 'host') {
    return {
      what: 'a host',
      estimate: memoryBytes => estimateHost(charter, init.slots ?? 1, memoryBytes),
      build: (backend, memoryBytes) => new HostTrainer(backend, charter, memoryBytes)
    }
  }
  const dataset = await openDataset(init.data.path, init.data.options)
  const data = await dataset.client(init.data.client)
  const { control, baseline = true, partsSeed } = init
  return {
    what: `client ${data.id}`,
    estimate: () => estimateClient(charter, data, baseline ? (control ? 2 : 1) : 0),
    description: describeClient(charter, data),
    build: backend => new ClientTrainer(backend, charter, data, { control, baseline, ...partsSeed === undefined ? {} : { partsSeed } })
  }
}

/** A trainer that is built when it is first needed. What can be said without it is said without it. */
class Lazy {
  readonly #init: TrainerInit
  readonly #work: Prepared
  #state: readonly NamedTensor[] | undefined
  #built: Promise<{ trainer: Trainer, facts: ComputeFacts }> | undefined

  constructor (init: TrainerInit, work: Prepared) {
    this.#init = init
    this.#work = work
    const memoryBytes = init.memoryBytes ?? usableMemoryBytes()
    expectRoom(work.what, work.estimate(memoryBytes), memoryBytes)
  }

  async answer (method: string, args: unknown[]): Promise<unknown> {
    if (this.#built === undefined) {
      switch (method) {
        case 'describe': return this.#work.description
        case 'liveTensors': return 0
        case 'load':
          this.#state = args[0] as readonly NamedTensor[]
          return
      }
    }
    const { trainer, facts } = await (this.#built ??= this.#build())
    if (method === 'bringUp') return facts
    const call = trainer[method]
    if (call === undefined) throw new Error(`no method ${method}`)
    return await call(...args)
  }

  async #build (): Promise<{ trainer: Trainer, facts: ComputeFacts }> {
    const { backend: prefer } = this.#init
    const { what, estimate, build } = this.#work
    const falls: string[] = []
    const onFall = (line: string): void => { falls.push(line) }
    const rung = await loadBestRung({ ...prefer === undefined ? {} : { prefer }, onFall })
    const memoryBytes = this.#init.memoryBytes ?? rung.memoryBytes
    expectRoom(what, estimate(memoryBytes), memoryBytes)
    const trainer = build(createBackend(rung, { onFall }), memoryBytes)
    if (this.#state !== undefined) trainer.load(this.#state)
    this.#state = undefined
    return { trainer: queued(trainer) as unknown as Trainer, facts: { backend: rung.name, memoryBytes: rung.memoryBytes, falls } }
  }
}

try {
  const init = workerData as TrainerInit
  const trainer = new Lazy(init, await prepare(init))
  port.on('message', ({ id, method, args }: Call) => {
    trainer.answer(method, args).then(
      value => { port.postMessage({ id, value }, transferables(value)) },
      (error: unknown) => { port.postMessage({ id, error: toWire(error) }) })
  })
  port.postMessage({ ready: true })
} catch (error) {
  port.postMessage({ failed: toWire(error) })
}
