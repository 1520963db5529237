import { Worker } from 'node:worker_threads'
import { BackendError } from '../errors.ts'
import { prepareForTensorFlow } from '../backend/compat.ts'
import { fromWire } from './wire-error.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientTrainer } from '../training/client-trainer.ts'
import type { DatasetOptions } from '../data/dataset.ts'
import type { HostTrainer } from '../training/host-trainer.ts'
import type { Remote } from './remote.ts'
import type { RungName } from '../backend/ladder.ts'
import type { WireError } from './wire-error.ts'

export interface HostTrainerInit {
  readonly kind: 'host'
  readonly charter: Charter
  readonly backend?: RungName
  /** Clients that may be attached at once; with `memoryBytes`, what the room is worked out for. Default 1. */
  readonly slots?: number
  readonly memoryBytes?: number
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
}

export type TrainerInit = HostTrainerInit | ClientTrainerInit

export interface Call {
  readonly id: number
  readonly method: string
  readonly args: unknown[]
}

type Message =
  | { readonly ready: ComputeFacts }
  | { readonly failed: WireError }
  | { readonly id: number, readonly value?: unknown, readonly error?: WireError }

export interface ComputeFacts {
  readonly backend: RungName
  readonly memoryBytes: number
  /** One line for each rung that did not load. */
  readonly falls: readonly string[]
}

export interface Compute<T> {
  readonly trainer: Remote<T>
  readonly facts: ComputeFacts
  stop (): Promise<void>
}

export function spawnTrainer (init: HostTrainerInit): Promise<Compute<HostTrainer>>
export function spawnTrainer (init: ClientTrainerInit): Promise<Compute<ClientTrainer>>
/**
 * Starts a compute worker with one trainer in it.
 * @throws {ResourceError} it would not fit into memory
 * @throws {DataError | BackendError | InvalidParametersError} whatever kept the trainer from being built
 */
export async function spawnTrainer (init: TrainerInit): Promise<Compute<HostTrainer> | Compute<ClientTrainer>> {
  prepareForTensorFlow() // a worker's environment is a copy: what the native library reads must be set in this thread
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: init })
  const waiting = new Map<number, { resolve: (value: unknown) => void, reject: (error: Error) => void }>()
  let calls = 0
  let stopped: Error | undefined
  const fail = (error: Error): void => {
    stopped = error
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  }
  const facts = await new Promise<ComputeFacts>((resolve, reject) => {
    worker.on('error', error => {
      const wrapped = new BackendError(`the compute worker died: ${error.message}`, { cause: error, next: 'run `fmtl-node doctor`' })
      reject(wrapped)
      fail(wrapped)
    })
    worker.on('exit', () => {
      const reason = stopped ?? new BackendError('the compute worker has ended')
      reject(reason) // it may end before it was ready
      fail(reason)
    })
    worker.on('message', (message: Message) => {
      if ('ready' in message) return resolve(message.ready)
      if ('failed' in message) return reject(fromWire(message.failed))
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
    facts,
    stop: async () => {
      stopped = new BackendError('the compute worker was stopped')
      await worker.terminate()
    }
  } as Compute<HostTrainer> & Compute<ClientTrainer>
}
