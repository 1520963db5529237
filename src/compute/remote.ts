/**
 * Trainers behind promises, one call at a time. The roles talk to a trainer through this face whether it sits in a worker
 * thread (./spawn.ts) or in the same thread (tests, the simulator).
 */
export type Remote<T> = {
  readonly [K in keyof T as T[K] extends (...args: never[]) => unknown ? K : never]:
  T[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never
}

type Method = (...args: unknown[]) => unknown

/** Calls on `target`, queued: a call begins when the one before has ended, whatever it awaits. */
export function queued<T extends object> (target: T): Remote<T> {
  let last: Promise<unknown> = Promise.resolve()
  const call = (name: string | symbol, args: unknown[]): Promise<unknown> => {
    const next = last.then(() => ((target as Record<string | symbol, Method>)[name] as Method).apply(target, args))
    last = next.catch(() => undefined)
    return next
  }
  return new Proxy({} as Remote<T>, {
    // A promise asks everything it is given for `then`; nothing but methods is there.
    get: (_, name) => typeof (target as Record<string | symbol, unknown>)[name] === 'function' ? (...args: unknown[]) => call(name, args) : undefined
  })
}
