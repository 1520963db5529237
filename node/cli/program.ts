/** The commands of a node: one file each in this folder. The testnet's are added by whoever composes the command line. */
import { Command } from 'commander'
import { FmtlError } from '../../src/errors.ts'
import { registerAudit } from './audit.ts'
import { registerCharter } from './charter.ts'
import { registerData } from './data.ts'
import { registerDoctor } from './doctor.ts'
import { registerPlan } from './plan.ts'
import { registerStrategies } from './strategies.ts'
import { registerUp } from './up.ts'
import { version } from '../version.ts'

export function createProgram (): Command {
  const program = new Command('fmtl-node')
    .description('peer-to-peer federated multi-task learning: a consortium trains one conflict-free backbone with no central server')
    .version(version)
  registerUp(program)
  registerCharter(program)
  registerPlan(program)
  registerDoctor(program)
  registerStrategies(program)
  registerData(program)
  registerAudit(program)
  return program
}

/** Runs the command; an error that a user can act on becomes one line on standard error and exit status 1. */
export async function runProgram (program: Command): Promise<void> {
  try {
    await program.parseAsync()
  } catch (err) {
    if (!(err instanceof FmtlError)) throw err
    process.stderr.write(`fmtl-node: ${err.message}${err.next === undefined ? '' : `; next: ${err.next}`}\n`)
    process.exitCode = 1
  }
}
