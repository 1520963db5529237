/** `fmtl-node found`: writes and signs the charter of a new consortium; this node is its first member. */
import { join } from 'node:path'
import { InvalidParametersError } from '../../../src/errors.ts'
import { createConsortium } from '../../../src/membership/index.ts'
import { charterFromData } from '../charter.ts'
import { describeCharter } from './describe.ts'
import { examples, formatOption, foundationOption, strategyOption } from '../help.ts'
import { loadConfig } from '../../config/config.ts'
import { loadOrCreateIdentity, signerOf } from '../../store/identity.ts'
import { lockHome } from '../../store/lock.ts'
import { Membership } from '../../membership/membership.ts'
import { openStrategy, ruleFile } from '../../../src/strategies/outside.ts'
import { readCharterFile } from '../site.ts'
import { settle } from './settle.ts'
import { startFromFile } from '../../foundation/file.ts'
import type { Command } from 'commander'
import type { Format } from '../help.ts'

interface Flags {
  home?: string
  name?: string
  charter?: string
  data?: string
  client?: string
  strategy?: string
  foundation?: string
  sites: string
  config?: string
  set: string[]
  format: Format
}

export function registerFound (program: Command): void {
  const command = program.command('found')
    .description('found a consortium: its charter, signed by this node as the first member')
    .argument('<consortium>', 'its name, such as "Heart consortium"')
    .option('--charter <file>', 'what is trained, as `fmtl-node charter` wrote it (default: made from --data)')
    .option('--data <path>', 'this site\'s data set; inputs and tasks come from there')
    .option('--client <id>', 'which client of the data set this site is')
    .addOption(strategyOption())
    .addOption(foundationOption())
    .option('--sites <n>', 'sites that must be there before training begins', '2')
    .option('--name <name>', 'this node, as members will see it')
    .option('--home <folder>', 'home of the node (default: FMTL_HOME, else ~/.fmtl)')
    .option('--config <file>', 'configuration file; its charter section says what differs from the defaults')
    .option('--set <key=value>', 'any setting, such as charter.governance.admission=second-member; may be repeated', (value: string, all: string[]) => [...all, value], [])
    .addOption(formatOption())
    .action(async (consortium: string, flags: Flags) => { await found(consortium, flags) })
  examples(command,
    'fmtl-node found "Heart consortium" --data ./our-data',
    'fmtl-node found "Heart consortium" --charter charter.json --set charter.governance.admission=second-member')
}

async function found (consortium: string, flags: Flags): Promise<void> {
  const config = loadConfig({
    ...flags.config === undefined ? {} : { file: flags.config },
    env: process.env,
    flags: { 'node.home': flags.home, 'node.name': flags.name, 'node.strategy': flags.strategy, 'node.foundation': flags.foundation, 'data.path': flags.data, 'data.client': flags.client },
    sets: flags.set
  })
  const { home, name } = config.node
  const { governance, safeguards, ...own } = config.charter ?? {}
  if (flags.charter === undefined && config.data.path === undefined) {
    throw new InvalidParametersError('no charter and no data: what would the consortium train?', { next: 'give --data PATH, or --charter FILE as `fmtl-node charter` wrote it' })
  }
  const sites = Number(flags.sites)
  if (!Number.isInteger(sites) || sites < 1) throw new InvalidParametersError(`--sites must be a whole number from 1, got '${flags.sites}'`)
  const opened = await openStrategy(config.node.strategy)
  const training = flags.charter === undefined
    ? await charterFromData({ ...config, charter: { ...own, clock: { quorum: sites, ...own.clock } } }, opened.strategy)
    : await readCharterFile(flags.charter)
  const needed = ruleFile(training, opened)
  await startFromFile(training, config.node.foundation) // or no member could begin
  const charter = createConsortium({ name: consortium, training, ...governance === undefined ? {} : { governance }, ...safeguards === undefined ? {} : { safeguards } })
  const lock = await lockHome(home)
  try {
    const membership = await Membership.found(home, signerOf(await loadOrCreateIdentity(join(home, 'identity'))), charter, name)
    await settle(home, { name, ...needed === undefined ? {} : { strategy: needed.path }, foundation: config.node.foundation, ...config.data.path === undefined ? {} : { data: config.data } })
    const at = flags.home === undefined ? '' : ` --home ${home}`
    const next = [`fmtl-node up --detach${at}`, `fmtl-node invite${at}`]
    if (flags.format === 'json') {
      process.stdout.write(`${JSON.stringify({ success: true, consortium, id: membership.id, charterHash: membership.state.charterHash, peer: membership.signer.peer, home, next })}\n`)
      return
    }
    process.stdout.write(`${describeCharter(charter)}\nconsortium  ${membership.id}\ncharter     ${membership.state.charterHash}\nmember      ${name} (${membership.signer.peer})\nhome        ${home}\n\nnext:\n${next.map(line => `  ${line}\n`).join('')}`)
  } finally {
    lock.release()
  }
}
