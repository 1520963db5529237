/** The one place that decides which executor runs a model on a rung. */
import { BackendError, InvalidParametersError } from '../errors.ts'
import { createCompiledBackend } from './compiled/compiled.ts'
import { createEagerBackend } from './eager.ts'
import type { Backend } from './backend.ts'
import type { Rung } from './rungs/rung.ts'

export type Executor = 'compiled' | 'eager'

export interface BackendOptions {
  /** Default: the environment's FMTL_EXECUTOR, else compiled graphs where the rung has them. */
  executor?: Executor
  /** One line for each kind of model part that does not compile and runs eagerly instead. */
  onFall?: (line: string) => void
}

/** @throws {InvalidParametersError} FMTL_EXECUTOR names no executor */
export function createBackend (rung: Rung, options: BackendOptions = {}): Backend {
  const { executor = chosen(), onFall } = options
  const eager = createEagerBackend(rung)
  if (rung.name !== 'tensorflow' || executor === 'eager') return eager
  const compiled = createCompiledBackend(rung)
  const falls = new Set<string>()
  return {
    ...compiled,
    load: program => {
      try {
        return compiled.load(program)
      } catch (err) {
        if (!(err instanceof BackendError)) throw err
        if (!falls.has(err.message)) onFall?.(`${err.message}; it runs operation by operation instead`)
        falls.add(err.message)
        return eager.load(program)
      }
    }
  }
}

function chosen (): Executor {
  const name = process.env.FMTL_EXECUTOR ?? 'compiled'
  if (name !== 'compiled' && name !== 'eager') throw new InvalidParametersError(`FMTL_EXECUTOR is ${name}; known: compiled, eager`)
  return name
}
