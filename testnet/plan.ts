/** Works out a testnet before anything starts: who takes part, with which data and tasks, under which charter and keys. */
import { resolve } from 'node:path'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { InvalidParametersError } from '../src/errors.ts'
import { createCharter } from '../src/federation/charter.ts'
import { createHead } from '../src/models/head.ts'
import { embedderOf, inputOf } from '../src/models/inputs.ts'
import { openStrategy, ruleFile } from '../src/strategies/outside.ts'
import { settingsOf } from '../src/strategies/index.ts'
import { absolute, openDataset } from '../src/data/open.ts'
import { tasksOfClient } from '../src/data/dataset.ts'
import { readFoundation } from '../node/foundation/file.ts'
import { seededIdentity } from '../node/store/identity.ts'
import { startWeights } from '../src/foundation/weights.ts'
import type { Charter, CharterOptions } from '../src/federation/charter.ts'
import type { Dataset, DatasetOptions } from '../src/data/dataset.ts'
import type { LoadedRule } from '../src/projection/outside.ts'
import type { NamedTensor } from '../src/tensor/tensor.ts'
import type { RungName } from '../src/backend/ladder.ts'

export interface TestnetOptions {
  readonly hosts: number
  readonly clients?: number
  readonly rounds?: number
  readonly data: string
  readonly tasks?: readonly string[]
  /** Every client one task in turn (true) or all of them (false); default: what the data set recommends. */
  readonly spread?: boolean
  readonly rows?: number
  readonly partition?: DatasetOptions['partition']
  /** A name, or the path of a strategy file. */
  readonly strategy: string
  readonly seed: number
  readonly runner: 'process' | 'in-process'
  readonly backend?: RungName
  /** The nodes' homes are made here and stay; default: a temporary folder that is removed. */
  readonly home?: string
  /** TCP port of the first host, the bootstrap address; default: any free one. */
  readonly port?: number
  /** Memory that each node's trainer may use; default: what its rung has. */
  readonly memoryBytes?: number
  readonly control: boolean
  /** Train a local model at every client to compare with. Default true. */
  readonly baseline?: boolean
  /** TensorFlow threads of each node; default: the machine's cores, and 1 where nodes outnumber them. */
  readonly threads?: { readonly host: number, readonly client: number }
  /** File of a foundation model to build on. */
  readonly foundation?: string
  /** Over the strategy's and the recipe's settings. */
  readonly charter?: Partial<Pick<CharterOptions, 'model' | 'training' | 'projection' | 'merge' | 'grouping' | 'method' | 'bench' | 'clock' | 'cutCodec'>>
  /** 'NAME@ROUND' or 'NAME@ROUND+SECONDS': SIGKILL a node when a host closes that round, and start it again later. */
  readonly kill?: string
}

export interface PlannedNode {
  readonly name: string
  readonly peer: string
  /** Label under which its key is derived from the seed. */
  readonly label: string
}

export interface PlannedClient extends PlannedNode {
  /** Its name in the data set. */
  readonly data: string
  readonly tasks: readonly string[]
  /** The host it attaches to first; empty where nobody hosts. */
  readonly host: string
}

export interface TestnetPlan {
  readonly options: TestnetOptions
  readonly charter: Charter
  readonly strategy: string
  /** The strategy file that the charter's gradient rule is from, and that rule. */
  readonly rule?: { readonly path: string, readonly loaded: LoadedRule }
  /** The foundation model's file, and the weights that trainers start from. */
  readonly foundation?: { readonly path: string, readonly start: readonly NamedTensor[] }
  readonly dataset: Dataset
  readonly dataPath: string
  readonly dataOptions: DatasetOptions
  /** None where sites trade models. */
  readonly hosts: readonly PlannedNode[]
  readonly clients: readonly PlannedClient[]
}

/** Seven processes on two cores: a slow first step is not a lost client. */
const CLOCK = { stepDeadlineMs: 15_000, roundDeadlineMs: 20_000 }
/** A loopback testnet is for trying things out; beyond this it measures the machine, not the network. */
const MAX_NODES = 64

/**
 * @throws {InvalidParametersError} an option that cannot be
 * @throws {DataError} what is wrong with the data
 */
export async function planTestnet (options: TestnetOptions): Promise<TestnetPlan> {
  const { seed, data } = options
  count('--hosts', options.hosts)
  if (options.clients !== undefined) count('--clients', options.clients)
  const opened = await openStrategy(options.strategy)
  const hostCount = opened.strategy.kind === 'peer' ? 0 : options.hosts
  const dataOptions: DatasetOptions = {
    seed,
    ...options.clients === undefined ? {} : { clients: options.clients },
    ...options.tasks === undefined ? {} : { tasks: options.tasks },
    ...options.rows === undefined ? {} : { rows: options.rows },
    ...options.partition === undefined ? {} : { partition: options.partition }
  }
  const dataset = await openDataset(data, dataOptions)
  const clientCount = dataset.clientIds.length
  if (hostCount + clientCount > MAX_NODES) throw new InvalidParametersError(`${hostCount} hosts and ${clientCount} clients are more than ${MAX_NODES} nodes`, { next: 'take fewer with --clients' })
  if (hostCount > clientCount) throw new InvalidParametersError(`${hostCount} hosts for ${clientCount} clients: some would serve nobody`, { next: `take --hosts ${clientCount} or fewer` })
  const own = options.charter ?? {}
  const foundation = options.foundation === undefined ? undefined : await readFoundation(options.foundation)
  const charter = createCharter({
    name: `testnet ${dataset.name}`,
    seed,
    input: dataset.input,
    ...dataset.inputs === undefined ? {} : { inputs: dataset.inputs },
    tasks: dataset.tasks,
    ...settingsOf(opened.strategy, dataset.recipe, { ...own, model: { ...foundation?.model, ...own.model }, training: { ...options.rounds === undefined ? {} : { rounds: options.rounds }, ...own.training } }),
    clock: { ...CLOCK, ...own.clock },
    ...own.cutCodec === undefined ? {} : { cutCodec: own.cutCodec }
  })
  // what does not fit is said here, before a process starts
  for (const task of charter.tasks) createHead(task, embedderOf(charter.model, inputOf(charter, task)), charter.model.backbone.width, charter.model.adapter)
  const node = async (label: string): Promise<PlannedNode> => {
    const key = await seededIdentity(seed, label)
    return { name: label, label, peer: peerIdFromPrivateKey(key).toString() }
  }
  const hosts = await Promise.all(Array.from({ length: hostCount }, async (_, i) => await node(`host-${i + 1}`)))
  // What tasks do to each other is measured where a client has several of them; models of other tasks are of no use to a peer.
  const spread = options.spread ?? (charter.grouping === undefined && charter.bench === undefined ? undefined : false)
  const clients = await Promise.all(dataset.clientIds.map(async (id, i) => ({
    ...await node(id),
    data: id,
    tasks: tasksOfClient(dataset, id, spread),
    host: hosts[i % hostCount]?.peer ?? ''
  })))
  const file = ruleFile(charter, opened)
  return { options, charter, strategy: opened.strategy.name, ...file === undefined || opened.rule === undefined ? {} : { rule: { path: resolve(file.path), loaded: opened.rule } }, ...options.foundation === undefined ? {} : { foundation: { path: resolve(options.foundation), start: startWeights(charter, foundation) } }, dataset, dataPath: await absolute(data), dataOptions, hosts, clients }
}

function count (flag: string, value: number): void {
  if (!Number.isInteger(value) || value < 1 || value > MAX_NODES) throw new InvalidParametersError(`${flag} must be a whole number from 1 to ${MAX_NODES}, got ${value}`)
}
