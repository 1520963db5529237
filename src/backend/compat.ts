/**
 * What the compute libraries need from the process before they load. @tensorflow/tfjs-node 4.22 calls
 * `util.isNullOrUndefined`, which Node 23 removed; TensorFlow's C++ side logs its greetings unless told otherwise.
 */
import { createRequire } from 'node:module'
import { availableParallelism, totalmem } from 'node:os'
import { LANES } from './compiled/lanes.ts'

const require = createRequire(import.meta.url)

export function prepareForTensorFlow (): void {
  const util = require('node:util') as { isNullOrUndefined?: (value: unknown) => boolean }
  util.isNullOrUndefined ??= value => value == null
  // 2 = errors only. Native code sees what the main thread sets: a worker's own `process.env` is a copy.
  for (const [name, value] of Object.entries({ TF_CPP_MIN_LOG_LEVEL: '2', ...threadSettings(availableParallelism()) })) process.env[name] ??= value
}

/**
 * TensorFlow's settings for `threads` threads: as many operations at a time, and each of them on as many as lanes leave it.
 * Its own default, all cores for each, has lanes wait for each other: on 2 cores a pass takes half as long again.
 */
export function threadSettings (threads: number): Record<'TF_NUM_INTEROP_THREADS' | 'TF_NUM_INTRAOP_THREADS', string> {
  return { TF_NUM_INTEROP_THREADS: String(threads), TF_NUM_INTRAOP_THREADS: String(Math.max(1, Math.floor(threads / LANES))) }
}

/** Operations that TensorFlow runs at a time, as it reads its environment. */
export function threadsInUse (): number { return Number(process.env.TF_NUM_INTEROP_THREADS ?? availableParallelism()) }

/** Drops the listeners that emscripten adds to `process`: they turn any rejection anywhere into a crash of the daemon. */
export async function withoutProcessListeners<T> (load: () => Promise<T>): Promise<T> {
  const events = ['uncaughtException', 'unhandledRejection'] as const
  const before = events.map(event => new Set<unknown>(process.listeners(event as 'uncaughtException')))
  try {
    return await load()
  } finally {
    events.forEach((event, i) => {
      for (const listener of process.listeners(event as 'uncaughtException')) {
        if (before[i]?.has(listener) !== true) process.removeListener(event, listener)
      }
    })
  }
}

/** Memory this process may use, in bytes: the machine's, or its container's limit where that is lower. */
export function usableMemoryBytes (): number {
  const limit = process.constrainedMemory() // 0 without a limit
  return limit > 0 ? Math.min(totalmem(), limit) : totalmem()
}
