/** `fmtl-node members`: who is in, who waits at the door, which invitations are open, what is being decided. */
import { addRunningOptions, homeOf, printAnswer } from '../running.ts'
import { clean } from '../format.ts'
import { examples } from '../help.ts'
import { members } from './act.ts'
import { whyClosed } from '../../../src/membership/index.ts'
import type { Command } from 'commander'
import type { ConsortiumCharter, Invitation, Member, Proposal, Revocation } from '../../../src/membership/index.ts'
import type { RunningFlags } from '../running.ts'

interface Overview {
  readonly consortium: string
  readonly id: string
  readonly charter: ConsortiumCharter
  readonly charterHash: string
  readonly digest: string
  readonly self: string
  readonly members: readonly Member[]
  readonly pending: ReadonlyArray<{ readonly peer: string, readonly name: string, readonly role: string, readonly invitedBy: string, readonly at: number }>
  readonly invitations: readonly Invitation[]
  readonly revoked: readonly Revocation[]
  readonly votes: Readonly<Record<string, readonly string[]>>
  readonly proposals: readonly Proposal[]
}

export function registerMembers (program: Command): void {
  const command = addRunningOptions(program.command('members'))
    .description('who is in the consortium, who waits at the door, and what is being decided')
    .action(async (flags: RunningFlags) => {
      const home = homeOf(flags)
      const overview = await members<Overview>(home)
      if (flags.format === 'json') printAnswer({ success: true, ...overview })
      else process.stdout.write(describe(overview, Date.now()))
    })
  examples(command, 'fmtl-node members')
}

function describe ({ consortium, id, charter, charterHash, digest, self, members, pending, invitations, revoked, votes, proposals }: Overview, now: number): string {
  const name = (peer: string): string => clean(members.find(member => member.peer === peer)?.name ?? revoked.find(gone => gone.peer === peer)?.name ?? peer.slice(-8))
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace('T', ' ')
  const open = invitations.filter(invitation => whyClosed(invitation, now) === undefined)
  return [
    `${clean(consortium)} (${id.slice(0, 16)}), charter version ${charter.version} (${charterHash.slice(0, 8)}), member set ${digest.slice(0, 8)}`,
    ...members.map(member => `  ${clean(member.name)}${member.peer === self ? ' (this node)' : ''}  ${member.peer}  ${member.role}, since ${day(member.since)}${member.invitedBy === undefined ? ', founder' : `, invited by ${name(member.invitedBy)}`}`),
    ...pending.map(({ peer, name: newcomer, role, invitedBy, at }) => `at the door: ${clean(newcomer)}  ${peer}  as ${role}, invited by ${name(invitedBy)}, since ${day(at)}: fmtl-node admit ${peer.slice(-8)}`),
    ...open.map(({ id, by, role, uses, used, until }) => `invitation ${id.slice(0, 8)}  by ${name(by)} for ${uses - used.length} more as ${role}, until ${day(until)}`),
    ...Object.entries(votes).map(([peer, voters]) => `vote to expel ${name(peer)}: ${voters.map(name).join(', ')}`),
    ...proposals.map(({ amendment, by, approvals, needed, charter: { version } }) => `amendment ${amendment.slice(0, 8)} to version ${version} by ${name(by)}: ${approvals.length} of ${needed} signatures: fmtl-node amend --approve ${amendment.slice(0, 8)}`),
    ...revoked.map(({ peer, reason, at, by }) => `expelled: ${name(peer)}  ${peer}  ${day(at)} by ${by.map(name).join(', ')}: ${clean(reason)}`),
    ''
  ].join('\n')
}
