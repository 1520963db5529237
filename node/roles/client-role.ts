/**
 * A node as split client: finds a host, trains through it, moves to another when it dies, and ends with its served
 * predictor and an honest report. Its own host role, if it has one, is reached without a socket. A compute worker that is
 * lost, its graphics device with it, is replaced, and training goes on from the newest checkpoint.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { BackendError, FmtlError, PrivacyError, ProtocolError, RefusedError } from '../../src/errors.ts'
import { Losses } from './losses.ts'
import { betterThan, inOrderOf } from './host-choice.ts'
import { MemoryCheckpoints } from '../store/memory.ts'
import { SplitClient } from '../../src/federation/split-client.ts'
import { channelPair } from '../../src/backbone/memory-channel.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { outgoingGuard } from '../../src/backbone/guard.ts'
import { reportHash } from '../ledger.ts'
import { spawnTrainer } from '../../src/compute/spawn.ts'
import { totalSteps } from '../../src/training/spec.ts'
import type { Admission, AttachRequest, FrameChannel, RoundReport } from '../../src/backbone/frames.ts'
import type { BackboneHost } from '../../src/federation/backbone-host.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Checkpoints } from '../store/memory.ts'
import type { ClientDescription } from '../../src/training/client-description.ts'
import type { ClientTrainer } from '../../src/training/client-trainer.ts'
import type { ClientReport } from '../../src/training/committee.ts'
import type { ClientTrainerInit, Compute, ComputeFacts } from '../../src/compute/spawn.ts'
import type { Gathering, HostOffer } from './host-choice.ts'
import type { Ledger } from '../ledger.ts'
import type { NodeEvent } from '../events.ts'
import type { NodeView } from '../telemetry/facts.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'
import type { Protocols } from '../../protocols/index.ts'
import type { Remote } from '../../src/compute/remote.ts'
import type { RungName } from '../../src/backend/ladder.ts'

export interface ClientRoleInit {
  readonly node: string
  readonly peer: string
  readonly charter: Charter
  readonly trainer: Omit<ClientTrainerInit, 'kind' | 'charter'>
  /** Hosts in the order of preference; others are taken when none of these answers. */
  readonly prefer: readonly string[]
  /** Default 'spread'. */
  readonly gathering?: Gathering
  readonly store?: Checkpoints
  /** Weights to begin with in place of the charter's start values: those of a phase before. */
  readonly from?: readonly NamedTensor[]
  /** Hears of the trainer when it is brought up, at every round's end, and when it has nothing to learn any more. */
  readonly observe?: ClientObserver
  /** Where is written down what this client was told of each round. */
  readonly ledger?: Ledger
  readonly emit: (event: NodeEvent) => void
  /** Default: a worker thread of this process. */
  readonly spawn?: (init: ClientTrainerInit) => Promise<Compute<ClientTrainer>>
}

export interface ClientObserver {
  readonly onBoundary: (step: number, trainer: Remote<ClientTrainer>) => Promise<void>
  readonly onTrained: (trainer: Remote<ClientTrainer>) => Promise<void>
}

/** A host in the same node. */
export interface LocalHost extends Pick<BackboneHost, 'admit' | 'serve'> {
  readonly offer: HostOffer
}

/** How long a preferred host may take to appear before another one is taken, ms. */
const PREFERENCE_MS = 20_000
/** Others are taken before a host that failed for this long, ms (Petals: 15 s). */
const BAN_MS = 15_000
const BACKOFF_MS = { first: 250, longest: 5_000 }
const CARD_POLL_MS = 200
/** How often a client that waits looks for company elsewhere, ms; hosts announce a newcomer at once. */
const MOVE_MS = 1_500

/** Not a failure of the host that it leaves. */
class MovingError extends ProtocolError {}

export class ClientRole {
  readonly #init: ClientRoleInit
  readonly #checkpoints: Checkpoints
  readonly #losses = new Losses()
  readonly #description: ClientDescription
  /** Hash of the charter: which hosts to ask for, and what to tell them. */
  readonly #model: string
  readonly #banned = new Map<string, { readonly until: number, readonly refused: boolean }>()
  readonly #channels: FrameChannel[] = []
  #compute: Compute<ClientTrainer>
  /** Why the worker of now is no more, once it is not. */
  #lost: BackendError | undefined
  #attachedOnce = false
  /** Of the worker of now, once it has been brought up. */
  #facts: ComputeFacts | undefined
  #up: Promise<void> | undefined
  /** What kept this node from computing, or from writing down what it took: no other host can help. */
  #unfit: unknown
  /** Whom it is attached to, and the newest round that it was told of there. */
  #through = { host: '', round: -1 }
  /** Rounds that are being written down. */
  #taking: Promise<void> = Promise.resolve()
  #told = ''
  /** After the last step that it took part in. */
  #step = 0

  constructor (compute: Compute<ClientTrainer>, description: ClientDescription, init: ClientRoleInit) {
    this.#compute = compute
    this.#watch(compute)
    this.#checkpoints = init.store ?? new MemoryCheckpoints()
    this.#description = description
    this.#model = charterHash(init.charter)
    this.#init = init
  }

  /** Reads the data, in the compute worker, and loads nothing to compute with yet. @throws {DataError} what is wrong with the data */
  static async create (init: ClientRoleInit): Promise<ClientRole> {
    const compute = await spawn(init, init.trainer.backend)
    return new ClientRole(compute, await compute.trainer.describe(), init)
  }

  get compute (): Compute<ClientTrainer> { return this.#compute }

  /** For the status. */
  get view (): NonNullable<NodeView['client']> { return { step: this.#step } }

  /** Trains to the end of the charter. @throws the signal's reason */
  async run (protocols: Protocols, local: LocalHost | undefined, signal: AbortSignal): Promise<ClientReport> {
    const { node, emit } = this.#init
    const { tasks, samples } = this.#description
    emit({ type: 'client:ready', node, tasks, samples })
    for (;;) {
      try {
        return await this.#runOnce(protocols, local, signal)
      } catch (error) {
        signal.throwIfAborted()
        if (this.#lost === undefined) throw error
        await this.#recover(this.#lost)
      }
    }
  }

  #watch (compute: Compute<ClientTrainer>): void {
    void compute.lost.then(error => { this.#lost = error }) // before any call fails
  }

  async #recover (error: BackendError): Promise<void> {
    const { node, emit } = this.#init
    await this.#compute.stop()
    const compute = this.#compute = await spawn(this.#init, this.#losses.next(error, this.#facts?.backend ?? this.#init.trainer.backend))
    this.#lost = this.#facts = this.#up = this.#unfit = undefined
    this.#watch(compute)
    emit({ type: 'error', node, code: 'ERR_COMPUTE_LOST', message: `${error.message}; goes on with another compute worker`, ...error.next === undefined ? {} : { next: error.next } })
  }

  /** Until training is complete or the compute worker is lost, from the newest checkpoint. */
  async #runOnce (protocols: Protocols, local: LocalHost | undefined, signal: AbortSignal): Promise<ClientReport> {
    const { node, charter, store, from, observe, emit } = this.#init
    const { trainer } = this.compute
    const { samples } = this.#description
    const restored = await this.#checkpoints.latest()
    let begun = restored !== undefined
    const save = async ({ step, localSteps }: { step: number, localSteps: number }): Promise<void> => {
      await this.#taking
      const { bytes } = await this.#checkpoints.save(step, await trainer.save(), { model: this.#model, localSteps: String(localSteps) })
      this.#losses.settled()
      if (store !== undefined) emit({ type: 'checkpoint', node, step, bytes })
    }
    const begin = async (): Promise<void> => {
      await this.#bringUp()
      if (!begun && from !== undefined) await trainer.start(from)
      begun = true
      await observe?.onBoundary(client.step, trainer)
    }
    const client: SplitClient = new SplitClient(trainer, {
      charter,
      holdoutRows: samples.holdout,
      testRows: samples.test,
      onBegin: begin,
      onBoundary: async at => {
        await save(at)
        await observe?.onBoundary(at.step, trainer)
      }
    })
    if (restored !== undefined) {
      await trainer.load([...restored.tensors])
      client.resume({ step: restored.step, localSteps: Number(restored.meta.localSteps ?? restored.step) })
    }
    this.#step = client.step
    client.addEventListener('step:done', ({ detail }) => { this.#step = detail.step + 1 })
    client.addEventListener('step:skipped', ({ detail }) => { emit({ type: 'step:skipped', node, ...detail }) })
    client.addEventListener('round:closed', ({ detail }) => { this.#take(detail, signal) })
    client.addEventListener('host:waiting', ({ detail }) => { this.#waiting(detail.reason) })
    try {
      return await this.#train(client, protocols, local, signal)
    } finally {
      if (signal.aborted && client.step > 0 && this.#up !== undefined && this.#lost === undefined) await save(client) // not a whole round is lost by a restart
    }
  }

  /** Through one host after another, until training is complete. */
  async #train (client: SplitClient, protocols: Protocols, local: LocalHost | undefined, signal: AbortSignal): Promise<ClientReport> {
    const { node, emit } = this.#init
    for (let failures = 0; ;) {
      const host = await this.#chooseHost(protocols, local, signal)
      const card = protocols.announce.hosts.find(card => card.host === host)
      const stepBefore = client.step
      try {
        if (card !== undefined && card.step > 0) await this.#bringUp() // it trains already: its other clients are not to wait
        const { admission, channel } = await this.#attach(protocols, local, host, signal)
        this.#attachedOnce = true
        this.#through = { host, round: -1 }
        this.#channels.push(channel)
        emit({ type: 'client:attached', node, host, ...card === undefined ? {} : { hostName: card.name }, step: admission.step })
        await this.#runAt(host, admission.step, async moving => { await client.run(channel, admission.step, { signal: AbortSignal.any([signal, moving]) }) }, () => this.#offers(protocols, local), client)
        await this.#taking
        await this.#init.observe?.onTrained(this.#compute.trainer)
        return await client.report()
      } catch (error) {
        signal.throwIfAborted()
        if (!(error instanceof FmtlError) || error instanceof PrivacyError || error instanceof BackendError || error === this.#unfit) throw error
        emit({ type: 'client:detached', node, host, reason: error.message })
        if (!(error instanceof MovingError)) this.#banned.set(host, { until: performance.now() + BAN_MS, refused: error instanceof RefusedError })
        failures = client.step > stepBefore ? 0 : failures + 1
        if (failures > 1) await pause(Math.min(BACKOFF_MS.longest, BACKOFF_MS.first * 2 ** failures), undefined, { signal })
      }
    }
  }

  /** While a client waits at a host for others, it goes where they wait. */
  async #runAt (host: string, start: number, run: (moving: AbortSignal) => Promise<void>, offers: () => readonly HostOffer[], client: SplitClient): Promise<void> {
    const moving = new AbortController()
    let wish: string | undefined
    const timer = setInterval(() => {
      if (this.#init.gathering !== 'gather' || client.step > start) return
      const better = betterThan(host, offers().filter(offer => offer.host === host || !this.#isBanned(offer.host)))
      // seen twice: cards of one moment may cross
      if (better !== undefined && better === wish) moving.abort(new MovingError(`moves to ${better}, where more sites wait or training goes on`))
      wish = better
    }, MOVE_MS)
    try {
      await run(moving.signal)
    } finally {
      clearInterval(timer)
    }
  }

  /** Writes down what the host told; the next checkpoint waits for it. */
  #take (report: RoundReport, signal: AbortSignal): void {
    const { charter, ledger } = this.#init
    const { round } = report
    const step = (round + 1) * charter.training.stepsPerRound
    // A host may say what it likes: each round of the charter once.
    if (ledger === undefined || round <= this.#through.round || step > totalSteps(charter.training)) return
    this.#through = { ...this.#through, round }
    const act = { kind: 'take', host: this.#through.host, round, step, report: reportHash(report) } as const
    this.#taking = this.#taking.then(async () => { await ledger.append(act, { signal, onWaiting: reason => { this.#waiting(reason) } }) })
    this.#taking.catch((error: unknown) => { this.#unfit = error }) // whoever saves next hears of it
  }

  /** Payload bytes of all attachments so far. */
  get bytes (): { sent: number, received: number } {
    return this.#channels.reduce((sum, { bytes }) => ({ sent: sum.sent + bytes.sent, received: sum.received + bytes.received }), { sent: 0, received: 0 })
  }

  async stop (): Promise<void> { await this.compute.stop() }

  /** Loads the rung and builds the trainer, when it is first needed: until then an idle client is 200 MB smaller. */
  async #bringUp (): Promise<void> {
    this.#up ??= (async () => {
      const startedAt = performance.now()
      const { backend, falls } = this.#facts = await this.compute.bringUp()
      this.#init.emit({ type: 'client:computing', node: this.#init.node, backend, falls, seconds: (performance.now() - startedAt) / 1000 })
    })()
    try {
      await this.#up
    } catch (error) {
      this.#unfit = error
      throw error
    }
  }

  async #attach (protocols: Protocols, local: LocalHost | undefined, host: string, signal: AbortSignal): Promise<{ admission: Admission, channel: FrameChannel }> {
    const { node, peer, charter } = this.#init
    const { tasks, cut, batch, samples } = this.#description
    const request: AttachRequest = { client: peer, name: node, model: this.#model, tasks, cut, samples: samples.train, batch }
    const guard = outgoingGuard({ cut, tasks, shared: charter.shared, whole: charter.model.trunk === 'client' })
    if (host === peer) {
      if (local === undefined) throw new ProtocolError('this node does not host')
      const admission = local.admit(request)
      if ('code' in admission) throw new RefusedError(admission.reason)
      const channels = channelPair({ client: peer, host, codec: charter.cutCodec, guard })
      void local.serve(request, channels.host)
      return { admission, channel: channels.client }
    }
    const admission = await protocols.attach(host, request, { signal })
    return { admission, channel: await protocols.openChannel(host, admission, { signal, codec: charter.cutCodec, beforeSend: guard }) }
  }

  /** The first preferred host that is there; else, after a while or once attached before, the first in the order of the gathering. */
  async #chooseHost (protocols: Protocols, local: LocalHost | undefined, signal: AbortSignal): Promise<string> {
    const { prefer, gathering = 'spread' } = this.#init
    const preferenceEnds = performance.now() + (this.#attachedOnce ? 0 : PREFERENCE_MS)
    for (;;) {
      signal.throwIfAborted()
      const free = this.#offers(protocols, local).filter(({ attached, slots }) => attached < slots)
      const fine = free.filter(({ host }) => !this.#isBanned(host))
      // where there is no other one, what failed may have been the way there, and there may be another way
      const open = fine.length > 0 ? fine : free.filter(({ host }) => this.#banned.get(host)?.refused !== true || !this.#isBanned(host))
      const own = gathering === 'spread' ? open.find(({ host }) => host === this.#init.peer) : undefined
      const hosts = [...own === undefined ? [] : [own.host], ...inOrderOf(gathering, open.filter(offer => offer !== own)).map(({ host }) => host)]
      const preferred = prefer.find(host => hosts.includes(host))
      if (preferred !== undefined) return preferred
      if (hosts.length > 0 && (prefer.length === 0 || performance.now() >= preferenceEnds)) return hosts[0] as string
      const known = protocols.announce.hosts
      this.#waiting(known.length === 0
        ? 'waiting: no host has announced itself yet'
        : `waiting: none of ${known.length} announced hosts takes this client now (other charter, full, or just failed)`)
      await pause(CARD_POLL_MS, undefined, { signal })
    }
  }

  /** Hosts of this charter, this node's own among them. */
  #offers (protocols: Protocols, local: LocalHost | undefined): HostOffer[] {
    return [...local === undefined ? [] : [local.offer], ...protocols.announce.hosts.filter(card => card.model === this.#model)]
  }

  #isBanned (host: string): boolean { return (this.#banned.get(host)?.until ?? 0) > performance.now() }

  #waiting (reason: string): void {
    if (reason === this.#told) return
    this.#told = reason
    this.#init.emit({ type: 'waiting', node: this.#init.node, reason })
  }
}

async function spawn ({ charter, trainer, peer, spawn = spawnTrainer }: ClientRoleInit, backend: RungName | undefined): Promise<Compute<ClientTrainer>> {
  return await spawn({ kind: 'client', charter, name: peer, ...trainer, ...backend === undefined ? {} : { backend } })
}
