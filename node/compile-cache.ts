/**
 * Compiled code and stripped types, kept from one start to the next: a quarter of the time a daemon takes to start. The
 * folder is this user's own, beside the TensorFlow library that setup keeps: whoever can write there can run code as us.
 */
import module from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Also as NODE_COMPILE_CACHE of a process that is started from here. */
export function compileCacheFolder (): string {
  const caches = process.platform === 'win32'
    ? process.env.LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local')
    : process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  return join(caches, 'fmtl-node', 'compiled')
}

/** For all that is imported from now on, here and in workers. Where the folder cannot be written, the start takes longer. */
export function keepCompiled (): void { module.enableCompileCache(compileCacheFolder()) }
