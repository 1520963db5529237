/** Where a node's control socket is: one function, so that the daemon and its commands mean the same place. */
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A socket's path has room for 104 bytes on macOS and 108 on Linux, the closing zero among them. */
const MAX_PATH_BYTES = 100

export interface ControlPath {
  readonly path: string
  /** A folder outside the home that has to be made for it, and must be this user's alone. */
  readonly folder?: string
}

/** @param home - absolute */
export function controlPath (home: string, platform: NodeJS.Platform = process.platform, temporary = tmpdir()): ControlPath {
  const name = createHash('sha256').update(home).digest('hex').slice(0, 16)
  if (platform === 'win32') return { path: `\\\\.\\pipe\\fmtl-${name}` }
  const path = join(home, 'control.sock')
  if (Buffer.byteLength(path) <= MAX_PATH_BYTES) return { path }
  const folder = join(temporary, `fmtl-${name}`)
  return { path: join(folder, 'control.sock'), folder }
}
