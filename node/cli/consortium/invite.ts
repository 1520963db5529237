/** `fmtl-node invite`: one string for a newcomer. */
import { renderUnicodeCompact } from 'uqr'
import { InvalidParametersError } from '../../../src/errors.ts'
import { act } from './act.ts'
import { addRunningOptions, homeOf, printAnswer } from '../running.ts'
import { examples } from '../help.ts'
import { plural } from '../format.ts'
import type { Command } from 'commander'
import type { Invited } from '../../membership/acts.ts'
import type { RunningFlags } from '../running.ts'

interface Flags extends RunningFlags {
  role: string
  expires: string
  uses: string
  for?: string
  address: string[]
  qr?: boolean
}

const UNITS_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const

export function registerInvite (program: Command): void {
  const command = addRunningOptions(program.command('invite'))
    .description('make an invitation link for a newcomer')
    .option('--role <role>', 'member (may host, invite, admit and vote) or client (attaches only)', 'member')
    .option('--expires <time>', 'life of the link, such as 30m, 12h or 7d', '7d')
    .option('--uses <n>', 'newcomers who may come in by it', '1')
    .option('--for <peer id>', 'the only node that may use it, as its `fmtl-node init` printed it')
    .option('--address <multiaddr>', 'where a newcomer finds a member, with its /p2p/ id; may be repeated (default: this node and members that it knows)', (value: string, all: string[]) => [...all, value], [])
    .option('--qr', 'draw the link as a QR code, too')
    .action(async (flags: Flags) => {
      const home = homeOf(flags)
      const invited = await act<Invited>(home, 'invite', {
        role: flags.role, expiresMs: duration(flags.expires), uses: count(flags.uses), addresses: flags.address, ...flags.for === undefined ? {} : { for: flags.for }
      })
      if (flags.format === 'json') return printAnswer({ success: true, ...invited })
      process.stdout.write(`${invited.link}\n`)
      if (flags.qr === true) process.stdout.write(`${renderUnicodeCompact(invited.link)}\n`)
      process.stderr.write(`valid until ${new Date(invited.until).toISOString()} for ${plural(invited.uses, 'newcomer')} as ${invited.role}; give it to nobody else. They run: fmtl-node join '<link>' --data PATH\n`)
    })
  examples(command, 'fmtl-node invite --role client --expires 7d', 'fmtl-node invite --for 12D3KooW... --qr')
}

/** @throws {InvalidParametersError} no such time */
export function duration (text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([mhd])$/.exec(text) ?? []
  const ms = Number(number) * UNITS_MS[unit as keyof typeof UNITS_MS]
  if (!(ms > 0)) throw new InvalidParametersError(`'${text}' is no time`, { next: 'write 30m, 12h or 7d' })
  return ms
}

function count (text: string): number {
  const uses = Number(text)
  if (!Number.isInteger(uses) || uses < 1 || uses > 1000) throw new InvalidParametersError(`--uses must be a whole number from 1 to 1000, got '${text}'`)
  return uses
}
