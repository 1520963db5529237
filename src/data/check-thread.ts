/** The check by a thread of its own, so that whoever asks, a running node too, goes on meanwhile. */
import { Worker } from 'node:worker_threads'
import { DeadlineError, ResourceError } from '../errors.ts'
import type { CheckOptions, CheckReport } from './check.ts'

export interface CheckOrder {
  readonly path: string
  readonly options: CheckOptions
}

/** A million pictures of 32 x 32 take some minutes; an hour is a disk that does not answer. */
const CHECK_MS = 3_600_000

/**
 * `checkDataset` without blocking this thread.
 * @throws {DeadlineError | DOMException} an hour has passed, or the signal came
 * @throws {ResourceError} the thread ended, as it does without memory
 */
export async function checkData (path: string, options: CheckOptions, { signal }: { signal?: AbortSignal } = {}): Promise<CheckReport> {
  signal?.throwIfAborted()
  const worker = new Worker(new URL('./check-worker.ts', import.meta.url), { workerData: { path, options } satisfies CheckOrder })
  const { promise, resolve, reject } = Promise.withResolvers<CheckReport>()
  const timer = setTimeout(() => { reject(new DeadlineError(`${path}: not read within ${CHECK_MS / 60_000} minutes`, { next: 'check the disk' })) }, CHECK_MS)
  const stop = (): void => { reject(signal?.reason as Error) }
  signal?.addEventListener('abort', stop, { once: true })
  worker.once('message', resolve)
  worker.once('error', (cause: Error & { code?: string }) => {
    reject(cause.code === 'ERR_WORKER_OUT_OF_MEMORY' ? new ResourceError(`${path}: not enough memory to read it`, { cause, next: 'divide the files' }) : cause)
  })
  worker.once('exit', (code) => { reject(new ResourceError(`${path}: the thread that reads it ended with status ${code}`)) })
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
    await worker.terminate()
  }
}
