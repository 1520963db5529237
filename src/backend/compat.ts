/**
 * What the compute libraries need from the process before they load. @tensorflow/tfjs-node 4.22 calls
 * `util.isNullOrUndefined`, which Node 23 removed; TensorFlow's C++ side logs its greetings unless told otherwise.
 */
import { createRequire } from 'node:module'
import { totalmem } from 'node:os'

const require = createRequire(import.meta.url)

export function prepareForTensorFlow (): void {
  const util = require('node:util') as { isNullOrUndefined?: (value: unknown) => boolean }
  util.isNullOrUndefined ??= value => value == null
  // 2 = errors only. Native code sees what the main thread sets: a worker's own `process.env` is a copy.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2'
}

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
