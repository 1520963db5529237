/** A compute worker that a test can lose, as if its graphics device had gone. The trainer runs in this thread. */
import { BackendError } from '../../src/errors.ts'
import { queued } from '../../src/compute/remote.ts'
import type { Compute, ComputeFacts } from '../../src/compute/spawn.ts'
import type { Remote } from '../../src/compute/remote.ts'
import type { RungName } from '../../src/backend/ladder.ts'

export interface Losable<T> {
  readonly compute: Compute<T>
  lose (): void
}

export function losable<T extends object> (target: T, backend: RungName): Losable<T> {
  const lost = Promise.withResolvers<BackendError>()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => undefined)
  const inner = queued(target) as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
  const trainer = new Proxy({}, {
    get: (_, name) => name === 'then' ? undefined : async (...args: unknown[]) => await Promise.race([failed.promise, inner[String(name)]?.(...args)])
  }) as Remote<T>
  const bringUp = async (): Promise<ComputeFacts> => await Promise.race([failed.promise, { backend, memoryBytes: 2 ** 30, falls: [] }])
  return {
    compute: { trainer, bringUp, lost: lost.promise, stop: async () => {} },
    lose: () => {
      const error = new BackendError('the graphics device was lost (made up): by the test', { next: 'nothing' })
      lost.resolve(error)
      failed.reject(error)
    }
  }
}
