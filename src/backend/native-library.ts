/**
 * Is a shared library whole? The dynamic loader maps a file before it reads it: one that was cut off (full disk, broken
 * download) ends the process with a bus error instead of an exception, so the length is checked first. Linux only;
 * the loaders of macOS and Windows check it themselves.
 */
import { closeSync, existsSync, openSync, readSync, readdirSync, fstatSync } from 'node:fs'
import { basename, join } from 'node:path'

/** @throws {Error} one line, where a library of the tfjs-node package at `packageDir` is missing or cut off */
export function checkTensorFlowLibraries (packageDir: string): void {
  const bindings = list(join(packageDir, 'lib')).map(dir => join(dir, 'tfjs_binding.node')).filter(file => existsSync(file))
  if (bindings.length === 0) throw new Error('its native binding is not built')
  const libraries = list(join(packageDir, 'deps', 'lib')).filter(file => /\.so(\.|$)/.test(file))
  for (const file of [...bindings, ...libraries]) {
    if (!existsSync(file)) throw new Error(`${basename(file)} points to a file that is gone`)
    if (process.platform === 'linux') checkElfLength(file)
  }
}

function list (dir: string): string[] {
  return existsSync(dir) ? readdirSync(dir).map(name => join(dir, name)) : []
}

/** A linker writes the section table last: a file that holds all of it is whole. Offsets: ELF-64, System V ABI chapter 4. */
function checkElfLength (file: string): void {
  const fd = openSync(file, 'r')
  try {
    const size = fstatSync(fd).size
    const header = Buffer.alloc(64)
    if (readSync(fd, header, 0, 64, 0) < 64) throw new Error(`${basename(file)} is cut off: ${size} bytes`)
    if (header.toString('latin1', 1, 4) !== 'ELF') throw new Error(`${basename(file)} is not a shared library`)
    const end = Number(header.readBigUInt64LE(40)) + header.readUInt16LE(58) * header.readUInt16LE(60)
    if (size < end) throw new Error(`${basename(file)} is cut off: ${size} of at least ${end} bytes`)
  } finally {
    closeSync(fd)
  }
}
