/**
 * A node as split client: finds a host, trains through it, moves to another when it dies, and ends with its served
 * predictor and an honest report. Its own host role, if it has one, is reached without a socket.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { BackendError, FmtlError, PrivacyError, ProtocolError, RefusedError } from '../../src/errors.ts'
import { SplitClient } from '../../src/federation/split-client.ts'
import { channelPair } from '../../src/backbone/memory-channel.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { outgoingGuard } from '../../src/backbone/guard.ts'
import { spawnTrainer } from '../../src/compute/spawn.ts'
import type { Admission, AttachRequest, FrameChannel, HostCard } from '../../src/backbone/frames.ts'
import type { BackboneHost } from '../../src/federation/backbone-host.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { CheckpointStore } from '../store/checkpoints.ts'
import type { ClientDescription } from '../../src/training/client-description.ts'
import type { ClientTrainer } from '../../src/training/client-trainer.ts'
import type { ClientReport } from '../../src/training/committee.ts'
import type { ClientTrainerInit, Compute } from '../../src/compute/spawn.ts'
import type { NodeEvent } from '../events.ts'
import type { Protocols } from '../../protocols/index.ts'

export interface ClientRoleInit {
  readonly node: string
  readonly peer: string
  readonly charter: Charter
  readonly trainer: Omit<ClientTrainerInit, 'kind' | 'charter'>
  /** Hosts in the order of preference; others are taken when none of these answers. */
  readonly prefer: readonly string[]
  readonly store?: CheckpointStore
  readonly emit: (event: NodeEvent) => void
}

/** How long a preferred host may take to appear before another one is taken, ms. */
const PREFERENCE_MS = 20_000
/** A host that failed is left alone for this long, ms (Petals: 15 s). */
const BAN_MS = 15_000
const BACKOFF_MS = { first: 250, longest: 5_000 }
const CARD_POLL_MS = 200

export class ClientRole {
  readonly compute: Compute<ClientTrainer>
  readonly #init: ClientRoleInit
  readonly #description: ClientDescription
  /** Hash of the charter: which hosts to ask for, and what to tell them. */
  readonly #model: string
  readonly #banned = new Map<string, number>()
  readonly #channels: FrameChannel[] = []
  #attachedOnce = false
  #up: Promise<void> | undefined
  /** What kept this node from computing: no other host can help. */
  #unfit: unknown
  #told = ''

  constructor (compute: Compute<ClientTrainer>, description: ClientDescription, init: ClientRoleInit) {
    this.compute = compute
    this.#description = description
    this.#model = charterHash(init.charter)
    this.#init = init
  }

  /** Reads the data, in the compute worker, and loads nothing to compute with yet. @throws {DataError} what is wrong with the data */
  static async create (init: ClientRoleInit): Promise<ClientRole> {
    const compute = await spawnTrainer({ kind: 'client', charter: init.charter, ...init.trainer })
    return new ClientRole(compute, await compute.trainer.describe(), init)
  }

  /** Trains to the end of the charter. @throws the signal's reason */
  async run (protocols: Protocols, local: BackboneHost | undefined, signal: AbortSignal): Promise<ClientReport> {
    const { node, charter, store, emit } = this.#init
    const { trainer } = this.compute
    const { tasks, samples } = this.#description
    emit({ type: 'client:ready', node, tasks, samples })
    const save = async ({ step, localSteps }: { step: number, localSteps: number }): Promise<void> => {
      if (store === undefined) return
      const { bytes } = await store.save(step, await trainer.save(), { model: this.#model, localSteps: String(localSteps) })
      emit({ type: 'checkpoint', node, step, bytes })
    }
    const client = new SplitClient(trainer, {
      charter,
      holdoutRows: samples.holdout,
      testRows: samples.test,
      onBegin: async () => { await this.#bringUp() },
      onBoundary: save
    })
    const restored = await store?.latest()
    if (restored !== undefined) {
      await trainer.load([...restored.tensors])
      client.resume({ step: restored.step, localSteps: Number(restored.meta.localSteps ?? restored.step) })
    }
    client.addEventListener('step:skipped', ({ detail }) => { emit({ type: 'step:skipped', node, ...detail }) })
    client.addEventListener('host:waiting', ({ detail }) => { this.#waiting(detail.reason) })
    try {
      return await this.#train(client, protocols, local, signal)
    } finally {
      if (signal.aborted && client.step > 0 && this.#up !== undefined) await save(client) // not a whole round is lost by a restart
    }
  }

  /** Through one host after another, until training is complete. */
  async #train (client: SplitClient, protocols: Protocols, local: BackboneHost | undefined, signal: AbortSignal): Promise<ClientReport> {
    const { node, emit } = this.#init
    for (let failures = 0; ;) {
      const host = await this.#chooseHost(protocols, local, signal)
      const card = protocols.announce.hosts.find(card => card.host === host)
      const stepBefore = client.step
      try {
        if (card !== undefined && card.step > 0) await this.#bringUp() // it trains already: its other clients are not to wait
        const { admission, channel } = await this.#attach(protocols, local, host, signal)
        this.#attachedOnce = true
        this.#channels.push(channel)
        emit({ type: 'client:attached', node, host, ...card === undefined ? {} : { hostName: card.name }, step: admission.step })
        await client.run(channel, admission.step, { signal })
        return await client.report()
      } catch (error) {
        signal.throwIfAborted()
        if (!(error instanceof FmtlError) || error instanceof PrivacyError || error instanceof BackendError || error === this.#unfit) throw error
        emit({ type: 'client:detached', node, host, reason: error.message })
        this.#banned.set(host, performance.now() + BAN_MS)
        failures = client.step > stepBefore ? 0 : failures + 1
        if (failures > 1) await pause(Math.min(BACKOFF_MS.longest, BACKOFF_MS.first * 2 ** failures), undefined, { signal })
      }
    }
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
      const { backend, falls } = await this.compute.bringUp()
      this.#init.emit({ type: 'client:computing', node: this.#init.node, backend, falls, seconds: (performance.now() - startedAt) / 1000 })
    })()
    try {
      await this.#up
    } catch (error) {
      this.#unfit = error
      throw error
    }
  }

  async #attach (protocols: Protocols, local: BackboneHost | undefined, host: string, signal: AbortSignal): Promise<{ admission: Admission, channel: FrameChannel }> {
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

  /** The first preferred host that is there; else, after a while or once attached before, the least loaded of all. */
  async #chooseHost (protocols: Protocols, local: BackboneHost | undefined, signal: AbortSignal): Promise<string> {
    const { prefer, peer } = this.#init
    const preferenceEnds = performance.now() + (this.#attachedOnce ? 0 : PREFERENCE_MS)
    for (;;) {
      signal.throwIfAborted()
      const open = this.#candidates(protocols.announce.hosts)
      const hosts = local === undefined || this.#isBanned(peer) ? open.map(card => card.host) : [peer, ...open.map(card => card.host)]
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

  #candidates (cards: readonly HostCard[]): HostCard[] {
    return cards
      .filter(card => card.model === this.#model && card.attached < card.slots && !this.#isBanned(card.host))
      .sort((a, b) => load(a) - load(b) || (a.host < b.host ? -1 : 1))
  }

  #isBanned (host: string): boolean { return (this.#banned.get(host) ?? 0) > performance.now() }

  #waiting (reason: string): void {
    if (reason === this.#told) return
    this.#told = reason
    this.#init.emit({ type: 'waiting', node: this.#init.node, reason })
  }
}

/** Clients per measured speed: the lower, the sooner a newcomer is served. */
function load (card: HostCard): number { return (card.attached + 1) / Math.max(1, card.samplesPerSecond) }
