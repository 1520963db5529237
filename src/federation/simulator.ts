/**
 * A whole consortium in one process, with no sockets: the same roles and trainers as on the network, joined by queues.
 * The reference for the network (same charter, same seed, same ids: same numbers) and the tool for experiments.
 */
import { BackboneHost } from './backbone-host.ts'
import { ExchangeHub } from './exchange.ts'
import { SplitClient } from './split-client.ts'
import { channelPair } from '../backbone/memory-channel.ts'
import { ClientTrainer } from '../training/client-trainer.ts'
import { HostTrainer } from '../training/host-trainer.ts'
import { charterHash } from './charter.ts'
import { expectFoundation } from '../foundation/spec.ts'
import { meanByTask } from './round-log.ts'
import { outgoingGuard } from '../backbone/guard.ts'
import { queued } from '../compute/remote.ts'
import { seatOf } from '../methods/seat.ts'
import { simulateGroups } from './group-simulator.ts'
import { withTasks } from '../data/dataset.ts'
import type { AttachRequest, Frame, RoundReport } from '../backbone/frames.ts'
import type { Backend } from '../backend/backend.ts'
import type { Charter } from './charter.ts'
import type { ClientDescription } from '../training/client-description.ts'
import type { ClientReport } from '../training/committee.ts'
import type { Dataset, Rows } from '../data/dataset.ts'
import type { EncoderSteps, TaskGroup, TaskPartition } from './groups.ts'
import type { LoadedRule } from '../projection/outside.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { Remote } from '../compute/remote.ts'
import type { SplitResult } from './group-simulator.ts'

/** By name: a client's on the wire, a host's. */
export interface Trainers {
  readonly clients: ReadonlyMap<string, Remote<ClientTrainer>>
  readonly hosts: ReadonlyMap<string, Remote<HostTrainer>>
}

export interface SimulationInit {
  readonly charter: Charter
  readonly dataset: Dataset
  readonly backend: Backend
  /** Names of the hosts; client i attaches to host i mod hosts. */
  readonly hosts: readonly string[]
  /** Names of the clients on the wire, one per client of the data set, in its order. */
  readonly clients: readonly string[]
  /** Tasks of one client where not every client has all of them. */
  readonly tasksOf?: (client: string) => readonly string[]
  /** Train a second local model for the two-locals control. */
  readonly control: boolean
  /** Every client is evaluated on these rows too, for its report on all labels (benches only). */
  readonly all?: Rows
  /** Train a local model to compare with. Default true. */
  readonly baseline?: boolean
  /** Start values of one client's embedder and heads from another seed than the charter's (experiments only). */
  readonly partsSeed?: (client: string) => number
  /** The gradient rule, where the charter names one from a strategy file. */
  readonly rule?: LoadedRule
  /** Weights of the charter's foundation model, where it builds on one. */
  readonly start?: readonly NamedTensor[]
  /** The host of each client; default: client i attaches to host i mod hosts. */
  readonly hostOf?: (client: string) => string
  /** Before the first step of a run, or of each phase of one, and after its last: the place to give trainers weights to start from, and to read what they hold. */
  readonly onTrainers?: (at: 'start' | 'end', trainers: Trainers, charter: Charter) => Promise<void>
  /** Where tasks are split: into which groups, once everybody has measured, and what the whole run takes. */
  readonly onPartition?: (partition: TaskPartition, steps: EncoderSteps) => void
  readonly onAttached?: (client: string, host: string, samples: ClientDescription['samples']) => void
  /** After every step of a host: mean loss per task. In a group of tasks, steps count from its own first one. */
  readonly onStep?: (host: string, step: number, losses: Readonly<Record<string, number>>, group?: TaskGroup) => void
  /** Rounds of a group of tasks count on from the merged ones. */
  readonly onRound?: (report: RoundReport, group?: TaskGroup) => void
  /** Sees every frame that a client sends. */
  readonly onFrame?: (client: string, frame: Frame) => void
}

export interface SimulationResult {
  readonly clients: readonly ClientReport[]
  readonly rounds: readonly RoundReport[]
  /** Weights of every client and host after the run, hashed. */
  readonly fingerprints: Readonly<Record<string, string>>
  /** Live tensors at the end of each round. */
  readonly liveTensors: readonly number[]
  /** Payload of all attachments, from clients to hosts and back, the last evaluation included. */
  readonly bytes: { readonly up: number, readonly down: number }
  /** Where the charter splits the tasks; the other fields are of all phases then, fingerprints of group g under 'name.g'. */
  readonly split?: SplitResult
}

export async function simulate (init: SimulationInit): Promise<SimulationResult> {
  const { grouping, training } = init.charter
  return grouping !== undefined && training.rounds > grouping.mergedRounds ? await simulateGroups(init, run) : await run(init)
}

async function run (init: SimulationInit): Promise<SimulationResult> {
  const { charter, dataset, backend } = init
  expectFoundation(charter.model.backbone.foundation, init.start)
  const hostOf = init.hostOf ?? ((client: string) => init.hosts[dataset.clientIds.indexOf(client) % init.hosts.length] as string)
  const rounds: RoundReport[] = []
  const liveTensors: number[] = []
  const hub = new ExchangeHub(init.hosts)
  const hosts = init.hosts.map(id => {
    const quorum = dataset.clientIds.filter(client => hostOf(client) === id).length
    const trainer = queued(new HostTrainer(backend, charter, backend.memoryBytes, init.rule, init.start))
    const host = new BackboneHost({ trainer, exchange: hub.exchangeOf(id) }, {
      id,
      charter: { ...charter, clock: { ...charter.clock, quorum } },
      slots: dataset.clientIds.length,
      heartbeatMs: Infinity
    })
    host.addEventListener('step:done', ({ detail: { step, losses } }) => { init.onStep?.(id, step + 1, meanByTask(losses)) })
    host.addEventListener('round:closed', ({ detail }) => {
      rounds.push(detail)
      liveTensors.push(backend.liveTensors())
      init.onRound?.(detail)
    })
    return { id, host, trainer }
  })
  const clients = await Promise.all(dataset.clientIds.map(async (id, c) => {
    const name = init.clients[c] ?? id
    const own = await dataset.client(id)
    const whole = init.all === undefined ? own : { ...own, all: init.all }
    const data = init.tasksOf === undefined ? whole : withTasks(whole, init.tasksOf(id))
    const partsSeed = init.partsSeed?.(id)
    const raw = new ClientTrainer(backend, charter, data, { control: init.control, baseline: init.baseline ?? true, ...init.start === undefined ? {} : { start: init.start }, seat: seatOf(dataset.clientIds, id, name), ...partsSeed === undefined ? {} : { partsSeed } })
    const trainer = queued(raw)
    const { id: hostId, host } = hosts.find(host => host.id === hostOf(id)) as typeof hosts[number]
    const { tasks, cut, batch, samples } = raw.describe()
    const client = new SplitClient(trainer, { charter, silenceMs: Infinity, holdoutRows: samples.holdout, testRows: samples.test, allRows: data.all?.count ?? 0 })
    const request: AttachRequest = { client: name, name: id, model: charterHash(charter), tasks, cut, samples: samples.train, batch }
    init.onAttached?.(id, hostId, samples)
    const admission = host.admit(request)
    if ('code' in admission) throw new Error(admission.reason)
    const guard = outgoingGuard({ cut, tasks, shared: charter.shared, whole: charter.model.trunk === 'client' })
    const channels = channelPair({
      client: name,
      host: hostId,
      codec: charter.cutCodec,
      guard: frame => {
        guard(frame)
        init.onFrame?.(name, frame)
      }
    })
    return {
      name,
      client,
      trainer,
      run: async () => {
        const served = host.serve(request, channels.host)
        await client.run(channels.client, admission.step)
        await served
      }
    }
  }))
  const trainers: Trainers = { clients: new Map(clients.map(({ name, trainer }) => [name, trainer])), hosts: new Map(hosts.map(({ id, trainer }) => [id, trainer])) }
  try {
    await init.onTrainers?.('start', trainers, charter)
    for (const { host } of hosts) host.start()
    await new Promise<void>((resolve, reject) => {
      for (const { host } of hosts) host.finished.catch(reject) // why it failed, before its clients say that it has left
      Promise.all(clients.map(async ({ run }) => { await run() })).then(() => { resolve() }, reject)
    })
    await init.onTrainers?.('end', trainers, charter)
    const fingerprints: Record<string, string> = {}
    for (const { name, trainer } of clients) fingerprints[name] = await trainer.fingerprint()
    for (const { id, trainer } of hosts) fingerprints[id] = await trainer.fingerprint()
    const bytes = hosts.reduce((sum, { host }) => ({ up: sum.up + host.bytes.received, down: sum.down + host.bytes.sent }), { up: 0, down: 0 })
    return { clients: await Promise.all(clients.map(async ({ client }) => await client.report())), rounds, fingerprints, liveTensors, bytes }
  } finally {
    for (const { host } of hosts) await host.stop('the simulation is over')
    for (const { trainer } of [...clients, ...hosts]) await trainer.dispose()
  }
}
