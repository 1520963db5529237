/** The commands of a node: one file each in this folder. The testnet's are added by whoever composes the command line. */
import { version } from '../version.ts'
import { Command, CommanderError } from 'commander'
import { FmtlError, InvalidParametersError } from '../../src/errors.ts'
import { exitStatus } from './exit-codes.ts'
import { failureJson, failureLine, failureOf, formatOf } from './failure.ts'
import { registerAudit } from './audit.ts'
import { registerCharter } from './charter.ts'
import { registerCommittee } from './committee.ts'
import { registerAdmit, registerAmend, registerLeave, registerRevoke, registerWithdraw } from './consortium/decide.ts'
import { registerFound } from './consortium/found.ts'
import { registerInvite } from './consortium/invite.ts'
import { registerJoin } from './consortium/join.ts'
import { registerMembers } from './consortium/members.ts'
import { registerData } from './data.ts'
import { registerDoctor } from './doctor.ts'
import { registerDown } from './down.ts'
import { registerExitCodes } from './exit-codes-command.ts'
import { registerExport } from './export.ts'
import { registerImport } from './import.ts'
import { registerInit } from './init.ts'
import { registerLogs } from './logs.ts'
import { registerPeers } from './peers.ts'
import { registerPlan } from './plan.ts'
import { registerPredict } from './predict.ts'
import { registerStatus } from './status.ts'
import { registerStrategies } from './strategies.ts'
import { registerUp } from './up.ts'
import { membershipOf } from '../membership/doctor.ts'

export function createProgram (): Command {
  const program = new Command('fmtl-node')
    .description('peer-to-peer federated multi-task learning: a consortium trains one conflict-free backbone with no central server')
    .version(version)
    // before the commands, which inherit both: a mistake on the command line is an error like any other
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
  registerInit(program)
  registerFound(program)
  registerInvite(program)
  registerJoin(program)
  registerAdmit(program)
  registerMembers(program)
  registerRevoke(program)
  registerWithdraw(program)
  registerLeave(program)
  registerAmend(program)
  registerUp(program)
  registerDown(program)
  registerStatus(program)
  registerPeers(program)
  registerCommittee(program)
  registerLogs(program)
  registerImport(program)
  registerCharter(program)
  registerPlan(program)
  registerExport(program)
  registerPredict(program)
  registerDoctor(program, membershipOf)
  registerStrategies(program)
  registerData(program)
  registerExitCodes(program)
  registerAudit(program)
  return program
}

/** Where a command speaks: the process, or what stands for it in a test. */
export interface Voice {
  readonly stdout: { write (text: string): unknown }
  readonly stderr: { write (text: string): unknown }
  exitCode?: NodeJS.Process['exitCode']
}

/** Runs the command; an error that a user can act on becomes one line on standard error and the exit status of its code. */
export async function runProgram (program: Command, argv?: readonly string[], say: Voice = process): Promise<void> {
  try {
    await program.parseAsync(argv)
  } catch (caught) {
    if (caught instanceof CommanderError && (caught.exitCode === 0 || caught.code === 'commander.help')) {
      // help or version were asked for and shown; a group without a command shows its help too
      say.exitCode = caught.exitCode === 0 ? 0 : exitStatus('ERR_INVALID_PARAMETERS')
      return
    }
    const err = caught instanceof CommanderError ? misuse(caught) : caught
    const failure = failureOf(err)
    say.exitCode = exitStatus(failure.code)
    if (formatOf(argv ?? process.argv) === 'json') say.stdout.write(failureJson(failure))
    if (!(err instanceof FmtlError)) throw err
    say.stderr.write(failureLine(failure))
  }
}

/** Commander's sentence and its suggestion, as an error of ours. */
function misuse (cause: CommanderError): InvalidParametersError {
  const [what = '', suggestion] = cause.message.replace(/^error: /, '').split('\n')
  return new InvalidParametersError(what, { cause, next: suggestion?.replace(/^\((.*)\)$/, '$1').replace(/^Did/, 'did') ?? 'add --help to the command' })
}
