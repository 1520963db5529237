/** `fmtl-node status`: what the node of this home does, and the reason of every wait. */
import { setTimeout as pause } from 'node:timers/promises'
import { FmtlError } from '../../src/errors.ts'
import { examples } from './help.ts'
import { failureOf } from './failure.ts'
import { addRunningOptions, homeOf, printAnswer } from './running.ts'
import { bar, bytes, clean, duration, list, painter, plural, truncate } from './format.ts'
import { peerTable } from './peers.ts'
import { request } from '../control/client.ts'
import type { Answer, PeerFacts, PeerFigures } from '../telemetry/status.ts'
import type { Command } from 'commander'
import type { Paint } from './format.ts'
import type { PeersAnswer, StatusAnswer } from '../control/residence.ts'
import type { RunningFlags } from './running.ts'

const REFRESH_MS = 1_000
/** Under --watch a node that hangs is to be seen soon. */
const WATCH_TIMEOUT_MS = 3_000
const BAR_CELLS = 24

export function registerStatus (program: Command): void {
  const command = addRunningOptions(program.command('status'))
    .description('what this home\'s node does: joined, ready, contributing, and why it waits')
    .option('--watch', 'show it anew every second, until Ctrl-C')
    .action(async (flags: RunningFlags & { watch?: boolean }) => {
      const home = homeOf(flags)
      if (flags.watch === true) await watch(home, flags.format)
      else if (flags.format === 'json') printAnswer({ success: true, ...await request<StatusAnswer>(home, 'GET', '/status') })
      else process.stdout.write(`${(await look(home, {})).join('\n')}\n`)
    })
  examples(command, 'fmtl-node status --watch')
}

interface LookInit { readonly width?: number, readonly paint?: Paint, readonly timeoutMs?: number }

async function look (home: string, { width = process.stdout.columns ?? 140, paint = painter(process.stdout.isTTY), timeoutMs }: LookInit): Promise<string[]> {
  const options = timeoutMs === undefined ? {} : { timeoutMs }
  const [status, { peers }] = await Promise.all([request<StatusAnswer>(home, 'GET', '/status', undefined, options), request<PeersAnswer>(home, 'GET', '/peers', undefined, options)])
  return statusLines(status, peers, width, paint)
}

async function watch (home: string, format: 'text' | 'json'): Promise<void> {
  let drawn = 0
  for (;;) {
    if (format === 'json') {
      printAnswer(await request<StatusAnswer>(home, 'GET', '/status', undefined, { timeoutMs: WATCH_TIMEOUT_MS }).then(status => ({ success: true, ...status }), absentJson))
    } else {
      const lines = await look(home, { timeoutMs: WATCH_TIMEOUT_MS }).catch(absentText)
      drawn = draw(lines, drawn, process.stdout)
    }
    await pause(REFRESH_MS)
  }
}

type Screen = Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'rows'> & { write (text: string): unknown }

/** In the place of what it drew before; where nobody looks, one block after the other. @returns lines on the screen */
export function draw (lines: readonly string[], drawn: number, screen: Screen): number {
  const { isTTY, columns = 80, rows = 24 } = screen
  if (!isTTY) {
    screen.write(`${lines.join('\n')}\n\n`)
    return 0
  }
  const shown = lines.slice(0, rows - 1).map(line => truncate(line, columns - 1))
  screen.write(`${drawn === 0 ? '' : `\x1b[${drawn}A`}\r\x1b[J${shown.join('\n')}\n`)
  return shown.length
}

function absentJson (err: unknown): object {
  if (err instanceof FmtlError) return { success: false, ...failureOf(err) }
  throw err
}

function absentText (err: unknown): string[] {
  if (err instanceof FmtlError) return [`${err.message}${err.next === undefined ? '' : `; next: ${err.next}`}`]
  throw err
}

export function statusLines (status: StatusAnswer, peers: readonly PeerFacts[], width: number, paint: Paint): string[] {
  const { name, pid, uptimeSeconds, peer, roles, backend, consortium, charter, waiting, done, round, rounds, step, total, phase, host, clients, trading, disk } = status
  const fact = (title: string, { yes, why }: Answer): string => `${title.padEnd(13)}${paint(yes ? 'green' : 'yellow', yes ? 'yes' : 'no ')}  ${clean(why)}`
  return [
    `${clean(name)}, process ${pid}, up ${duration(uptimeSeconds)}${roles.length === 0 ? '' : `, ${list(roles)}`}${backend === undefined || backend === 'none' ? '' : ` on ${clean(backend)}`}`,
    ...peer === undefined ? [] : [`peer id      ${peer}`],
    `trains       ${clean(charter.name)} (${charter.model.slice(0, 12)})${consortium === undefined ? '' : ` in ${clean(consortium)}`}`,
    '',
    fact('joined', status.joined),
    fact('ready', status.ready),
    fact('contributing', status.contributing),
    '',
    ...phase === undefined ? [] : [clean(phase)],
    `round ${Math.min(round, rounds)} of ${rounds}, step ${step} of ${total}  ${bar(step / total, BAR_CELLS)}`,
    ...host === undefined ? [] : [`attached to ${clean(host.name || host.peer)}`],
    ...clients === undefined || clients.length === 0 ? [] : [`serves ${list(clients.map(clean))}`],
    ...trading === undefined ? [] : tradingLines(trading),
    ...disk === undefined ? [] : [`${bytes(disk.freeBytes)} free on the disk`],
    ...done === undefined ? [] : ['', paint('green', `${done.code}  ${clean(done.reason)}`)],
    ...waiting.length === 0 ? [] : ['', ...waiting.map(({ code, reason, next }) => `${paint('yellow', code)}  ${clean(reason)}${next === undefined ? '' : `; next: ${clean(next)}`}`)],
    '',
    ...peers.length === 0 ? ['no peer seen so far'] : peerTable(peers, width)
  ]
}

function tradingLines ({ cards: { known, peers, kept, refused, pending, failed }, members }: PeerFigures): string[] {
  const parts = [`${kept} on the bench`, ...refused === 0 ? [] : [`${refused} refused`], ...pending === 0 ? [] : [`${pending} under way`], ...failed === 0 ? [] : [`${failed} did not come`]]
  return [
    `${plural(known, 'model')} of ${plural(peers, 'peer')} offered: ${parts.join(', ')}`,
    members.length === 0 ? 'no committee chosen yet' : `served by ${list(members.map(clean))}`
  ]
}
