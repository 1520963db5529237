/** `fmtl-node export`: what this site has trained as one file that predicts anywhere, with no network, in a width and a robustness of choice. */
import { join } from 'node:path'
import { CARD } from '../../src/export/card.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { SavedState } from '../../src/training/saved-state.ts'
import { bytes, clean } from './format.ts'
import { charterFromData } from './charter.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { encodeSafetensors } from '../store/safetensors.ts'
import { examples, formatOption, strategyOption } from './help.ts'
import { listCheckpoints, readCheckpoint } from '../store/checkpoints.ts'
import { loadConfig } from '../config/config.ts'
import { memberAt } from '../membership/home.ts'
import { openStrategy } from '../../src/strategies/outside.ts'
import { readCharterFile } from './site.ts'
import { takePredictor } from '../../src/export/take.ts'
import { writeDurably } from '../store/durable.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Checkpoint } from '../store/checkpoints.ts'
import type { Command } from 'commander'
import type { Config } from '../config/config.ts'
import type { Format } from './help.ts'

interface Flags {
  home?: string
  charter?: string
  data?: string
  strategy?: string
  config?: string
  set: string[]
  trunk?: string
  width: string
  robustness: string
  out: string
  format: Format
}

export function registerExport (program: Command): void {
  const command = program.command('export')
    .description('write what this site has trained as one file that predicts anywhere')
    .requiredOption('--out <file>', 'write the predictor there')
    .option('--width <share>', 'share of the full width, from 0 to 1; below 1 with strategy split-mix', '1')
    .option('--robustness <share>', '0: for clean rows; 1: for attacked ones; in between: some of both', '0')
    .option('--home <folder>', 'home of the node (default: FMTL_HOME, else ~/.fmtl)')
    .option('--charter <file>', 'the charter that it trained under (default: its consortium\'s, else made from --data)')
    .option('--data <path>', 'data set that the charter was made from, where there is no charter file')
    .addOption(strategyOption())
    .option('--trunk <folder>', 'home of a host whose trunk completes a split model (default: this home, where it hosts too)')
    .option('--config <file>', 'configuration file')
    .option('--set <key=value>', 'a setting that the node was started with; may be repeated', (value: string, all: string[]) => [...all, value], [])
    .addOption(formatOption())
    .action(async (flags: Flags) => { await run(flags) })
  examples(command,
    'fmtl-node export --out model.safetensors',
    'fmtl-node export --charter charter.json --width 0.25 --out quarter.safetensors',
    'fmtl-node export --charter charter.json --robustness 1 --out robust.safetensors')
}

async function run (flags: Flags): Promise<void> {
  const config = loadConfig({
    ...flags.config === undefined ? {} : { file: flags.config },
    env: process.env,
    flags: { 'node.home': flags.home, 'data.path': flags.data, 'node.strategy': flags.strategy },
    sets: flags.set
  })
  const { home } = config.node
  const wish = { width: share('--width', flags.width), robustness: share('--robustness', flags.robustness) }
  const charter = await charterAt(home, flags, config)
  const client = await newest(home, charter, 'client')
  if (client === undefined) throw new InvalidParametersError(`${home} has no checkpoint of a client of charter ${charterHash(charter)}`, { next: 'run `fmtl-node up` with this home and this charter first, or name the charter that it ran: --charter FILE' })
  const trunk = charter.model.trunk === 'client' ? undefined : await newest(flags.trunk ?? home, charter, 'host')
  const { card, tensors } = takePredictor(charter, new SavedState([...client.tensors, ...(trunk?.tensors ?? []).filter(({ name }) => name === 'trunk')]), client.step, wish)
  const file = encodeSafetensors(tensors, { [CARD]: JSON.stringify(card), format: 'pt' })
  await writeDurably(flags.out, file)
  process.stdout.write(flags.format === 'json'
    ? `${JSON.stringify({ success: true, out: flags.out, bytes: file.length, card })}\n`
    : `${flags.out}: ${bytes(file.length)}, ${card.members} ${card.members === 1 ? 'model' : 'models'} of ${clean(card.name)} at step ${card.step}, tasks ${card.tasks.map(({ id }) => clean(id)).join(', ')}; width ${card.width}, robustness ${card.robustness}\n`)
}

function share (flag: string, text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value >= 0 && value <= 1)) throw new InvalidParametersError(`${flag} must be a number from 0 to 1, got '${text}'`)
  return value
}

/** As `fmtl-node up` finds it. */
async function charterAt (home: string, flags: Flags, config: Config): Promise<Charter> {
  if (flags.charter !== undefined) return await readCharterFile(flags.charter)
  const member = await memberAt(home)
  if (member !== undefined) return member.membership.state.charter.training
  if (config.data.path === undefined) throw new InvalidParametersError(`${home} belongs to no consortium, and no charter was named`, { next: 'give --charter FILE, or --data PATH if the node made its charter from data' })
  return await charterFromData(config, (await openStrategy(config.node.strategy)).strategy)
}

/** The newest checkpoint that is whole. Reads only: the node may run meanwhile. */
async function newest (home: string, charter: Charter, part: 'client' | 'host'): Promise<Checkpoint | undefined> {
  const hash = charterHash(charter)
  const folder = join(home, hash, 'checkpoints', part)
  let damaged: string | undefined
  for (const file of await listCheckpoints(folder).catch(() => [])) {
    const found = await readCheckpoint(folder, file)
    if (typeof found !== 'string') {
      if (found.meta.model === hash) return found
      continue
    }
    damaged ??= `${file.name}: ${found}`
  }
  if (damaged !== undefined) throw new InvalidParametersError(`no whole checkpoint in ${folder} (${damaged})`, { next: 'let the node run another round, or restore its home' })
  return undefined
}
