/** Where things are: in a checkout, and where npm has put this package into somebody else's node_modules. */
import { accessSync, constants, existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..')
export const MODULES = join(ROOT, 'node_modules')
export const PLATFORM = `${process.platform}-${process.arch}`

const WINDOWS = process.platform === 'win32'

/** The folder of an installed package, or undefined. */
export function packageDir (name) {
  try {
    return dirname(createRequire(join(ROOT, 'package.json')).resolve(`${name}/package.json`))
  } catch {
    return undefined
  }
}

/** The Node 24 that the npm package `node` brings, or undefined. */
export function bundledNode () {
  const dir = packageDir('node')
  const file = dir == null ? '' : join(dir, 'bin', WINDOWS ? 'node.exe' : 'node')
  return existsSync(file) ? file : undefined
}

/** Does the running Node run TypeScript by itself (22.18 and newer)? */
export function runsTypeScript () {
  return Boolean(process.features.typescript)
}

/** Full path of a command, or undefined. */
export function which (command) {
  const suffixes = WINDOWS ? (process.env.PATHEXT ?? '.EXE;.CMD').split(';') : ['']
  for (const dir of (process.env.PATH ?? '').split(delimiter)) {
    for (const suffix of suffixes) {
      const file = resolve(dir, command + suffix) // an absolute `command` stays what it is
      try {
        accessSync(file, constants.X_OK)
        return file
      } catch {}
    }
  }
  return undefined
}

/** One per user, so that a second checkout needs neither a download nor a compiler. */
export function cacheDir () {
  if (WINDOWS) return join(process.env.LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local'), 'fmtl-node')
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'fmtl-node')
}
