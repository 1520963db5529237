/** A node as backbone host: compute worker, step and round clocks, announcements, checkpoints. */
import { BackboneHost } from '../../src/federation/backbone-host.ts'
import { GossipExchange } from './gossip-exchange.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { createEmbedder } from '../../src/models/embedder.ts'
import { meanByTask } from '../../src/federation/round-log.ts'
import { spawnTrainer } from '../../src/compute/spawn.ts'
import { totalSteps } from '../../src/training/spec.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { CheckpointStore } from '../store/checkpoints.ts'
import type { Compute, ComputeFacts } from '../../src/compute/spawn.ts'
import type { HostTrainer } from '../../src/training/host-trainer.ts'
import type { NodeEvent } from '../events.ts'
import type { Protocols } from '../../protocols/index.ts'
import type { RungName } from '../../src/backend/ladder.ts'

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
  readonly store?: CheckpointStore
  readonly emit: (event: NodeEvent) => void
}

/** A step event at most this often, ms; the clock may tick a hundred times a second. */
const STEP_EVENT_MS = 250
/** A clock that stands still for less than this is not worth a line, ms. */
const WAITING_POLL_MS = 2_000

export class HostRole {
  readonly compute: Compute<HostTrainer>
  readonly facts: ComputeFacts
  readonly samplesPerSecond: number
  readonly #init: HostRoleInit
  #host: BackboneHost | undefined
  #exchange: GossipExchange | undefined
  #timers: NodeJS.Timeout[] = []
  #announce: () => void = () => {}
  #commit: (at: { step: number }) => Promise<void> = async () => {}
  #stopServing: (() => Promise<void>) | undefined

  constructor (compute: Compute<HostTrainer>, facts: ComputeFacts, samplesPerSecond: number, init: HostRoleInit) {
    this.compute = compute
    this.facts = facts
    this.samplesPerSecond = samplesPerSecond
    this.#init = init
  }

  /** Brings up the compute worker and measures what this machine can do; nothing is announced yet. */
  static async create (init: HostRoleInit): Promise<HostRole> {
    const { charter, slots, backend, memoryBytes } = init
    const compute = await spawnTrainer({ kind: 'host', charter, slots, ...backend === undefined ? {} : { backend }, ...memoryBytes === undefined ? {} : { memoryBytes } })
    const { tokens } = createEmbedder(charter.model.embedder, charter.input, charter.model.backbone.width)
    const facts = await compute.bringUp()
    return new HostRole(compute, facts, await compute.trainer.measure(tokens, charter.training.batch), init)
  }

  get host (): BackboneHost {
    if (this.#host === undefined) throw new Error('the host role has not been started')
    return this.#host
  }

  async start (protocols: Protocols, addresses: () => readonly string[]): Promise<void> {
    const { node, peer, charter, slots, announceMs, emit, store } = this.#init
    const { compute: { trainer }, facts } = this
    const model = charterHash(charter)
    const restored = await store?.latest()
    if (restored !== undefined) await trainer.load([...restored.tensors])
    this.#exchange = new GossipExchange(protocols, {
      self: peer,
      model,
      codec: charter.merge.codec,
      unitSizes: await trainer.unitSizes(),
      onProblem: line => emit({ type: 'error', node, code: 'ERR_DELTA', message: line })
    })
    const commit = this.#commit = async ({ step }: { step: number }): Promise<void> => {
      if (store === undefined) return
      const { bytes } = await store.save(step, await trainer.save(), { model })
      emit({ type: 'checkpoint', node, step, bytes })
    }
    const host = this.#host = new BackboneHost({ trainer, exchange: this.#exchange, commit }, { id: peer, charter, slots })
    if (restored !== undefined) host.resume(restored.step)
    this.#forward(host)
    emit({ type: 'host:ready', node, samplesPerSecond: this.samplesPerSecond, memoryBytes: facts.memoryBytes, parameters: Object.values(await trainer.unitSizes()).reduce((sum, size) => sum + size, 0) })
    this.#stopServing = await protocols.serve({
      admit: async request => host.admit(request),
      onChannel: (session, channel) => { void host.serve(session.request, channel) }
    })
    host.start()
    this.#announce = () => {
      protocols.announce.publish({
        host: peer,
        name: node,
        backend: facts.backend,
        samplesPerSecond: this.samplesPerSecond,
        memoryBytes: facts.memoryBytes,
        attached: host.attached,
        slots,
        model,
        round: host.round,
        step: host.step,
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
    for (const timer of this.#timers) clearInterval(timer)
    await this.#host?.stop()
    // A round's end that was not committed is not saved half-way: it begins again from the checkpoint before.
    const step = this.#host?.step ?? 0
    if (step % this.#init.charter.training.stepsPerRound !== 0) await this.#commit({ step })
    await this.#stopServing?.()
    this.#exchange?.stop()
    await this.compute.stop()
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
    let told = ''
    let lastStep = -1
    this.#timers.push(setInterval(() => {
      const stands = host.step === lastStep
      lastStep = host.step
      if (!stands || host.waiting === told) return
      told = host.waiting
      if (told !== '') emit({ type: 'waiting', node, reason: told })
    }, WAITING_POLL_MS))
  }
}
