/** A condition that has held for a while, looked at every now and then. */
import { setTimeout as pause } from 'node:timers/promises'

/** How often it is looked at, ms. */
const LOOK_MS = 200

/**
 * Resolves when the condition has held for `ms`.
 * @throws the signal's reason
 */
export async function held (condition: () => boolean, ms: number, signal: AbortSignal): Promise<void> {
  for (let since: number | undefined; ;) {
    signal.throwIfAborted()
    since = condition() ? since ?? performance.now() : undefined
    if (since !== undefined && performance.now() - since >= ms) return
    await pause(LOOK_MS, undefined, { signal }).catch(() => { signal.throwIfAborted() })
  }
}
