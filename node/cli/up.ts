/** `fmtl-node up`: runs this node in the foreground until its training is complete, or until a signal if it hosts. */
import { join } from 'node:path'
import { CheckpointStore } from '../store/checkpoints.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { charterFromData } from './charter.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { clean, clock } from './format.ts'
import { factOf } from './facts.ts'
import { loadConfig } from '../config/config.ts'
import { loadOrCreateIdentity } from '../store/identity.ts'
import { readCharterFile, siteData, withCodec } from './site.ts'
import { runNode } from '../run.ts'
import type { Command } from 'commander'
import type { NodeEvent } from '../events.ts'

interface Flags {
  charter?: string
  name?: string
  home?: string
  role?: string
  backend?: string
  slots?: string
  memory?: string
  data?: string
  client?: string
  tasks?: string
  listen?: string
  bootstrap?: string
  profile?: string
  codec?: string
  strategy: string
  config?: string
  set: string[]
  format: string
}

export function registerUp (program: Command): void {
  program.command('up')
    .description('run this node: host the backbone, attach with this site\'s data, or both')
    .option('--charter <file>', 'the agreed charter, as `fmtl-node charter` wrote it (default: made from this site\'s data)')
    .option('--role <role>', 'auto (measured), host, client or both')
    .option('--name <name>', 'shown to the other members')
    .option('--home <folder>', 'identity and checkpoints')
    .option('--data <path>', 'this site\'s data set; without it the node only hosts')
    .option('--client <id>', 'which client of the data set this site is (default: the only one)')
    .option('--tasks <a,b>', 'tasks to train')
    .option('--listen <multiaddr>', 'addresses to listen on, separated by commas')
    .option('--bootstrap <multiaddr>', 'members to dial first, separated by commas')
    .option('--slots <n>', 'clients served at once, if this node hosts')
    .option('--memory <MiB>', 'memory that training may plan with (default: what the machine has)')
    .option('--backend <rung>', 'first compute rung to try')
    .option('--profile <profile>', 'production, or testnet for many nodes on one address')
    .option('--codec <codec>', 'how this site\'s activations and gradients travel: f32, f16, bf16 or int8 (default: as the charter says)')
    .option('--strategy <name>', 'how to train together, where no charter is given', 'fedbone')
    .option('--config <file>', 'configuration file')
    .option('--set <key=value>', 'any setting; may be repeated', (value: string, all: string[]) => [...all, value], [])
    .option('--format <format>', 'text or json (one object a line)', 'text')
    .action(async (flags: Flags) => { await up(flags) })
}

async function up (flags: Flags): Promise<void> {
  const config = loadConfig({
    ...flags.config === undefined ? {} : { file: flags.config },
    env: process.env,
    flags: {
      'node.role': flags.role,
      'node.name': flags.name,
      'node.home': flags.home,
      'node.backend': flags.backend,
      'node.slots': flags.slots,
      'node.memory': flags.memory,
      'data.path': flags.data,
      'data.client': flags.client,
      'data.tasks': flags.tasks,
      'network.listen': flags.listen,
      'network.bootstrap': flags.bootstrap,
      'network.profile': flags.profile
    },
    sets: flags.set
  })
  if (flags.charter === undefined && config.data.path === undefined) {
    throw new InvalidParametersError('no charter and no data: this node would not know what to train', { next: 'give --charter FILE, which a member wrote with `fmtl-node charter`' })
  }
  const charter = withCodec(flags.charter === undefined ? await charterFromData(config, flags.strategy) : await readCharterFile(flags.charter), flags.codec)
  const { node: { name, home, role, backend, slots, memory }, network: { listen, bootstrap, profile, ...network } } = config
  const data = await siteData(config, charter)
  const emit = flags.format === 'json' ? printJson : factPrinter()
  const store = (part: string): CheckpointStore => new CheckpointStore(join(home, charterHash(charter), 'checkpoints', part), {
    expect: { model: charterHash(charter) },
    onDamaged: line => { emit({ type: 'error', node: name, code: 'ERR_CHECKPOINT', message: line }) }
  })
  const privateKey = await loadOrCreateIdentity(join(home, 'identity'))
  await runNode({
    name,
    emit,
    // A host serves its clients' last questions and whoever comes late; a client has what it came for.
    stay: role !== 'client',
    build: async () => ({
      name,
      privateKey,
      charter,
      role,
      slots,
      ...data === undefined ? {} : { data },
      control: false,
      prefer: [],
      ...backend === undefined ? {} : { backend },
      ...memory === undefined ? {} : { memoryBytes: memory * 2 ** 20 },
      listen,
      bootstrap,
      profile,
      network,
      stores: { host: store('host'), client: store('client') },
      emit
    })
  })
}

function printJson (event: NodeEvent): void { process.stdout.write(`${JSON.stringify(event)}\n`) }

/** One line per fact, with the time since the start. */
function factPrinter (): (event: NodeEvent) => void {
  const startedAt = Date.now()
  const names = new Map<string, string>()
  const rename = (text: string): string => [...names].reduce((line, [peer, name]) => line.replaceAll(peer, name), text)
  return event => {
    if (event.type === 'node:started') names.set(event.peer, event.node)
    if (event.type === 'client:attached' && event.hostName !== undefined) names.set(event.host, event.hostName)
    if (event.type === 'error') {
      process.stderr.write(`fmtl-node: ${clean(rename(event.message))}${event.next === undefined ? '' : `; next: ${clean(event.next)}`}\n`)
      return
    }
    const fact = factOf(event, rename)
    if (fact !== undefined) process.stdout.write(`${clock((Date.now() - startedAt) / 1000)} ${fact}\n`)
  }
}
