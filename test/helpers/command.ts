/** The command line as a user has it, and settings as it takes them. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export const COMMAND = fileURLToPath(new URL('../../scripts/fmtl-node.ts', import.meta.url))

/** @returns what it printed @throws an exit status that is not 0 */
export async function command (...args: string[]): Promise<string> {
  return (await promisify(execFile)(process.execPath, [COMMAND, ...args])).stdout
}

/** A flag for every setting. */
export function sets (...settings: string[]): string[] { return settings.flatMap(setting => ['--set', setting]) }

/** A model so small that only the way it takes is measured. */
export const TINY_MODEL = sets('model.width=8', 'model.layers=1', 'model.heads=2', 'model.hidden=8')
