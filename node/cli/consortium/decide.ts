/** Commands by which a member decides: admit, revoke, leave, amend, approve, withdraw. */
import { readFile } from 'node:fs/promises'
import { DataError, InvalidParametersError } from '../../../src/errors.ts'
import { act, members } from './act.ts'
import { addRunningOptions, homeOf, printAnswer } from '../running.ts'
import { clean } from '../format.ts'
import { createConsortium } from '../../../src/membership/index.ts'
import { examples } from '../help.ts'
import type { Command } from 'commander'
import type { ConsortiumCharter } from '../../../src/membership/index.ts'
import type { Decided } from '../../membership/acts.ts'
import type { RunningFlags } from '../running.ts'

export function registerAdmit (program: Command): void {
  const command = addRunningOptions(program.command('admit'))
    .description('say yes to newcomers at the door')
    .argument('[newcomer...]', 'name, peer id, or its last characters (default: everybody who waits)')
    .action(async (who: string[], flags: RunningFlags) => {
      const home = homeOf(flags)
      const { decided } = await act<{ decided: Decided[] }>(home, 'admit', who.length === 0 ? {} : { who })
      if (flags.format === 'json') return printAnswer({ success: true, decided })
      process.stdout.write(decided.length === 0 ? 'nobody is at the door\n' : decided.map(line).join(''))
    })
  examples(command, 'fmtl-node admit', 'fmtl-node admit "Clinic B"')
}

export function registerRevoke (program: Command): void {
  const command = addRunningOptions(program.command('revoke'))
    .description('vote for expelling a member; with a quorum of votes it is out at once, and for ever')
    .argument('<member>', 'name, peer id, or its last characters')
    .option('--reason <text>', 'written into the member log', 'no reason given')
    .action(async (who: string, flags: RunningFlags & { reason: string }) => {
      const home = homeOf(flags)
      const decided = await act<Decided>(home, 'revoke', { who, reason: flags.reason })
      if (flags.format === 'json') return printAnswer({ success: true, ...decided })
      process.stdout.write(line(decided))
    })
  examples(command, 'fmtl-node revoke "Clinic B" --reason "stolen laptop"')
}

export function registerLeave (program: Command): void {
  const command = addRunningOptions(program.command('leave'))
    .description('leave the consortium; coming back takes a new invitation')
    .option('-y, --yes', 'ask no questions')
    .action(async (flags: RunningFlags & { yes?: boolean }) => {
      const home = homeOf(flags)
      if (flags.yes !== true) throw new InvalidParametersError('leaving ends this node\'s part in the consortium', { next: 'add --yes' })
      await act(home, 'leave')
      if (flags.format === 'json') printAnswer({ success: true })
      else process.stdout.write('this node has left the consortium; its own models stay in its home\n')
    })
  examples(command, 'fmtl-node leave --yes')
}

export function registerAmend (program: Command): void {
  const command = addRunningOptions(program.command('amend'))
    .description('propose a change of the charter, or say yes to one; a quorum of members makes it the charter')
    .argument('[file]', 'the whole new charter as JSON, as consortium/charter.json of the home has it, changed')
    .option('--approve [amendment]', 'say yes to a proposed one (its first characters, where there are several)')
    .action(async (file: string | undefined, flags: RunningFlags & { approve?: string | true }) => {
      const home = homeOf(flags)
      if ((file === undefined) === (flags.approve === undefined)) throw new InvalidParametersError('either a file with the new charter or --approve', { next: 'fmtl-node members shows what is proposed' })
      const outcome = file === undefined
        ? await act<{ amendment: string, why: string }>(home, 'approve', typeof flags.approve === 'string' ? { amendment: flags.approve } : {})
        : await act<{ amendment: string, why: string }>(home, 'amend', { charter: await changed(home, file) })
      if (flags.format === 'json') return printAnswer({ success: true, ...outcome })
      process.stdout.write(`amendment ${outcome.amendment.slice(0, 8)}: ${outcome.why}\n`)
    })
  examples(command, 'fmtl-node amend new-charter.json', 'fmtl-node amend --approve')
}

export function registerWithdraw (program: Command): void {
  const command = addRunningOptions(program.command('withdraw'))
    .description('withdraw an invitation: its link opens no door any more')
    .argument('<invitation>', 'its first characters, as `fmtl-node members` shows them')
    .action(async (invite: string, flags: RunningFlags) => {
      const home = homeOf(flags)
      const answer = await act<{ invite: string }>(home, 'withdraw', { invite })
      if (flags.format === 'json') return printAnswer({ success: true, ...answer })
      process.stdout.write(`invitation ${answer.invite.slice(0, 8)} is withdrawn\n`)
    })
  examples(command, 'fmtl-node withdraw 3fa91c02')
}

/** The file's charter as the next version of the one in force. */
async function changed (home: string, file: string): Promise<ConsortiumCharter> {
  const { charter: { version } } = await members<{ charter: ConsortiumCharter }>(home)
  let value: Partial<ConsortiumCharter>
  try {
    value = JSON.parse(await readFile(file, 'utf8')) as Partial<ConsortiumCharter>
  } catch (cause) {
    throw new DataError(`${file}: no charter can be read there (${(cause as Error).message.split('\n')[0] ?? ''})`, { cause, next: 'copy consortium/charter.json from the home and change that' })
  }
  const { name, training, governance, safeguards } = value
  if (typeof name !== 'string' || training === undefined) throw new DataError(`${file} is no charter of a consortium`, { next: 'copy consortium/charter.json from the home and change that' })
  return { ...createConsortium({ name, training, ...governance === undefined ? {} : { governance }, ...safeguards === undefined ? {} : { safeguards } }), version: version + 1 }
}

function line ({ name, peer, why }: Decided): string { return `${clean(name)} (${peer}) ${why}\n` }
