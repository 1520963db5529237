/** `fmtl-node peers`: whom the node of this home knows. */
import { examples } from './help.ts'
import { addRunningOptions, homeOf, printAnswer } from './running.ts'
import { clean, duration, table } from './format.ts'
import { request } from '../control/client.ts'
import type { Command } from 'commander'
import type { PeerFacts } from '../telemetry/status.ts'
import type { PeersAnswer } from '../control/residence.ts'
import type { RunningFlags } from './running.ts'

export function registerPeers (program: Command): void {
  const command = addRunningOptions(program.command('peers'))
    .description('the peers that this home\'s node knows, and when it saw them last')
    .action(async (flags: RunningFlags) => {
      const home = homeOf(flags)
      const answer = await request<PeersAnswer>(home, 'GET', '/peers')
      if (flags.format === 'json') printAnswer({ success: true, ...answer })
      else process.stdout.write(answer.peers.length === 0 ? 'no peer seen so far\n' : `${peerTable(answer.peers, process.stdout.columns ?? 140).join('\n')}\n`)
    })
  examples(command, 'fmtl-node peers --format json')
}

export function peerTable (peers: readonly PeerFacts[], width: number): string[] {
  const nameOf = (id: string): string => clean(peers.find(({ peer }) => peer === id)?.name ?? '') || id.slice(-8)
  const rows = peers.map(({ name, peer, role, connected, via, relay, lastSeenMs, round }) =>
    [clean(name) || '-', clean(peer), role ?? '-', !connected ? 'no' : via === 'relay' && relay !== undefined ? `by relay ${nameOf(relay)}` : via ?? 'yes', connected ? 'now' : `${duration(lastSeenMs / 1000)} ago`, round === undefined ? '-' : String(round)])
  return table([{ title: 'name', shrink: true }, { title: 'peer id', shrink: true }, { title: 'role' }, { title: 'connected' }, { title: 'last seen' }, { title: 'round', align: 'right' }], rows, { width })
}
