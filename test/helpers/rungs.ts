/** Backends for tests. One process has one rung at a time: call these inside serial tests. */
import { createBackend } from '../../src/backend/index.ts'
import { loadRung } from '../../src/backend/ladder.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { ExecutionContext } from 'ava'
import type { RungName } from '../../src/backend/ladder.ts'

export async function backendOn (rung: RungName): Promise<Backend> { return createBackend(await loadRung(rung)) }

/** The rung's backend, or undefined with the reason logged where it does not load on this machine. */
export async function backendIfAny (t: ExecutionContext, rung: RungName): Promise<Backend | undefined> {
  try {
    return await backendOn(rung)
  } catch (error) {
    t.log(`skipped: ${(error as Error).message}`)
    t.pass()
    return undefined
  }
}
