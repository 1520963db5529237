/** `fmtl-node plan`: what taking part will cost one site before it joins, in bytes and seconds, or what a run that is over says. */
import { InvalidParametersError } from '../../src/errors.ts'
import { CODECS } from '../../src/compression/index.ts'
import { HOST_SAMPLES_PER_SECOND } from '../roles/choose.ts'
import { MAX_FRAME_BYTES } from '../../protocols/limits.ts'
import { TrafficPlan, accuracyCost, adviseCodec, advisePlacement, adviseWholeCodec, asFedAvg, asSplit, blankSite, compareTraffic, measureDevice, modelFloats } from '../../src/planning/index.ts'
import { asMember } from '../../src/data/check-charter.ts'
import { charterFromData } from './charter.ts'
import { createBackend } from '../../src/backend/index.ts'
import { elements } from '../../src/tensor/tensor.ts'
import { examples, formatOption, foundationOption, strategyOption } from './help.ts'
import { findLink } from './link.ts'
import { frameBytes } from '../../protocols/split-step/index.ts'
import { loadBestRung } from '../../src/backend/ladder.ts'
import { loadConfig } from '../config/config.ts'
import { localStepsOf } from '../../src/training/spec.ts'
import { passWork } from '../../src/training/work.ts'
import { openDataset } from '../../src/data/open.ts'
import { chosenPlan, printPlan } from './plan-report.ts'
import { printPeerPlan } from './plan-peers.ts'
import { openStrategy } from '../../src/strategies/outside.ts'
import { planFromRun } from './plan-from.ts'
import { readCharterFile, siteData } from './site.ts'
import { trafficOf } from '../../src/methods/index.ts'
import { sharedUnits } from '../../src/training/client-description.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { ClientData } from '../../src/data/dataset.ts'
import type { CodecName } from '../../src/compression/index.ts'
import type { Command } from 'commander'
import type { Config } from '../config/config.ts'
import type { Format } from './help.ts'
import type { Advice, DeviceSpeed, PlacedRound, Traffic } from '../../src/planning/index.ts'
import type { FoundLink } from './link.ts'
import type { LoadedRule } from '../../src/projection/outside.ts'
import type { PlanReport } from './plan-report.ts'

interface Flags {
  from?: string
  charter?: string
  data?: string
  client?: string
  tasks?: string
  link?: string
  latency?: string
  peer?: string
  hostSpeed?: string
  clients?: string
  hosts?: string
  backend?: string
  strategy?: string
  foundation?: string
  config?: string
  set: string[]
  format: Format
}

export function registerPlan (program: Command): void {
  const command = program.command('plan')
    .description('bytes and seconds of a training before it begins, and which codec and which place of the trunk fit')
    .option('--from <run>', 'advise from what a run measured: its output as JSON lines in a file, or the home of a node')
    .option('--charter <file>', 'the agreed charter, as `fmtl-node charter` wrote it (default: made from this site\'s data)')
    .option('--data <path>', 'this site\'s data set; without it rows of the charter\'s shape stand in')
    .option('--client <id>', 'which client of the data set this site is (default: the only one)')
    .option('--tasks <a,b>', 'tasks to train')
    .option('--link <rate>', 'line rate to the host, 20Mbit; or down and up, 50Mbit,10Mbit')
    .option('--latency <ms>', 'round trip to the host, as ping shows it')
    .option('--peer <multiaddr>', 'a running node: round trip and throughput are measured (4 MiB each way at most)')
    .option('--host-speed <rows/s>', 'the host\'s speed, as its first line in `up` says (default: as fast as this machine)')
    .option('--clients <n>', 'clients that will share the host (default: the charter\'s quorum)')
    .option('--hosts <n>', 'hosts of the consortium (default: what the charter waits for)')
    .option('--backend <rung>', 'first compute rung to try')
    .addOption(strategyOption())
    .addOption(foundationOption())
    .option('--config <file>', 'configuration file')
    .option('--set <key=value>', 'any setting; may be repeated', (value: string, all: string[]) => [...all, value], [])
    .addOption(formatOption())
    .action(async (flags: Flags) => { await plan(flags) })
  examples(command,
    'fmtl-node plan --charter charter.json --link 20Mbit --latency 30',
    'fmtl-node plan --charter charter.json --data ./our-data --client north --peer /ip4/192.0.2.7/tcp/4001',
    'fmtl-node plan --from run.ndjson --link 20Mbit --latency 30')
}

async function plan (flags: Flags): Promise<void> {
  if (flags.from !== undefined) return await planFromRun(flags.from, flags)
  const config = loadConfig({
    ...flags.config === undefined ? {} : { file: flags.config },
    env: process.env,
    flags: { 'node.backend': flags.backend, 'node.strategy': flags.strategy, 'node.foundation': flags.foundation, 'data.path': flags.data, 'data.client': flags.client, 'data.tasks': flags.tasks },
    sets: flags.set
  })
  if (flags.charter === undefined && config.data.path === undefined) throw new InvalidParametersError('no charter, no data and no run: there is nothing to plan for', { next: 'give --charter FILE, --data PATH or --from RUN' })
  const { strategy, rule } = await openStrategy(config.node.strategy)
  const charter = flags.charter === undefined ? await charterFromData(config, strategy) : await readCharterFile(flags.charter)
  if (charter.model.kind === 'linear') throw new InvalidParametersError('a linear model has no trunk to place and no cut to plan: a step is one gradient of its heads each way', { next: 'plan for a charter of another strategy' })
  const clients = count('--clients', flags.clients) ?? charter.clock.quorum
  if (charter.bench !== undefined) {
    const trained = flags.tasks?.split(',') ?? charter.tasks.map(({ id }) => id)
    printPeerPlan(charter, charter.bench, { tasks: trained, sites: Math.max(2, clients), format: flags.format })
    return
  }
  const otherHosts = (count('--hosts', flags.hosts) ?? 1 + charter.clock.peers) - 1
  const hostSpeed = count('--host-speed', flags.hostSpeed)
  const link = await findLink(flags)
  const device = await measure(config, charter, rule)
  const slower = hostSpeed === undefined ? 1 : device.trunkRowsPerSecond / hostSpeed
  const ways = waysOf(charter, { device, link, clients, slower })
  const own = charter.model.trunk === 'client' ? ways.client : ways.host
  const placed = ({ charter, site, advice }: Way): PlacedRound => {
    const plan = new TrafficPlan(charter, site, { codec: advice.codec, sizeOf: frameBytes })
    const { training } = charter
    return {
      charter,
      plan: chosenPlan(advice),
      traffic: plan.round(otherHosts),
      gradientSteps: training.stepsPerRound * localStepsOf(training),
      possible: plan.largestFrameBytes <= MAX_FRAME_BYTES
    }
  }
  const floats = modelFloats(charter, device.site.tasks)
  const report: PlanReport = {
    charter,
    device,
    link,
    clients,
    otherHosts,
    advice: own.advice,
    hostRowsPerSecond: hostSpeed ?? device.trunkRowsPerSecond,
    hostSpeedFrom: hostSpeed === undefined ? 'assumed: as fast as this machine' : 'given',
    wouldHost: device.trunkRowsPerSecond >= HOST_SAMPLES_PER_SECOND,
    comparison: compareTraffic(charter, device.site, { sizeOf: frameBytes, clients, otherHosts }),
    frameLimitBytes: MAX_FRAME_BYTES,
    placement: advisePlacement(link, placed(ways.host), placed(ways.client)),
    run: new TrafficPlan(charter, device.site, { codec: own.advice.codec, sizeOf: frameBytes }).run(otherHosts),
    parameters: floats.trunk + Object.values(floats.parts).reduce((sum, size) => sum + size, 0),
    trunkParameters: floats.trunk
  }
  printPlan(report, flags.format)
}

/** The charter's model with its trunk at the host, or at the client, and the codec that fits. */
interface Way {
  readonly charter: Charter
  readonly site: DeviceSpeed['site']
  readonly advice: Advice
}

/** @param init.slower - how many times slower than this machine the host is */
function waysOf (charter: Charter, { device, link, clients, slower }: { device: DeviceSpeed, link: FoundLink, clients: number, slower: number }): { host: Way, client: Way } {
  const { ms, codecMs, whole } = device
  const split = asSplit(charter)
  const client = charter.model.trunk === 'client' ? charter : asFedAvg(charter)
  const siteOf = (of: Charter): DeviceSpeed['site'] => ({ ...device.site, sharedUnits: sharedUnits(of, device.site.tasks) })
  const traffic = (of: Charter): Record<CodecName, Traffic> => byCodec(codec => new TrafficPlan(of, siteOf(of), { codec, sizeOf: frameBytes }).step())
  const { batch, cut, tasks } = device.site
  const { trunk, parts } = modelFloats(client, tasks)
  const sharedFloats = client.method !== undefined ? trafficOf(client).up : siteOf(client).sharedUnits.reduce((sum, unit) => sum + (unit === 'trunk' ? trunk : parts[unit] as number), 0)
  const atHost = adviseCodec({
    link,
    ms: { ...ms, trunkForward: slower * ms.trunkForward, trunkBackward: slower * ms.trunkBackward, apply: slower * ms.apply },
    codecMs,
    clients,
    roundTrips: siteOf(split).sharedUnits.length > 0 ? 3 : 2,
    traffic: traffic(split),
    accuracy: byCodec(accuracyCost)
  })
  const atClient = adviseWholeCodec({
    link,
    whole: { ...whole, average: slower * whole.average },
    localMs: ms.local,
    localSteps: localStepsOf(client.training),
    codecMs: byCodec(codec => codecMs[codec] * sharedFloats / (batch * elements(cut))),
    clients,
    traffic: traffic(client)
  })
  return { host: { charter: split, site: siteOf(split), advice: atHost }, client: { charter: client, site: siteOf(client), advice: atClient } }
}

async function measure (config: Config, charter: Charter, rule: LoadedRule | undefined): Promise<DeviceSpeed> {
  const { backend: prefer } = config.node
  const rung = await loadBestRung({ prefer, work: passWork(charter, 'both') })
  const backend = createBackend(rung, { onFall: line => process.stderr.write(`${line}\n`) })
  return await measureDevice(backend, charter, await rowsOf(config, charter), rule)
}

async function rowsOf (config: Config, charter: Charter): Promise<ClientData> {
  const site = await siteData(config, charter)
  if (site === undefined) return blankSite(charter)
  return asMember(charter, await (await openDataset(site.path, site.options)).client(site.client))
}

function byCodec<T> (of: (codec: CodecName) => T): Record<CodecName, T> {
  return Object.fromEntries(CODECS.map(codec => [codec, of(codec)])) as Record<CodecName, T>
}

function count (flag: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  if (!/^[1-9]\d{0,8}$/.test(value)) throw new InvalidParametersError(`${flag} must be a whole number from 1, got '${value}'`)
  return Number(value)
}
