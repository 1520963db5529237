/**
 * The compute worker: the only thread of a daemon that touches tensors. It checks its work at once (rows, model, room) and
 * says that it is ready; the backend rung is loaded and the trainer built when somebody first needs them, because TensorFlow
 * takes 200 MB that a node which only waits can do without. Calls are answered in order; tensor buffers are transferred,
 * not copied.
 */
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { BackendError } from '../errors.ts'
import { createBackend } from '../backend/index.ts'
import { loadBestRung } from '../backend/ladder.ts'
import { ClientTrainer } from '../training/client-trainer.ts'
import { HostTrainer } from '../training/host-trainer.ts'
import { asMember } from '../data/check-charter.ts'
import { PeerTrainer, describePeer } from '../bench/peer-trainer.ts'
import { describeClient } from '../training/client-description.ts'
import { expectFoundation } from '../foundation/spec.ts'
import { estimateClient, estimateHost, estimatePeer, expectRoom } from '../training/memory.ts'
import { loadStrategy } from '../strategies/outside.ts'
import { openDataset } from '../data/open.ts'
import { passWork } from '../training/work.ts'
import { queued } from './remote.ts'
import { seatOf } from '../methods/seat.ts'
import { toWire } from './wire-error.ts'
import { transferables } from './transfer.ts'
import { usableMemoryBytes } from '../backend/compat.ts'
import type { Backend } from '../backend/backend.ts'
import type { Call, ComputeFacts, Stop, TrainerInit, WorkerInit } from './spawn.ts'
import type { ClientDescription } from '../training/client-description.ts'
import type { Device } from '../backend/device.ts'
import type { MemoryEstimate } from '../training/memory.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { PeerDescription } from '../bench/peer-trainer.ts'
import type { Rung, RungName } from '../backend/ladder.ts'

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
  readonly description?: ClientDescription | PeerDescription
  readonly build: (backend: Backend, memoryBytes: number) => HostTrainer | ClientTrainer | PeerTrainer
}

async function prepare (init: TrainerInit): Promise<Prepared> {
  const { charter } = init
  expectFoundation(charter.model.backbone.foundation, init.kind === 'peer' ? [] : init.start)
  if (init.kind === 'host') {
    const { rule } = init.strategyFile === undefined ? {} : await loadStrategy(init.strategyFile)
    return {
      what: 'a host',
      estimate: memoryBytes => estimateHost(charter, init.slots ?? 1, memoryBytes),
      build: (backend, memoryBytes) => new HostTrainer(backend, charter, memoryBytes, rule, init.start)
    }
  }
  const dataset = await openDataset(init.data.path, init.data.options)
  const data = asMember(charter, await dataset.client(init.data.client))
  if (init.kind === 'peer') {
    const { peer } = init
    return {
      what: `peer ${data.id}`,
      estimate: () => estimatePeer(charter, data),
      description: describePeer(charter, data),
      build: backend => new PeerTrainer(backend, charter, data, { peer })
    }
  }
  const { control, baseline = true, partsSeed, start, name = data.id } = init
  return {
    what: `client ${data.id}`,
    estimate: () => estimateClient(charter, data, baseline ? (control ? 2 : 1) : 0),
    description: describeClient(charter, data),
    build: backend => new ClientTrainer(backend, charter, data, { control, baseline, ...start === undefined ? {} : { start }, seat: seatOf(dataset.clientIds, data.id, name), ...partsSeed === undefined ? {} : { partsSeed } })
  }
}

/** A trainer that is built when it is first needed. What can be said without it is said without it. */
class Lazy {
  readonly #init: WorkerInit
  readonly #work: Prepared
  readonly #onLost: (error: BackendError) => void
  #state: readonly NamedTensor[] | undefined
  #device: Device | undefined
  #built: Promise<{ trainer: Trainer, facts: ComputeFacts }> | undefined

  constructor (init: WorkerInit, work: Prepared, onLost: (error: BackendError) => void) {
    this.#init = init
    this.#work = work
    this.#onLost = onLost
    const memoryBytes = init.trainer.memoryBytes ?? usableMemoryBytes()
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

  /** Gives the graphics device back: what reads under way wait for. */
  close (): void { this.#device?.close() }

  async #build (): Promise<{ trainer: Trainer, facts: ComputeFacts }> {
    const { backend: prefer, memoryBytes: given } = this.#init.trainer
    const { what, estimate, build } = this.#work
    const falls: string[] = []
    const onFall = (line: string): void => { falls.push(line) }
    const rung = await this.#loadRung(prefer, onFall)
    const memoryBytes = given ?? rung.memoryBytes
    expectRoom(what, estimate(memoryBytes), memoryBytes)
    const trainer = build(createBackend(rung, { onFall }), memoryBytes)
    if (this.#state !== undefined) trainer.load(this.#state)
    this.#state = undefined
    const { device } = rung
    const facts = { backend: rung.name, memoryBytes: rung.memoryBytes, falls, ...device === undefined ? {} : { device: device.name } }
    return { trainer: queued(trainer) as unknown as Trainer, facts }
  }

  async #loadRung (prefer: RungName | undefined, onFall: (line: string) => void): Promise<Rung> {
    const { stopping, holding, trainer: { charter, kind } } = this.#init
    const stopped = (): boolean => Atomics.load(stopping, 0) !== 0
    const expectGoing = (): void => { if (stopped()) throw new BackendError('stopped while it was loading') }
    Atomics.store(holding, 0, 1)
    try {
      expectGoing()
      const rung = await loadBestRung({ prefer, work: passWork(charter, kind), onFall })
      this.#device = rung.device
      rung.device?.interruptWhen(stopped)
      rung.device?.lost.then(this.#onLost, () => undefined)
      expectGoing()
      return rung
    } finally {
      if (this.#device === undefined) Atomics.store(holding, 0, 0)
      else if (stopped()) this.#device.close()
    }
  }
}

try {
  const init = workerData as WorkerInit
  const trainer = new Lazy(init, await prepare(init.trainer), error => { port.postMessage({ lost: toWire(error) }) })
  const running = new Set<Promise<unknown>>()
  const answer = async ({ id, method, args }: Call): Promise<void> => {
    try {
      const value = await trainer.answer(method, args)
      port.postMessage({ id, value }, transferables(value))
    } catch (error) {
      port.postMessage({ id, error: toWire(error) })
    }
  }
  port.on('message', (message: Call | Stop) => {
    if ('stop' in message) {
      trainer.close()
      Promise.allSettled(running).then(() => { port.close() }, () => undefined) // the thread ends when the last read has failed
      return
    }
    const ended = answer(message).then(() => { running.delete(ended) })
    running.add(ended)
  })
  port.postMessage({ ready: true })
} catch (error) {
  port.postMessage({ failed: toWire(error) })
}
