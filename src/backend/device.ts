/**
 * A graphics device behind a rung. It is taken away by its driver (a reset, a suspended laptop, an unplugged card) or fails
 * while the process lives on, and WebGPU then computes zeros in silence: what it gave since must not be used.
 */
import { BackendError, FmtlError } from '../errors.ts'

export interface Device {
  /** As the driver calls it. */
  readonly name: string
  /** Resolves once, when the device is gone or can no longer be trusted; never rejects. */
  readonly lost: Promise<BackendError>
  /** @throws {BackendError} the device is lost, so that numbers read before this call may be wrong; or it is asked to end */
  check (): void
  /** From now on `check` also throws once `asked` says so: it stands between any two operations of a pass. */
  interruptWhen (asked: () => boolean): void
  /** What to report in place of `cause`, which may be the loss as some library met it. */
  explain (cause: unknown): Promise<unknown>
  /** Gives it back; reads under way are rejected. */
  close (): void
}

/** The part of WebGPU's `GPUDevice` that tells of its end. */
export interface GpuDevice {
  readonly lost: Promise<{ readonly reason: string, readonly message: string }>
  addEventListener (type: 'uncapturederror', listener: (event: { readonly error: { readonly message: string } }) => void): void
  destroy (): void
}

/** A read that was cut off is rejected before or after the loss is told, within one turn of the device's own loop. */
const EXPLAIN_MS = 1_000

const NEXT = 'look for a driver reset in the system log; FMTL_BACKEND=tensorflow computes without the graphics device'

export function watchDevice (name: string, gpu: GpuDevice): Device {
  const { promise, resolve } = Promise.withResolvers<BackendError>()
  let error: BackendError | undefined
  let interrupted = (): boolean => false
  const lose = (reason: string): void => {
    if (error !== undefined) return
    error = new BackendError(`the graphics device was lost (${name}): ${reason}`, { next: NEXT })
    resolve(error)
  }
  void gpu.lost.then(({ reason, message }) => { lose(firstLine(message) || reason) })
  // Out of memory, or an operation that the device refused: its result is zeros, and buffers that failed are used again.
  gpu.addEventListener('uncapturederror', event => {
    lose(firstLine(event.error.message))
    gpu.destroy()
  })
  return {
    name,
    lost: promise,
    check: () => {
      if (error !== undefined) throw error
      if (interrupted()) throw new BackendError('stopped under way')
    },
    interruptWhen: asked => { interrupted = asked },
    explain: async cause => {
      if (cause instanceof FmtlError || error !== undefined) return error ?? cause
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>(resolve => { timer = setTimeout(resolve, EXPLAIN_MS) })
      await Promise.race([promise, late])
      clearTimeout(timer)
      return error ?? cause
    },
    close: () => { gpu.destroy() }
  }
}

function firstLine (text: string): string { return (text.split('\n', 1)[0] ?? '').trim() }
