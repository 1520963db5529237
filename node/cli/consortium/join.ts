/** `fmtl-node join`: takes a link, shows the charter, checks the data against it, knocks, and waits for a member's yes. */
import { existsSync } from 'node:fs'
import { join as path } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { DataError, InvalidParametersError, RefusedError } from '../../../src/errors.ts'
import { consortiumFiles } from '../../store/member-store.ts'
import { decodeLink } from '../../../src/membership/index.ts'
import { describeCharter } from './describe.ts'
import { duration } from './invite.ts'
import { examples, formatOption, foundationOption } from '../help.ts'
import { fitsCharter } from './fit.ts'
import { join } from '../../membership/join.ts'
import { loadConfig } from '../../config/config.ts'
import { loadOrCreateIdentity } from '../../store/identity.ts'
import { lockHome } from '../../store/lock.ts'
import { openStrategy, ruleFile } from '../../../src/strategies/outside.ts'
import { plural } from '../format.ts'
import { settle } from './settle.ts'
import { startFromFile } from '../../foundation/file.ts'
import type { Command } from 'commander'
import type { ConsortiumCharter } from '../../../src/membership/index.ts'
import type { Format } from '../help.ts'

interface Flags {
  home?: string
  name?: string
  data?: string
  client?: string
  tasks?: string
  strategy?: string
  foundation?: string
  wait: string
  yes?: boolean
  config?: string
  format: Format
}

export function registerJoin (program: Command): void {
  const command = program.command('join')
    .description('join a consortium by an invitation link')
    .argument('<link>', 'the fmtl:// link, in quotes')
    .option('--data <path>', 'this site\'s data set; without it the node can only host')
    .option('--client <id>', 'which client of the data set this site is (default: the only one)')
    .option('--tasks <a,b>', 'tasks to take part in (default: all that the data has)')
    .option('--strategy <file>', 'the strategy file, where the charter\'s gradient rule is from one')
    .addOption(foundationOption())
    .option('--name <name>', 'this node, as members will see it')
    .option('--wait <time>', 'longest wait for a member\'s yes, such as 10m', '10m')
    .option('-y, --yes', 'consent to the charter without being asked')
    .option('--home <folder>', 'home of the node (default: FMTL_HOME, else ~/.fmtl)')
    .option('--config <file>', 'configuration file')
    .addOption(formatOption())
    .action(async (link: string, flags: Flags) => { await run(link, flags) })
  examples(command, 'fmtl-node join \'fmtl://heart-consortium/...\' --data ./our-data --name "Clinic B"')
}

async function run (text: string, flags: Flags): Promise<void> {
  const link = decodeLink(text)
  const config = loadConfig({
    ...flags.config === undefined ? {} : { file: flags.config },
    env: process.env,
    flags: { 'node.home': flags.home, 'node.name': flags.name, 'node.strategy': flags.strategy, 'node.foundation': flags.foundation, 'data.path': flags.data, 'data.client': flags.client, 'data.tasks': flags.tasks }
  })
  const { home, name } = config.node
  // before anybody is asked for anything
  if (existsSync(consortiumFiles(home).members)) throw new DataError(`${home} belongs to a consortium already`, { next: 'fmtl-node up, or use another --home for another consortium' })
  const opened = await openStrategy(config.node.strategy)
  let strategy: string | undefined
  const waitMs = duration(flags.wait)
  const say = (line: string): void => { process.stderr.write(`${line}\n`) }
  const lock = await lockHome(home)
  const stop = new AbortController()
  process.once('SIGINT', () => { stop.abort(new RefusedError('interrupted; the knock stays with the members', { next: 'run the same command again to go on waiting' })) })
  try {
    const { membership, addresses } = await join({
      home,
      privateKey: await loadOrCreateIdentity(path(home, 'identity')),
      link,
      name,
      waitMs,
      signal: stop.signal,
      now: Date.now,
      onWaiting: say,
      consent: async (charter, changed) => {
        say(`${describeCharter(charter)}${changed ? '\n  (changed since the link was made)' : ''}`)
        if (config.data.path !== undefined) say(await fitsCharter(config, charter, stop.signal))
        strategy = ruleFile(charter.training, opened)?.path
        await startFromFile(charter.training, config.node.foundation)
        if (flags.yes !== true) await ask(charter)
      }
    })
    await settle(home, { name, ...strategy === undefined ? {} : { strategy }, foundation: config.node.foundation, ...config.data.path === undefined ? {} : { data: config.data } })
    await membership.store.savePeers(byPeer(addresses))
    const { state, id, signer } = membership
    const next = `fmtl-node up --detach${flags.home === undefined ? '' : ` --home ${home}`}`
    if (flags.format === 'json') process.stdout.write(`${JSON.stringify({ success: true, consortium: state.charter.name, id, peer: signer.peer, members: state.members.size, home, next })}\n`)
    else process.stdout.write(`${name} is a member of ${state.charter.name} (${plural(state.members.size, 'member')})\nnext:\n  ${next}\n`)
  } finally {
    lock.release()
  }
}

/** @throws {InvalidParametersError} no */
async function ask (charter: ConsortiumCharter): Promise<void> {
  if (!process.stdin.isTTY) throw new InvalidParametersError('joining is a consent to the charter, and there is no terminal to ask on', { next: 'read the charter above and add --yes' })
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await terminal.question(`Join ${charter.name} under this charter? [y/N] `, { signal: AbortSignal.timeout(600_000) }).catch(() => '')
    if (!/^y(es)?$/i.test(answer.trim())) throw new InvalidParametersError('not joined: the answer was not yes')
  } finally {
    terminal.close()
  }
}

/** @throws {DataError} an address that names no peer */
function byPeer (addresses: readonly string[]): Record<string, string[]> {
  const peers: Record<string, string[]> = {}
  for (const address of addresses) {
    const peer = /\/p2p\/([^/]+)$/.exec(address)?.[1]
    if (peer === undefined) throw new DataError(`the member gave an address without a peer id: ${address}`)
    ;(peers[peer] ??= []).push(address)
  }
  return peers
}
