/**
 * V8's collector, told what tensors do to a heap. Their bytes lie outside it, and V8 collects everything whenever 64 MiB of
 * them have come: with a trunk's gradients of 3 MiB, every few steps. Counted in its usual limit they wait for the next
 * ordinary collection; in a larger nursery they are dead before they are moved. Split training gains a fifth by it.
 */
import { setFlagsFromString } from 'node:v8'

/** Survivors of one step's small objects fit, twice; 32 and 64 were no faster. */
const NURSERY = '--min-semi-space-size=16'

/**
 * For a process that is started from here, beside the nursery: old space that is not collected before it has 256 MiB, counting
 * tensors, and then by the thread that owns it. Helpers that mark beside it took a tenth of two cores from the tensors and held
 * the network thread up for longer: with them, the slowest hundredth of its turns 13 to 20 ms late, without 8 to 14.
 */
export const HEAP_FLAGS: readonly string[] = [NURSERY, '--initial-old-space-size=256', '--no-concurrent-marking']

/** For this thread, and for workers that start later. A V8 that knows no such flag goes on without. */
export function tuneHeap (): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit')
  setFlagsFromString(NURSERY)
}
