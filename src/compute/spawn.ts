import { setTimeout as pause } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { BackendError } from '../errors.ts'
import { tuneHeap } from './heap.ts'
import { prepareForTensorFlow } from '../backend/compat.ts'
import { fromWire } from './wire-error.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientTrainer } from '../training/client-trainer.ts'
import type { DatasetOptions } from '../data/dataset.ts'
import type { HostTrainer } from '../training/host-trainer.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { PeerTrainer } from '../bench/peer-trainer.ts'
import type { Remote } from './remote.ts'
import type { RungName } from '../backend/ladder.ts'
import type { StrategyFile } from '../strategies/outside.ts'
import type { WireError } from './wire-error.ts'

export interface HostTrainerInit {
  readonly kind: 'host'
  readonly charter: Charter
  readonly backend?: RungName
  /** Clients that may be attached at once; with `memoryBytes`, what the room is worked out for. Default 1. */
  readonly slots?: number
  readonly memoryBytes?: number
  /** What its gradient rule is read from, where the charter names one from a file. */
  readonly strategyFile?: StrategyFile
  /** Weights of the charter's foundation model, where it builds on one; in shared memory they are not copied. */
  readonly start?: readonly NamedTensor[]
}

export interface ClientTrainerInit {
  readonly kind: 'client'
  readonly charter: Charter
  readonly backend?: RungName
  /** What the trainer may use; default: what the rung has. */
  readonly memoryBytes?: number
  /** Read inside the worker: rows never visit the network thread. */
  readonly data: { readonly path: string, readonly client: string, readonly options: DatasetOptions }
  readonly control: boolean
  /** Train a local model to compare with. Default true. */
  readonly baseline?: boolean
  /** Start values of embedder and heads from another seed than the charter's: an experiment, not for use. */
  readonly partsSeed?: number
  /** As a host's. */
  readonly start?: readonly NamedTensor[]
  /** The site's name on the wire. Default: its name in the data set. */
  readonly name?: string
}

export interface PeerTrainerInit extends Pick<ClientTrainerInit, 'charter' | 'backend' | 'memoryBytes' | 'data'> {
  readonly kind: 'peer'
  /** Under which its models are known to others. */
  readonly peer: string
}

export type TrainerInit = HostTrainerInit | ClientTrainerInit | PeerTrainerInit

export interface Call {
  readonly id: number
  readonly method: string
  readonly args: unknown[]
}

/** Told to a worker that must not be ended from outside: see `WorkerInit.holding`. */
export interface Stop { readonly stop: true }

export interface WorkerInit {
  readonly trainer: TrainerInit
  /** One integer in shared memory; not 0 once the worker is to stop. A pass under way sees it before any message. */
  readonly stopping: Int32Array
  /**
   * The same the other way: not 0 from before a rung loads until it is known to compute without a graphics device. The
   * library of such a device ends the whole process when its thread is ended under way. Each side sets its own before it
   * reads the other's, so that no device comes up unseen.
   */
  readonly holding: Int32Array
}

type Message =
  | { readonly ready: true }
  | { readonly failed: WireError }
  /** The graphics device is gone, and with it all that the worker held. */
  | { readonly lost: WireError }
  | { readonly id: number, readonly value?: unknown, readonly error?: WireError }

export interface ComputeFacts {
  readonly backend: RungName
  readonly memoryBytes: number
  /** One line for each rung that did not load. */
  readonly falls: readonly string[]
  /** The graphics device that computes. */
  readonly device?: string
}

export interface Compute<T> {
  readonly trainer: Remote<T>
  /** Resolves when the worker has died or lost its device: every call fails from then on. Never after `stop`. */
  readonly lost: Promise<BackendError>
  /**
   * Loads the rung and builds the trainer; once, however often it is called. A call on the trainer does it too, unless it
   * can be answered without: `describe`, `liveTensors`, and `load`, which then holds the state ready.
   * @throws {BackendError} no rung loads
   * @throws {ResourceError} it would not fit into the memory of the rung
   * @throws {InvalidParametersError} the state given to `load` is of another model
   */
  bringUp (): Promise<ComputeFacts>
  stop (): Promise<void>
}

const WORKER = new URL('./worker.ts', import.meta.url)
/** A pass on a graphics device takes milliseconds; a call that has not come back by then is left to itself: a node drains in 5 s. */
const STOP_MS = 3_000

export interface SpawnOptions {
  /** What the worker runs, in place of ./worker.ts. */
  readonly script?: URL
}

export function spawnTrainer (init: HostTrainerInit, options?: SpawnOptions): Promise<Compute<HostTrainer>>
export function spawnTrainer (init: ClientTrainerInit, options?: SpawnOptions): Promise<Compute<ClientTrainer>>
export function spawnTrainer (init: PeerTrainerInit, options?: SpawnOptions): Promise<Compute<PeerTrainer>>
/**
 * Starts a compute worker for one trainer. Its rows have been read and its work checked when this returns; nothing is
 * computed yet.
 * @throws {ResourceError} it would not fit into memory
 * @throws {DataError | InvalidParametersError} what is wrong with the rows or the model
 */
export async function spawnTrainer (init: TrainerInit, { script = WORKER }: SpawnOptions = {}): Promise<Compute<HostTrainer> | Compute<ClientTrainer> | Compute<PeerTrainer>> {
  prepareForTensorFlow() // a worker's environment is a copy: what the native library reads must be set in this thread
  tuneHeap()
  const [stopping, holding] = [new Int32Array(new SharedArrayBuffer(4)), new Int32Array(new SharedArrayBuffer(4))]
  const worker = new Worker(script, { workerData: { trainer: init, stopping, holding } satisfies WorkerInit })
  const exited = new Promise<void>(resolve => { worker.once('exit', () => { resolve() }) })
  const lost = Promise.withResolvers<BackendError>()
  const waiting = new Map<number, { resolve: (value: unknown) => void, reject: (error: Error) => void }>()
  let calls = 0
  let stopped: BackendError | undefined
  const fail = (error: BackendError): void => {
    stopped ??= error
    for (const { reject } of waiting.values()) reject(stopped)
    waiting.clear()
  }
  /** Whoever waits for `lost` knows of it before the calls fail. */
  const lose = (error: BackendError): void => {
    if (stopped === undefined) lost.resolve(error)
    fail(error)
  }
  await new Promise<void>((resolve, reject) => {
    worker.on('error', error => {
      const wrapped = new BackendError(`the compute worker died: ${error.message}`, { cause: error, next: 'run `fmtl-node doctor`' })
      reject(wrapped)
      lose(wrapped)
    })
    worker.on('exit', () => {
      const reason = stopped ?? new BackendError('the compute worker has ended')
      reject(reason) // it may end before it was ready
      lose(reason)
    })
    worker.on('message', (message: Message) => {
      if ('ready' in message) return resolve()
      if ('failed' in message) return reject(fromWire(message.failed))
      if ('lost' in message) return lose(fromWire(message.lost) as BackendError)
      const call = waiting.get(message.id)
      waiting.delete(message.id)
      if (message.error !== undefined) call?.reject(fromWire(message.error))
      else call?.resolve(message.value)
    })
  }).catch(async (error: unknown) => {
    await worker.terminate()
    throw error
  })
  const call = (method: string, args: unknown[]): Promise<unknown> => new Promise((resolve, reject) => {
    if (stopped !== undefined) return reject(stopped)
    const id = calls++
    waiting.set(id, { resolve, reject })
    worker.postMessage({ id, method, args } satisfies Call)
  })
  const trainer = new Proxy({}, {
    get: (_, name) => name === 'then' ? undefined : (...args: unknown[]) => call(String(name), args)
  })
  return {
    trainer,
    lost: lost.promise,
    bringUp: async () => await call('bringUp', []),
    stop: async () => {
      fail(new BackendError('the compute worker was stopped'))
      Atomics.store(stopping, 0, 1)
      if (Atomics.load(holding, 0) !== 0) {
        worker.postMessage({ stop: true } satisfies Stop)
        const late = new AbortController()
        await Promise.race([exited, pause(STOP_MS, undefined, { signal: late.signal }).catch(() => undefined)])
        late.abort()
      }
      if (Atomics.load(holding, 0) === 0) await worker.terminate()
      else worker.unref()
    }
  } as Compute<HostTrainer> & Compute<ClientTrainer> & Compute<PeerTrainer>
}
