/**
 * Files that are there whole or not at all: written under a temporary name, flushed, renamed, and the folder flushed so
 * that the new name outlives a power cut. What a kill leaves behind ends in `.tmp` and is nobody's.
 */
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { ResourceError } from '../../src/errors.ts'

export const TEMPORARY = '.tmp'

let written = 0

/**
 * @param mode - permission bits of a file that others must not read
 * @throws {ResourceError} disk full, no permission, read-only; what stood at `path` before still stands
 */
export async function writeDurably (path: string, bytes: Uint8Array, mode = 0o666): Promise<void> {
  const temporary = `${path}.${process.pid}-${written++}${TEMPORARY}`
  try {
    const file = await open(temporary, 'wx', mode)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    await syncFolder(dirname(path))
  } catch (err) {
    await rm(temporary, { force: true }).catch(() => {}) // the first failure is the one to report
    throw diskError(err, `${path} not written`, dirname(path))
  }
}

/** One line for what the operating system said; anything that did not come from it is thrown on as it is. */
export function diskError (err: unknown, what: string, folder: string): unknown {
  const code = (err as NodeJS.ErrnoException | undefined)?.code
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new ResourceError(`${what}: no space left on the disk`, { cause: err, next: `df -h ${folder}` })
    case 'EFBIG':
      return new ResourceError(`${what}: larger than the system's limit for one file`, { cause: err, next: 'ulimit -f unlimited' })
    case 'EACCES':
    case 'EPERM':
      return new ResourceError(`${what}: permission denied`, { cause: err, next: `ls -ld ${folder}` })
    case 'EROFS':
      return new ResourceError(`${what}: the disk is mounted read-only`, { cause: err, next: `findmnt -T ${folder}` })
    default:
      return code?.startsWith('E') === true && (err as NodeJS.ErrnoException).syscall !== undefined
        ? new ResourceError(`${what}: ${(err as Error).message}`, { cause: err, next: `ls -ld ${folder}` })
        : err
  }
}

/** How often a full disk is tried again, ms. */
const FULL_DISK_RETRY_MS = 5_000

/**
 * Waits, for as long as there is no space, and tries again: a full disk is somebody's to clear, not a reason to lose a round.
 * @param write - may be called several times
 * @throws whatever else goes wrong; the signal's reason
 */
export async function whenThereIsSpace<T> (write: () => Promise<T>, options: { signal: AbortSignal, onWaiting: (reason: string) => void, retryMs?: number }): Promise<T> {
  for (;;) {
    try {
      return await write()
    } catch (err) {
      const { code } = (err as { cause?: NodeJS.ErrnoException }).cause ?? {}
      if (!(err instanceof ResourceError) || (code !== 'ENOSPC' && code !== 'EDQUOT')) throw err
      options.signal.throwIfAborted()
      options.onWaiting(`waiting: ${err.message}, tried again every ${FULL_DISK_RETRY_MS / 1000} s (${err.next})`)
      await pause(options.retryMs ?? FULL_DISK_RETRY_MS, undefined, { signal: options.signal })
    }
  }
}

/** So that the names in it outlive a power cut. */
export async function syncFolder (path: string): Promise<void> {
  if (process.platform === 'win32') return // folders cannot be opened there; NTFS journals the name
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
