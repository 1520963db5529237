/** `fmtl-node init`: a home with an identity and a commented config.yaml, and what this machine can compute with. */
import { mkdir, stat } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { InvalidParametersError } from '../../src/errors.ts'
import { configTemplate } from '../config/template.ts'
import { diskError, writeDurably } from '../store/durable.ts'
import { examine } from './doctor.ts'
import { examples, formatOption } from './help.ts'
import { identityAt, protectIdentity } from '../store/identity.ts'
import { isShowable } from '../../src/membership/encoding.ts'
import { loadConfig } from '../config/config.ts'
import { clean, duration } from './format.ts'
import type { Command } from 'commander'
import type { Config } from '../config/config.ts'
import type { Examination } from './doctor.ts'
import type { Format } from './help.ts'
import type { RungName } from '../../src/backend/ladder.ts'

export interface InitFlags {
  name?: string
  home?: string
  /** false for --no-passphrase, undefined for neither. */
  passphrase?: boolean
  yes?: boolean
}

/** What it takes from the process. */
export interface InitPlace {
  readonly env: Readonly<Record<string, string | undefined>>
  /** `doctor`, as far as the first rung that serves. */
  readonly look: (prefer: RungName | undefined) => Promise<Examination>
}

export interface InitReport {
  readonly success: true
  readonly home: string
  readonly peer: string
  readonly name: string
  readonly sealed: boolean
  /** What this call made or changed; empty when all was there. */
  readonly changed: readonly string[]
  readonly backend: string | null
  readonly problems: readonly string[]
  readonly next: readonly string[]
}

export function registerInit (program: Command): void {
  const command = program.command('init')
    .description('make this node\'s home: its identity, a commented config.yaml, and a look at what computes here')
    .option('--name <name>', 'shown to the other members, such as "Clinic A" (default: the machine\'s name)')
    .option('--home <folder>', 'where to make it (default: FMTL_HOME, else ~/.fmtl)')
    .option('--passphrase', 'keep the key under a passphrase; an existing plain key is sealed in place')
    .option('--no-passphrase', 'take the passphrase off the key')
    .option('-y, --yes', 'ask no questions')
    .addOption(formatOption())
    .action(async (flags: InitFlags & { format: Format }) => {
      const report = await initHome(flags, { env: process.env, look: async prefer => await examine(prefer, true) })
      process.stdout.write(flags.format === 'json' ? `${JSON.stringify(report)}\n` : describeInit(report))
    })
  examples(command, 'fmtl-node init --name "Clinic A"', 'FMTL_PASSPHRASE_FILE=./secret fmtl-node init --name "Clinic A" --passphrase --yes --format json')
}

/** @throws {FmtlError} a home that cannot be made, a key that cannot be opened, a setting that cannot be */
export async function initHome (flags: InitFlags, { env, look }: InitPlace): Promise<InitReport> {
  const config = loadConfig({ env, flags: { 'node.home': flags.home, 'node.name': flags.name } })
  const { home, backend: prefer } = config.node
  const changed: string[] = []
  const problems: string[] = []
  const hadHome = existsSync(home)
  try {
    await mkdir(home, { recursive: true, mode: 0o700 })
  } catch (err) {
    throw diskError(err, `folder ${home} not made`, home)
  }
  if (!hadHome) changed.push('home')
  else if (process.platform !== 'win32' && ((await stat(home)).mode & 0o077) !== 0) problems.push(`other users may look into ${home}: chmod 700 ${home}`)
  const sealed = await protect(flags, join(home, 'identity'), env, changed)
  const name = await writeConfig(flags, config, env, changed, problems)
  const doctor = await look(prefer)
  problems.push(...doctor.problems)
  return {
    success: true,
    home,
    peer: sealed.peer,
    name,
    sealed: sealed.sealed,
    changed,
    backend: backendLine(doctor),
    problems,
    next: nextCommands(flags.home === undefined ? '' : ` --home ${home}`, doctor)
  }
}

async function protect (flags: InitFlags, path: string, env: InitPlace['env'], changed: string[]): Promise<{ peer: string, sealed: boolean }> {
  const { key, made, sealed } = await identityAt(path, { env, protect: flags.passphrase === true })
  const peer = key.publicKey.toString()
  if (made) changed.push('identity')
  if (flags.passphrase === undefined || sealed === flags.passphrase) return { peer, sealed }
  if (!flags.passphrase && flags.yes !== true) await confirm(`Without a passphrase, whoever reads ${path} is this node. Take it off?`)
  await protectIdentity(path, flags.passphrase, { env })
  changed.push(flags.passphrase ? 'identity (sealed)' : 'identity (opened)')
  return { peer, sealed: flags.passphrase }
}

/** @returns the name that the node goes by */
async function writeConfig (flags: InitFlags, { node }: Config, env: InitPlace['env'], changed: string[], problems: string[]): Promise<string> {
  const path = join(node.home, 'config.yaml')
  if (existsSync(path)) {
    const written = loadConfig({ env: {}, file: path }).node.name
    if (flags.name !== undefined && flags.name !== written) problems.push(`${path} is left as it is: node.name there is ${written}`)
    return written
  }
  const name = flags.name ?? (env.FMTL_NODE_NAME || machineName())
  if (!isShowable(name) || Buffer.byteLength(name) > 64) throw new InvalidParametersError(`--name cannot be '${clean(name)}'`, { next: 'take 1 to 64 bytes of letters, digits and signs, with single spaces' })
  await writeDurably(path, Buffer.from(configTemplate({ node: { name } })), 0o600)
  changed.push('config.yaml')
  return name
}

function machineName (): string {
  const name = hostname().replaceAll(/[^A-Za-z0-9._-]+/g, '-').slice(0, 64)
  return name === '' ? 'node' : name
}

/** @throws {InvalidParametersError} the answer is no, or there is nobody to ask */
async function confirm (question: string): Promise<void> {
  if (!process.stdin.isTTY) throw new InvalidParametersError('this needs a yes, and there is no terminal to ask on', { next: 'add --yes' })
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await terminal.question(`${question} [y/N] `, { signal: AbortSignal.timeout(120_000) }).catch(() => '')
    if (!/^y(es)?$/i.test(answer.trim())) throw new InvalidParametersError('nothing was changed: the answer was not yes')
  } finally {
    terminal.close()
  }
}

function backendLine ({ backend, rungs }: Examination): string | null {
  const rung = rungs.find(({ name }) => name === backend)
  if (rung === undefined) return null
  return `${rung.name}${rung.device === null ? '' : ` on ${rung.device}`}, ${rung.gflops ?? 0} GFLOPS, ${duration((rung.trainStepMs ?? 0) / 1000)} per training step`
}

function nextCommands (home: string, doctor: Examination): string[] {
  return [
    ...doctor.backend === null || doctor.next.endsWith('--fix') ? [doctor.next] : [],
    'fmtl-node data check ./our-data',
    `fmtl-node found${home}`,
    `fmtl-node join${home} 'fmtl://...'`
  ]
}

export function describeInit ({ home, peer, name, sealed, changed, backend, problems, next }: InitReport): string {
  const said = (what: string): string => changed.includes(what) ? 'made' : 'was there'
  return [
    changed.length === 0 ? 'nothing to do: this node has all it needs' : `changed: ${changed.join(', ')}`,
    '',
    `home      ${home} (${said('home')})`,
    `identity  ${peer} (${said('identity')}, ${sealed ? 'under a passphrase' : 'no passphrase'})`,
    `config    ${join(home, 'config.yaml')} (${said('config.yaml')}), name ${name}`,
    `compute   ${backend ?? 'nothing loads here'}`,
    '',
    ...problems.map(problem => `problem: ${clean(problem)}`),
    'next, look at your data; then found a consortium or join one:',
    ...next.map(line => `  ${line}`),
    ''
  ].join('\n')
}
