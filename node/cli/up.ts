/** `fmtl-node up`: runs this node, in the foreground or detached, until its training is complete, or until a signal if it hosts. */
import { createServer } from 'node:net'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidParametersError, RefusedError, ResourceError } from '../../src/errors.ts'
import { memberAt } from '../membership/home.ts'
import { Residence } from '../control/residence.ts'
import { NodeLedger, lonelyContext, memberContext } from '../ledger.ts'
import { consortiumFiles } from '../store/member-store.ts'
import { membershipFacts } from '../telemetry/membership-facts.ts'
import { routesOf } from '../membership/routes.ts'
import { charterFromData } from './charter.ts'
import { committeeRoute } from '../control/committee.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { clean, clock } from './format.ts'
import { detach } from './detach.ts'
import { examples, formatOption, foundationOption, strategyOption } from './help.ts'
import { factOf } from './facts.ts'
import { failureJson, failureLine } from './failure.ts'
import { folderOf, storesIn } from '../groups/phase.ts'
import { loadConfig } from '../config/config.ts'
import { loadOrCreateIdentity, signerOf } from '../store/identity.ts'
import { openStrategy, ruleFile } from '../../src/strategies/outside.ts'
import { readCharterFile, siteData, withCodec } from './site.ts'
import { runNode } from '../run.ts'
import { startFromFile } from '../foundation/file.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Command } from 'commander'
import type { Config } from '../config/config.ts'
import type { FmtlNode } from '../fmtl-node.ts'
import type { HeardPeer } from '../telemetry/facts.ts'
import type { Member } from '../membership/home.ts'
import type { Membership } from '../membership/membership.ts'
import type { Neighbour } from '../membership/presence.ts'
import type { Failure } from './failure.ts'
import type { Format } from './help.ts'
import type { NodeEvent } from '../events.ts'
import type { Strategy } from '../../src/strategies/index.ts'

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
  strategy?: string
  foundation?: string
  config?: string
  set: string[]
  detach?: boolean
  format: Format
}

export function registerUp (program: Command): void {
  const command = program.command('up')
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
    .addOption(strategyOption())
    .addOption(foundationOption())
    .option('--config <file>', 'configuration file')
    .option('--set <key=value>', 'any setting; may be repeated', (value: string, all: string[]) => [...all, value], [])
    .option('--detach', 'run in the background; `fmtl-node status`, `logs` and `down` reach it')
    .addOption(formatOption())
    .action(async (flags: Flags) => { await up(flags) })
  examples(command,
    'fmtl-node up --charter charter.json --role host --name hub --listen /ip4/0.0.0.0/tcp/4001',
    'fmtl-node up --charter charter.json --name north --data ./our-data --client north --bootstrap /ip4/192.0.2.7/tcp/4001')
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
      'node.strategy': flags.strategy,
      'node.foundation': flags.foundation,
      'data.path': flags.data,
      'data.client': flags.client,
      'data.tasks': flags.tasks,
      'network.listen': flags.listen,
      'network.bootstrap': flags.bootstrap,
      'network.profile': flags.profile
    },
    sets: flags.set
  })
  if (flags.detach === true) return await detach(config.node.home, flags.format)
  const { node: { name, home, role, backend, slots, memory }, network: { listen, bootstrap, profile, ...network } } = config
  const member = await joinedAt(home, flags.charter)
  const opened = await openStrategy(config.node.strategy)
  const charter = withCodec(await charterOf(member?.membership, config, flags, opened.strategy), flags.codec)
  const strategyFile = ruleFile(charter, opened)
  const start = await startFromFile(charter, config.node.foundation)
  const data = await siteData(config, charter)
  let running: FmtlNode | undefined
  const residence = await Residence.open({
    home,
    name,
    charter,
    bootstrap: bootstrap.length,
    emit: flags.format === 'json' ? printJson : factPrinter(() => running?.view.peer?.names),
    routes: [
      { method: 'POST', path: '/network', handle: async body => await examined(running, body) },
      committeeRoute(name, charter, () => running),
      ...member === undefined ? [] : routesOf({ membership: member.membership, addresses: () => [...running?.addresses ?? [], ...running?.presence?.knownAddresses ?? []], now: Date.now })
    ],
    ...member === undefined
      ? {}
      : {
          membership: () => membershipFacts(member.membership.state, member.membership.signer.peer),
          heard: () => heardFrom(running?.presence?.neighbours ?? [])
        }
  })
  const { emit } = residence
  const privateKey = member?.privateKey ?? await loadOrCreateIdentity(join(home, 'identity'))
  await runNode({
    name,
    emit,
    // A host serves its clients' last questions and whoever comes late, a peer gives its models; a client has what it came for.
    stay: role !== 'client' || charter.bench !== undefined,
    onNode: node => {
      running = node
      residence.watch(node)
    },
    until: residence.until,
    ...flags.format === 'json' ? { failed: printFailure } : {},
    build: async () => ({
      name,
      privateKey,
      charter,
      role: member?.membership.state.members.get(member.membership.signer.peer)?.role === 'client' ? 'client' : role,
      slots,
      ...data === undefined ? {} : { data },
      control: false,
      prefer: [],
      ...backend === undefined ? {} : { backend },
      ...memory === undefined ? {} : { memoryBytes: memory * 2 ** 20 },
      ...strategyFile === undefined ? {} : { strategyFile },
      start,
      listen: await listenAt(listen, member?.membership),
      bootstrap,
      profile,
      network,
      storesOf: phase => storesIn(folderOf(home, charter, phase, join(home, charterHash(phase))), phase, line => { emit({ type: 'error', node: name, code: 'ERR_CHECKPOINT', message: line }) }),
      ledger: await NodeLedger.open({
        home,
        signer: signerOf(privateKey),
        context: () => member === undefined ? lonelyContext(charter) : memberContext(member.membership),
        ...member === undefined ? {} : { retainRounds: member.membership.state.charter.safeguards.retainRounds },
        onNotice: line => { emit({ type: 'error', node: name, code: 'ERR_LEDGER', message: line }) }
      }),
      emit,
      ...member === undefined ? {} : { membership: member.membership }
    })
  })
}

/** More than are asked at once. */
const MAX_PEERS_ASKED = 64

/** Who this home is in a consortium; a charter file on the command line means a run without one. */
async function joinedAt (home: string, charterFile: string | undefined): Promise<Member | undefined> {
  if (charterFile !== undefined && existsSync(consortiumFiles(home).members)) throw new InvalidParametersError(`${home} belongs to a consortium, whose charter is in its member log`, { next: 'leave --charter out, or use another --home' })
  const member = await memberAt(home)
  if (member?.membership.joined === false) {
    const { membership } = member
    const { charter, revoked } = membership.state
    const expelled = revoked.get(membership.signer.peer)
    throw new RefusedError(`this node is no member of ${charter.name}${expelled === undefined ? ' any more' : `: it was expelled (${expelled.reason})`}`, { next: 'join with a new identity: fmtl-node join LINK --home OTHER' })
  }
  return member
}

async function charterOf (membership: Membership | undefined, config: Config, flags: Flags, strategy: Strategy): Promise<Charter> {
  if (membership !== undefined) return membership.state.charter.training
  if (flags.charter !== undefined) return await readCharterFile(flags.charter)
  if (config.data.path === undefined) throw new InvalidParametersError('no consortium, no charter and no data: this node would not know what to train', { next: 'fmtl-node found NAME, fmtl-node join LINK, or give --charter FILE' })
  return await charterFromData(config, strategy)
}

/** The port of last time, where it was the system's choice and is free still. */
async function listenAt (listen: readonly string[], membership: Membership | undefined): Promise<readonly string[]> {
  const port = await membership?.store.port()
  return port === undefined || !await isFree(port) ? listen : listen.map(address => address.replace(/\/tcp\/0$/, `/tcp/${port}`))
}

async function isFree (port: number): Promise<boolean> {
  const server = createServer()
  return await new Promise(resolve => {
    server.once('error', () => { resolve(false) })
    server.listen(port, () => { server.close(() => { resolve(true) }) })
  })
}

/** @throws {InvalidParametersError} addresses that are none */
async function examined (node: FmtlNode | undefined, body: unknown): Promise<object> {
  const { peers = [] } = (body ?? {}) as { peers?: unknown }
  if (!Array.isArray(peers) || peers.length > MAX_PEERS_ASKED || peers.some(peer => typeof peer !== 'string')) throw new InvalidParametersError(`peers must be a list of at most ${MAX_PEERS_ASKED} multiaddrs`)
  if (node === undefined) throw new ResourceError('this node is starting', { next: 'try again in a moment' })
  return await node.examine(peers as string[])
}

function heardFrom (neighbours: readonly Neighbour[]): HeardPeer[] {
  return neighbours.flatMap(({ peer, beat, lastSeenMs, clockSkewMs }) => beat === undefined || lastSeenMs === undefined
    ? []
    : [{ peer, name: beat.name, charterHash: beat.charter, digest: beat.digest, round: beat.round, heardMs: lastSeenMs, ...clockSkewMs === undefined ? {} : { clockSkewMs } }])
}

function printJson (event: NodeEvent): void { process.stdout.write(`${JSON.stringify(event)}\n`) }

function printFailure (failure: Failure): void {
  process.stderr.write(failureLine(failure))
  process.stdout.write(failureJson(failure))
}

/** One line per fact, with the time since the start. @param told - names that peers gave themselves on their cards */
function factPrinter (told: () => ReadonlyMap<string, string> | undefined): (event: NodeEvent) => void {
  const startedAt = Date.now()
  const names = new Map<string, string>()
  const rename = (text: string): string => [...told() ?? [], ...names].reduce((line, [peer, name]) => line.replaceAll(peer, name), text)
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
