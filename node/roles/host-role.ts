/**
 * A node as backbone host: compute worker, step and round clocks, announcements, checkpoints. When the worker is lost, its
 * graphics device with it, the role takes another one, goes on from the newest checkpoint, and its clients attach again.
 */
import { BackboneHost } from '../../src/federation/backbone-host.ts'
import { GossipExchange } from './gossip-exchange.ts'
import { Losses } from './losses.ts'
import { MemoryCheckpoints } from '../store/memory.ts'
import { CONFLICT_FIGURES } from '../../src/ledger/index.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { createEmbedder } from '../../src/models/embedder.ts'
import { meanByTask } from '../../src/federation/round-log.ts'
import { mergeTerms } from '../../src/training/merge.ts'
import { reportHash } from '../ledger.ts'
import { spawnTrainer } from '../../src/compute/spawn.ts'
import { totalSteps } from '../../src/training/spec.ts'
import { whenThereIsSpace } from '../store/durable.ts'
import type { Admission, AttachRequest, FrameChannel } from '../../src/backbone/frames.ts'
import type { BackendError } from '../../src/errors.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Checkpoints } from '../store/memory.ts'
import type { ClosedRound } from '../../src/federation/round-log.ts'
import type { ConflictFigures } from '../../src/ledger/index.ts'
import type { Compute, ComputeFacts, HostTrainerInit } from '../../src/compute/spawn.ts'
import type { HostOffer } from './host-choice.ts'
import type { HostTrainer } from '../../src/training/host-trainer.ts'
import type { Ledger } from '../ledger.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'
import type { NodeEvent } from '../events.ts'
import type { NodeView } from '../telemetry/facts.ts'
import type { Protocols } from '../../protocols/index.ts'
import type { Refusal } from '../../src/federation/admission.ts'
import type { RungName } from '../../src/backend/ladder.ts'
import type { StrategyFile } from '../../src/strategies/outside.ts'

export interface HostRoleInit {
  readonly node: string
  readonly peer: string
  readonly charter: Charter
  readonly slots: number
  /** Time between two cards, ms. */
  readonly announceMs: number
  readonly backend?: RungName
  /** What the trainer may use; default: what the rung has. */
  readonly memoryBytes?: number
  /** What the charter's gradient rule is read from, where it is one from a file. */
  readonly strategyFile?: StrategyFile
  /** Weights of the charter's foundation model, where it builds on one. */
  readonly start?: readonly NamedTensor[]
  /** Training rows that a client must say it has. Default: any number. */
  readonly minRows?: number
  readonly store?: Checkpoints
  /** Weights to begin with in place of the charter's start values: those of a phase before, which its clients hold too. */
  readonly from?: readonly NamedTensor[]
  /** Where each round is written down before it is announced. */
  readonly ledger?: Ledger
  readonly emit: (event: NodeEvent) => void
  /** Default: a worker thread of this process. */
  readonly spawn?: (init: HostTrainerInit) => Promise<Compute<HostTrainer>>
}

/** A step event at most this often, ms; the clock may tick a hundred times a second. */
const STEP_EVENT_MS = 250
/** A clock that stands still for less than this is not worth a line, ms. */
const WAITING_POLL_MS = 2_000

export class HostRole {
  readonly samplesPerSecond: number
  readonly #init: HostRoleInit
  readonly #checkpoints: Checkpoints
  readonly #losses = new Losses()
  readonly #end = Promise.withResolvers<void>()
  /** Attached now: peer id to the request of its newest attachment. */
  readonly #clients = new Map<string, AttachRequest>()
  #compute: Compute<HostTrainer>
  #facts: ComputeFacts
  #host: BackboneHost | undefined
  #exchange: GossipExchange | undefined
  #timers: NodeJS.Timeout[] = []
  #announce: () => void = () => {}
  /** Hash of the shared units as the round began with them, where there is a ledger. */
  #state = ''
  #stopServing: (() => Promise<void>) | undefined
  /** From the loss of a compute worker until another one has taken its place. */
  #lost = false
  #recovered: Promise<void> = Promise.resolve()
  #stopping = false
  /** The last round is closed. */
  #done = false

  constructor (compute: Compute<HostTrainer>, facts: ComputeFacts, samplesPerSecond: number, init: HostRoleInit) {
    this.#compute = compute
    this.#facts = facts
    this.samplesPerSecond = samplesPerSecond
    this.#init = init
    this.#checkpoints = init.store ?? new MemoryCheckpoints()
    this.#end.promise.then(() => { this.#done = true }, () => undefined) // whoever awaits `finished` hears of a failure
  }

  /** Brings up the compute worker and measures what this machine can do; nothing is announced yet. */
  static async create (init: HostRoleInit): Promise<HostRole> {
    const { charter } = init
    const compute = await spawn(init, init.backend)
    const { tokens } = createEmbedder(charter.model.embedder, charter.input, charter.model.backbone.width)
    const facts = await compute.bringUp()
    return new HostRole(compute, facts, await compute.trainer.measure(tokens, charter.training.batch), init)
  }

  get compute (): Compute<HostTrainer> { return this.#compute }

  /** Of the worker of now. */
  get facts (): ComputeFacts { return this.#facts }

  get host (): BackboneHost {
    if (this.#host === undefined) throw new Error('the host role has not been started')
    return this.#host
  }

  /** Resolves after the last round is closed; rejects when this role cannot go on. */
  get finished (): Promise<void> { return this.#end.promise }

  admit (request: AttachRequest): Admission | Refusal {
    const { minRows = 0 } = this.#init
    if (request.samples < minRows) return { code: 'TOO_FEW_ROWS', reason: `${request.samples} training rows, the charter asks for ${minRows}` }
    return this.#lost ? { code: 'RESTARTING', reason: 'this host has lost its compute worker and is starting another one' } : this.host.admit(request)
  }

  async serve (request: AttachRequest, channel: FrameChannel): Promise<string> {
    const { client } = request
    this.#clients.set(client, request)
    try {
      return await this.host.serve(request, channel)
    } finally {
      if (this.#clients.get(client) === request) this.#clients.delete(client)
    }
  }

  /** For the status. */
  get view (): NonNullable<NodeView['host']> {
    return {
      step: this.#host?.step ?? 0,
      slots: this.#init.slots,
      clients: [...this.#clients.values()].map(({ client, name }) => ({ peer: client, name })),
      waiting: this.#host?.waiting ?? '',
      done: this.#done
    }
  }

  /** What its own node's client compares with other hosts' cards. */
  get offer (): HostOffer {
    return { host: this.#init.peer, attached: this.#clients.size, slots: this.#init.slots, step: this.#host?.step ?? 0, samplesPerSecond: this.samplesPerSecond }
  }

  async start (protocols: Protocols, addresses: () => readonly string[]): Promise<void> {
    const { node, peer, charter, slots, announceMs, emit } = this.#init
    const model = charterHash(charter)
    const unitSizes = await this.compute.trainer.unitSizes()
    this.#exchange = new GossipExchange(protocols, {
      self: peer,
      model,
      codec: charter.merge.codec,
      unitSizes,
      onProblem: line => emit({ type: 'error', node, code: 'ERR_DELTA', message: line })
    })
    const host = await this.#takeUp(this.#exchange)
    emit({ type: 'host:ready', node, samplesPerSecond: this.samplesPerSecond, memoryBytes: this.facts.memoryBytes, parameters: Object.values(unitSizes).reduce((sum, size) => sum + size, 0) })
    this.#stopServing = await protocols.serve({
      admit: async request => this.admit(request),
      onChannel: (session, channel) => { void this.serve(session.request, channel) }
    })
    host.start()
    this.#watchClock()
    this.#announce = () => {
      const { attached, round, step } = this.host
      const { backend, memoryBytes } = this.facts
      protocols.announce.publish({
        host: peer,
        name: node,
        backend,
        samplesPerSecond: this.samplesPerSecond,
        memoryBytes,
        attached,
        slots,
        model,
        round,
        step,
        addresses: [...addresses()],
        sentAt: Date.now()
      }).catch(() => undefined) // nobody listens yet; the next card will find somebody
    }
    this.#announce()
    this.#timers.push(setInterval(this.#announce, announceMs))
  }

  /** Payload bytes of all attachments so far. */
  get bytes (): { sent: number, received: number } { return this.#host?.bytes ?? { sent: 0, received: 0 } }

  /** A peer connected: it should not have to wait for the next card. */
  greet (): void { this.#announce() }

  /** A peer's connection ended. */
  lost (peer: string): void { this.#exchange?.lost(peer) }

  async stop (): Promise<void> {
    this.#stopping = true
    for (const timer of this.#timers) clearInterval(timer)
    await this.#recovered
    await this.#host?.stop()
    // A round's end that was not committed is not saved half-way: it begins again from the checkpoint before.
    const step = this.#host?.step ?? 0
    if (!this.#lost && step % this.#init.charter.training.stepsPerRound !== 0) await this.#commit(step)
    await this.#stopServing?.()
    this.#exchange?.stop()
    await this.compute.stop()
  }

  /** The entry first: a round that is in a checkpoint and in no ledger would be nobody's. */
  async #close ({ step, contributions, taken, accepted, history, report, signal, onWaiting }: ClosedRound): Promise<void> {
    const { charter, ledger } = this.#init
    const after = ledger === undefined ? '' : await this.compute.trainer.anchorHash()
    await ledger?.append({
      kind: 'round',
      round: report.round,
      step,
      contributors: contributions,
      merged: taken.flatMap(({ host, round, weight, packed }) => packed === undefined ? [] : [{ host, round, weight, cid: packed.cid, codec: packed.codec }]),
      merge: mergeTerms(charter),
      accepted,
      before: this.#state,
      after,
      ...history === undefined ? {} : { history },
      report: reportHash(report),
      conflicts: Object.fromEntries(CONFLICT_FIGURES.map(name => [name, report[name]])) as ConflictFigures
    }, { deltas: taken.flatMap(({ packed }) => packed ?? []), signal, onWaiting })
    this.#state = after
    await whenThereIsSpace(async () => { await this.#commit(step) }, { signal, onWaiting })
  }

  async #commit (step: number): Promise<void> {
    const { node, charter, store, emit } = this.#init
    const { bytes } = await this.#checkpoints.save(step, await this.compute.trainer.save(), { model: charterHash(charter) })
    this.#losses.settled()
    if (store !== undefined) emit({ type: 'checkpoint', node, step, bytes })
  }

  /** A host on the compute worker of now, at the newest checkpoint. Not started. */
  async #takeUp (exchange: GossipExchange): Promise<BackboneHost> {
    const { peer, charter, slots, from } = this.#init
    const compute = this.#compute
    const restored = await this.#checkpoints.latest()
    if (restored !== undefined) await compute.trainer.load([...restored.tensors])
    else if (from !== undefined) await compute.trainer.start(from)
    if (this.#init.ledger !== undefined) this.#state = await compute.trainer.anchorHash()
    const host = this.#host = new BackboneHost({ trainer: compute.trainer, exchange, commit: async round => { await this.#close(round) } }, { id: peer, charter, slots })
    if (restored !== undefined || from !== undefined) host.resume(restored?.step ?? 0, { begun: from !== undefined })
    this.#forward(host)
    this.#lost = false
    void compute.lost.then(error => { // before any call of the host's fails
      this.#lost = true
      this.#recovered = this.#recover(error, host, exchange)
    })
    host.finished.then(() => { this.#end.resolve() }, error => { if (!this.#lost) this.#end.reject(error) })
    return host
  }

  async #recover (error: BackendError, old: BackboneHost, exchange: GossipExchange): Promise<void> {
    const { node, emit } = this.#init
    try {
      await old.stop(error.message)
      await this.#compute.stop()
      if (this.#stopping) return
      this.#compute = await spawn(this.#init, this.#losses.next(error, this.#facts.backend))
      this.#facts = await this.#compute.bringUp()
      const host = await this.#takeUp(exchange)
      const { backend } = this.#facts
      emit({ type: 'error', node, code: 'ERR_COMPUTE_LOST', message: `${error.message}; goes on at step ${host.step} on ${backend}`, ...error.next === undefined ? {} : { next: error.next } })
      if (this.#stopping) return
      host.start()
      this.#announce()
    } catch (cause) {
      this.#end.reject(cause)
    }
  }

  #forward (host: BackboneHost): void {
    const { node, charter, emit } = this.#init
    const total = totalSteps(charter.training)
    let lastEvent = 0
    const contributions: Record<string, number> = {}
    host.addEventListener('step:done', ({ detail: { step, contributors, losses } }) => {
      for (const client of contributors) contributions[client] = (contributions[client] ?? 0) + 1
      const now = performance.now()
      if (now - lastEvent < STEP_EVENT_MS && step + 1 < total) return
      lastEvent = now
      emit({ type: 'step', node, step: step + 1, total, losses: meanByTask(losses), contributions: { ...contributions } })
    })
    host.addEventListener('round:closed', ({ detail }) => { emit({ type: 'round', node, report: detail }) })
    host.addEventListener('client:attached', () => { this.#announce() })
  }

  /** Says why the clock stands, when it does and the reason is a new one. */
  #watchClock (): void {
    const { node, emit } = this.#init
    let told = ''
    let lastStep = -1
    this.#timers.push(setInterval(() => {
      const { step, waiting } = this.host
      const stands = step === lastStep
      lastStep = step
      if (!stands || waiting === told) return
      told = waiting
      if (told !== '') emit({ type: 'waiting', node, reason: told })
    }, WAITING_POLL_MS))
  }
}

async function spawn ({ charter, slots, memoryBytes, strategyFile, start, spawn = spawnTrainer }: HostRoleInit, backend: RungName | undefined): Promise<Compute<HostTrainer>> {
  return await spawn({ kind: 'host', charter, slots, ...backend === undefined ? {} : { backend }, ...memoryBytes === undefined ? {} : { memoryBytes }, ...strategyFile === undefined ? {} : { strategyFile }, ...start === undefined ? {} : { start } })
}
