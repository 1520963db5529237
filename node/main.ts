/** The command line: one file per command under ./cli/, each of which registers itself. */
import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { FmtlError } from '../src/errors.ts'
import { registerDoctor } from './cli/doctor.ts'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

const program = new Command('fmtl-node')
  .description('peer-to-peer federated multi-task learning')
  .version(version)

registerDoctor(program)

try {
  await program.parseAsync()
} catch (err) {
  if (!(err instanceof FmtlError)) throw err
  process.stderr.write(`fmtl-node: ${err.message}${err.next == null ? '' : `; type: ${err.next}`}\n`)
  process.exitCode = 1
}
