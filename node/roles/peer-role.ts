/**
 * A node as a peer that trades models (FedPAE): it trains models of its own by its own clock, offers them, fetches those that
 * others offer, and serves the few that together answer its hold-out best. There is no host, and nobody waits for anybody: the
 * committee of now serves until a better one is chosen. Goes on from the newest checkpoint after a restart, or when its compute
 * worker is lost; once trained it answers whoever asks for its models, and takes what comes late, until it is stopped.
 */
import { Losses } from './losses.ts'
import { MemoryCheckpoints } from '../store/memory.ts'
import { Pulls } from './pulls.ts'
import { Waiters } from '../waiters.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { plural } from '../cli/format.ts'
import { localStepsOf } from '../../src/training/spec.ts'
import { meanByTask } from '../../src/federation/round-log.ts'
import { spawnTrainer } from '../../src/compute/spawn.ts'
import { weightsHash } from '../../src/bench/card.ts'
import type { BackendError } from '../../src/errors.ts'
import type { BenchService } from '../../protocols/bench/index.ts'
import type { BenchSpec } from '../../src/bench/spec.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Checkpoints } from '../store/memory.ts'
import type { ClientReport } from '../../src/training/committee.ts'
import type { Compute, ComputeFacts, PeerTrainerInit } from '../../src/compute/spawn.ts'
import type { Explanation, PeerDescription, PeerTrainer } from '../../src/bench/peer-trainer.ts'
import type { Held } from './pulls.ts'
import type { ModelCard } from '../../src/bench/card.ts'
import type { NodeEvent } from '../events.ts'
import type { NodeView } from '../telemetry/facts.ts'
import type { Protocols } from '../../protocols/index.ts'
import type { RungName } from '../../src/backend/ladder.ts'
import type { TaskLoss } from '../../src/backbone/frames.ts'

export interface PeerRoleInit {
  readonly node: string
  readonly peer: string
  readonly charter: Charter
  readonly trainer: Omit<PeerTrainerInit, 'kind' | 'charter' | 'peer'>
  /** Time between two repetitions of its cards, ms. */
  readonly repeatMs: number
  /** Longest time that a change of the bench waits for the next choice, ms. */
  readonly selectMs: number
  readonly store?: Checkpoints
  readonly emit: (event: NodeEvent) => void
  /** Default: a worker thread of this process. */
  readonly spawn?: (init: PeerTrainerInit) => Promise<Compute<PeerTrainer>>
}

/** Who serves at this site now, and why. */
export interface Committee {
  readonly explanation: Explanation
  /** Choices so far, and when the last one was made, ms ago. */
  readonly choices: number
  readonly agoMs: number
  /** What the last report found to serve, the committee or the site's linear model, and why. Undefined until there was one. */
  readonly served?: { readonly by: string, readonly reason: string }
  /** By peer id. */
  readonly names: Readonly<Record<string, string>>
}

/** Gradient steps between two looks at what has arrived: a model that came is judged within a second on a slow machine. */
const STEPS_AT_ONCE = 10
/** A step event at most this often, ms. */
const STEP_EVENT_MS = 250

export class PeerRole {
  readonly #init: PeerRoleInit
  readonly #checkpoints: Checkpoints
  readonly #losses = new Losses()
  readonly #waiters = new Waiters()
  readonly #first = Promise.withResolvers<ClientReport>()
  readonly #names = new Map<string, string>()
  readonly description: PeerDescription
  #compute: Compute<PeerTrainer>
  #facts: ComputeFacts | undefined
  /** Why the worker of now is no more, once it is not. */
  #lost: BackendError | undefined
  #bench: BenchService | undefined
  #pulls: Pulls | undefined
  #ended: Promise<void> = Promise.resolve()
  #step = 0
  #toldAt = -Infinity
  /** Models that came or changed since the last choice. */
  #changes = 0
  #choices = 0
  #chosen: { readonly explanation: Explanation, readonly at: number } | undefined
  #reported: ClientReport | undefined
  #received = 0
  #given: () => number = () => 0
  #saving: Promise<void> = Promise.resolve()

  constructor (compute: Compute<PeerTrainer>, description: PeerDescription, init: PeerRoleInit) {
    this.#init = init
    this.#compute = compute
    this.#watch(compute)
    this.description = description
    this.#checkpoints = init.store ?? new MemoryCheckpoints()
    this.#first.promise.catch(() => undefined) // whoever awaits `run` hears of it
  }

  /** Reads the data, in the compute worker, and loads nothing to compute with yet. @throws {DataError} what is wrong with the data */
  static async create (init: PeerRoleInit): Promise<PeerRole> {
    const compute = await spawn(init, init.trainer.backend)
    return new PeerRole(compute, await compute.trainer.describe(), init)
  }

  get compute (): Compute<PeerTrainer> { return this.#compute }

  /** Bytes of weights, given and taken. */
  get bytes (): { sent: number, received: number } { return { sent: this.#given(), received: this.#received } }

  /** For the status. */
  get view (): NonNullable<NodeView['peer']> {
    const { kept = 0, refused = 0, pending = 0, failed = 0 } = this.#pulls?.figures ?? {}
    const cards = this.#bench?.cards ?? []
    return {
      figures: {
        step: this.#step,
        total: this.description.steps,
        done: this.#reported !== undefined,
        cards: { known: cards.length, peers: new Set(cards.map(({ card }) => card.peer)).size, kept, refused, pending, failed },
        members: [...new Set(this.#chosen?.explanation.tasks.flatMap(({ members }) => members.map(({ peer, modelId }) => `${modelId} of ${peer === this.#init.peer ? 'its own' : this.#names.get(peer) ?? peer}`)))]
      },
      names: this.#names
    }
  }

  get committee (): Committee | undefined {
    if (this.#chosen === undefined) return undefined
    const { explanation, at } = this.#chosen
    return {
      explanation,
      choices: this.#choices,
      agoMs: performance.now() - at,
      ...this.#reported === undefined ? {} : { served: { by: this.#reported.served, reason: this.#reported.reason } },
      names: { ...Object.fromEntries(this.#names), [this.#init.peer]: this.#init.node }
    }
  }

  /**
   * Trains to the end of the charter; resolves with the first report, and goes on serving until the signal.
   * @param addresses - where it can be dialled now
   * @throws the signal's reason
   */
  async run (protocols: Protocols, addresses: () => readonly string[], signal: AbortSignal): Promise<ClientReport> {
    const { node, charter, repeatMs, emit } = this.#init
    const { tasks, samples, models } = this.description
    const bench = this.#bench = protocols.bench({
      tasks: charter.tasks.map(({ id }) => id),
      modelsPerPeer: models.length,
      maxBytes: (charter.bench as BenchSpec).maxBytes,
      name: node,
      addresses,
      everyMs: repeatMs
    })
    this.#given = () => protocols.blobs.given
    emit({ type: 'client:ready', node, tasks, samples })
    this.#ended = this.#live(bench, signal).catch((error: unknown) => { this.#fail(error, signal) })
    return await this.#first.promise
  }

  async stop (): Promise<void> {
    await this.#ended
    this.#bench?.stop()
    await this.#compute.stop()
  }

  /** Until the signal; a worker that is lost is replaced. */
  async #live (bench: BenchService, signal: AbortSignal): Promise<void> {
    const { node, emit } = this.#init
    bench.onRefused(({ peer, modelId, reason }) => { emit({ type: 'card:refused', node, peer, ...modelId === undefined ? {} : { modelId }, reason }) })
    bench.onCard(({ card, name }) => {
      if (name !== '') this.#names.set(card.peer, name)
      this.#pulls?.offer(card)
    })
    bench.start()
    for (;;) {
      // what belongs to one worker ends with it
      const worker = new AbortController()
      const both = AbortSignal.any([signal, worker.signal])
      try {
        await Promise.all([this.#train(bench, both), this.#choose(both)])
      } catch (error) {
        worker.abort(error)
        if (signal.aborted && this.#step > 0 && this.#lost === undefined) await this.#save() // not a whole round is lost by a restart
        signal.throwIfAborted()
        if (this.#lost === undefined) throw error
        await this.#recover(this.#lost)
      }
    }
  }

  /** What nobody awaits any more is told. */
  #fail (error: unknown, signal: AbortSignal): void {
    this.#first.reject(error as Error)
    if (signal.aborted || this.#reported === undefined) return
    const { message, code = 'ERR_INTERNAL', next } = error as Error & { code?: string, next?: string }
    this.#init.emit({ type: 'error', node: this.#init.node, code, message: `serves its last committee and chooses no other: ${message}`, ...next === undefined ? {} : { next } })
  }

  #watch (compute: Compute<PeerTrainer>): void {
    void compute.lost.then(error => { this.#lost = error }) // before any call fails
  }

  async #recover (error: BackendError): Promise<void> {
    const { node, emit, trainer } = this.#init
    await this.#compute.stop()
    const compute = this.#compute = await spawn(this.#init, this.#losses.next(error, this.#facts?.backend ?? trainer.backend))
    this.#lost = this.#facts = undefined
    this.#watch(compute)
    emit({ type: 'error', node, code: 'ERR_COMPUTE_LOST', message: `${error.message}; goes on with another compute worker`, ...error.next === undefined ? {} : { next: error.next } })
  }

  /** Its own models, to the end of the charter, and then the report. */
  async #train (bench: BenchService, signal: AbortSignal): Promise<void> {
    const { node, emit, charter } = this.#init
    const { steps, publishAt } = this.description
    const { trainer } = this.#compute
    const restored = await this.#checkpoints.latest()
    if (restored !== undefined) await trainer.load([...restored.tensors])
    const startedAt = performance.now()
    const { backend, falls } = this.#facts = await this.#compute.bringUp()
    emit({ type: 'client:computing', node, backend, falls, seconds: (performance.now() - startedAt) / 1000 })
    this.#pulls = this.#pull(bench, JSON.parse(restored?.meta.held ?? '[]') as readonly Held[], signal)
    for (const { card } of bench.cards) this.#pulls.offer(card)
    this.#step = (await trainer.progress()).step
    // whoever comes back offers what it has: others may never have heard of it
    if (this.#step >= (publishAt[0] ?? steps)) await this.#publish(bench, signal)
    const round = charter.training.stepsPerRound * localStepsOf(charter.training)
    while (this.#step < steps) {
      signal.throwIfAborted()
      const stops = [...publishAt, (Math.floor(this.#step / round) + 1) * round, this.#step + STEPS_AT_ONCE]
      const next = Math.min(steps, ...stops.filter(step => step > this.#step))
      const losses = await trainer.step(next - this.#step)
      this.#step = next
      this.#tellStep(losses)
      if (publishAt.includes(next)) await this.#publish(bench, signal)
      else if (next % round === 0) await this.#save()
    }
    await this.#settle(AbortSignal.any([signal, AbortSignal.timeout(charter.clock.roundDeadlineMs)]), signal)
    await this.#waiters.until(() => this.#changes === 0 && this.#chosen !== undefined, signal)
    await this.#report()
    await this.#waiters.until(() => false, signal)
  }

  /** What was on its way when the own models were ready is looked at before the report; what comes later, after it. */
  async #settle (late: AbortSignal, signal: AbortSignal): Promise<void> {
    const { node, emit } = this.#init
    const pending = this.#pulls?.pending ?? []
    if (pending.length > 0) emit({ type: 'waiting', node, reason: `waiting: ${plural(pending.length, 'model')} of others on the way, for ${Math.round(this.#init.charter.clock.roundDeadlineMs / 1000)} s at most` })
    await this.#pulls?.idle(late).catch(() => { signal.throwIfAborted() })
    if (pending.length > 0) emit({ type: 'waiting', node, reason: '' })
  }

  async #publish (bench: BenchService, signal: AbortSignal): Promise<void> {
    const { node, emit } = this.#init
    const { trainer } = this.#compute
    const published = await trainer.publish()
    await this.#save() // a version that others have seen is never given to other weights
    signal.throwIfAborted()
    for (const { card, weights } of published) {
      const whole: ModelCard = { ...card, sha256: weightsHash(weights) }
      await bench.publish(whole, new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength))
      emit({ type: 'card:published', node, modelId: card.modelId, version: card.version, bytes: card.bytes, ...card.valAccuracy === undefined ? {} : { accuracy: card.valAccuracy } })
    }
    this.#changed(published.length)
  }

  /** Its models, and what is on its bench. One after the other: the older one is never the last to be written. */
  async #save (): Promise<void> {
    const { node, charter, store, emit } = this.#init
    this.#saving = this.#saving.catch(() => undefined).then(async () => {
      const [step, tensors] = [this.#step, await this.#compute.trainer.save()]
      const { bytes } = await this.#checkpoints.save(step, tensors, { model: charterHash(charter), held: JSON.stringify(this.#pulls?.held ?? []) })
      this.#losses.settled()
      if (store !== undefined) emit({ type: 'checkpoint', node, step, bytes })
    })
    await this.#saving
  }

  #pull (bench: BenchService, held: readonly Held[], signal: AbortSignal): Pulls {
    const { node, emit } = this.#init
    const { trainer } = this.#compute
    return new Pulls({
      wanted: async card => await trainer.wanted(card),
      fetch: async (card, signal) => {
        const bytes = await bench.fetch(card, { signal })
        this.#received += bytes.byteLength
        return bytes
      },
      consider: async (card, weights) => await trainer.consider(card, weights),
      onConsidered: ({ peer, modelId, version }, { kept, reason, accuracy }) => {
        emit({ type: 'model:considered', node, peer, modelId, version, kept, reason, accuracy: Number.isNaN(accuracy) ? null : accuracy })
        if (kept) this.#changed(1)
      },
      onRefused: ({ peer, modelId, version }, reason) => { emit({ type: 'card:refused', node, peer, modelId, version, reason }) },
      now: () => performance.now(),
      signal,
      held
    })
  }

  #changed (models: number): void {
    this.#changes += models
    this.#waiters.wake()
  }

  /** A new committee once as many models came as one peer offers, or when the first of them has waited long enough. */
  async #choose (signal: AbortSignal): Promise<never> {
    const { node, selectMs, emit } = this.#init
    const { trainer } = this.#compute
    const enough = this.description.models.length
    for (;;) {
      await this.#waiters.until(() => this.#changes > 0, signal)
      let due = false
      const timer = setTimeout(() => {
        due = true
        this.#waiters.wake()
      }, selectMs)
      await this.#waiters.until(() => due || this.#changes >= enough, signal).finally(() => { clearTimeout(timer) })
      this.#changes = 0
      const explanation = await trainer.select()
      this.#chosen = { explanation, at: performance.now() }
      this.#choices++
      emit({ type: 'committee', node, explanation, pending: this.#changes })
      if (this.#reported !== undefined) {
        await this.#report()
        await this.#save() // what came late is not fetched again after a restart
      }
      this.#waiters.wake()
    }
  }

  /** The first one is the end of the training; every later committee has one of its own. */
  async #report (): Promise<void> {
    const { node, emit } = this.#init
    const report = await this.#compute.trainer.report()
    const first = this.#reported === undefined
    this.#reported = report
    if (first) this.#first.resolve(report)
    else emit({ type: 'report', node, report })
  }

  #tellStep (losses: readonly TaskLoss[]): void {
    const { node, emit } = this.#init
    const now = performance.now()
    if (now - this.#toldAt < STEP_EVENT_MS && this.#step < this.description.steps) return
    this.#toldAt = now
    emit({ type: 'step', node, step: this.#step, total: this.description.steps, losses: meanByTask(losses) })
  }
}

async function spawn ({ charter, peer, trainer, spawn = spawnTrainer }: PeerRoleInit, backend: RungName | undefined): Promise<Compute<PeerTrainer>> {
  return await spawn({ kind: 'peer', charter, peer, ...trainer, ...backend === undefined ? {} : { backend } })
}
