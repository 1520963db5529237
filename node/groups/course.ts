/**
 * The way of one node through a training whose tasks are split: all tasks merged; then, once the members have agreed on the
 * groups, one group after the other, each from the merged weights, in the order of the partition at everybody. A client trains
 * in the groups of its tasks, a host serves those of its clients. What a phase came to is kept: a restart goes on in the right one.
 */
import { ProtocolError } from '../../src/errors.ts'
import { SplitMeeting } from './split-meeting.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { charterOfGroup, firstCharter, storesInMemory, titleOf } from './phase.ts'
import { SPLITS, finalReport, keepPredictions } from './final-report.ts'
import { held } from './held.ts'
import { encoderSteps, groupCharter, groupingOf, phaseRounds } from '../../src/federation/groups.ts'
import { loadAgreed, saveAgreed } from './agreed-store.ts'
import { mergeId, rowOf } from './rows.ts'
import { totalSteps } from '../../src/training/spec.ts'
import type { AffinityService } from '../../protocols/affinity/index.ts'
import type { Agreement } from './split-meeting.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { ClientReport } from '../../src/training/committee.ts'
import type { Checkpoint } from '../store/checkpoints.ts'
import type { Checkpoints } from '../store/memory.ts'
import type { ClientRole } from '../roles/client-role.ts'
import type { ClientTrainer } from '../../src/training/client-trainer.ts'
import type { ClientTrainerInit } from '../../src/compute/spawn.ts'
import type { HostRole } from '../roles/host-role.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'
import type { NodeEvent } from '../events.ts'
import type { Phase, PhaseRoles, PhaseStores } from './phase.ts'
import type { Protocols } from '../../protocols/index.ts'
import type { Remote } from '../../src/compute/remote.ts'
import type { RoundReport } from '../../src/backbone/frames.ts'

/** The roles of a node in one phase; started. */
export interface Stage {
  readonly protocols: Protocols
  readonly host?: HostRole
  readonly client?: ClientRole
}

export interface CourseInit {
  readonly node: string
  readonly peer: string
  /** Of the whole training. */
  readonly charter: Charter
  /** What a client reports with; undefined where there are no rows here. */
  readonly trainer?: Omit<ClientTrainerInit, 'kind' | 'charter'>
  /** Tasks of this site. Default: all of the charter's. */
  readonly tasks?: readonly string[]
  /** Where a phase is kept. Default: in memory. */
  readonly storesOf?: (charter: Charter) => PhaseStores
  readonly emit: (event: NodeEvent) => void
}

/** Not a failure: all hosts are in a later phase. */
class LeftBehindError extends ProtocolError {}

export class Course {
  readonly merged: Phase
  readonly #init: CourseInit
  readonly #merge: string
  readonly #stores = new Map<string, PhaseStores>()
  readonly #rollTold = Promise.withResolvers<void>()
  readonly #rowTold = Promise.withResolvers<void>()
  #meeting: SplitMeeting | undefined
  #affinity: AffinityService | undefined
  #weights: { host?: readonly NamedTensor[], client?: readonly NamedTensor[] } = {}
  #group: Phase['group']
  #rolled = false
  /** Steps of all phases, and the charters of the groups, once they are known. */
  #total: number
  #models: readonly string[] = []

  constructor (init: CourseInit) {
    this.#init = init
    this.#merge = mergeId(init.charter)
    this.#total = totalSteps(init.charter.training)
    const charter = firstCharter(init.charter)
    this.merged = {
      charter,
      title: 'merged',
      stores: this.#storesOf(charter),
      observe: {
        onBoundary: async (step, trainer) => { await this.#measured(step, trainer) },
        onTrained: async trainer => { this.#weights.client = await trainer.weights() }
      }
    }
  }

  /** What roles tell passes here: rounds and steps count on over the phases, a host's round tells who was there to measure. */
  readonly emit = (event: NodeEvent): void => {
    const { emit, charter } = this.#init
    const group = this.#group
    switch (event.type) {
      case 'round':
        if (group !== undefined) return emit({ ...event, report: { ...event.report, round: phaseRounds(charter).merged + event.report.round }, group: group.tasks })
        this.#closed(event.report)
        return emit({ ...event, report: { ...event.report, final: false } })
      case 'step': return emit({ ...event, step: event.step + (group === undefined ? 0 : this.#stepsBefore(group.index)), total: this.#total })
      case 'client:ready': case 'host:ready': return group === undefined ? emit(event) : undefined
      default: return emit(event)
    }
  }

  /**
   * @param begin - ends the roles of the phase before and starts those of this one
   * @param roles - that this node takes; the merged phase has been prepared with them and not begun
   * @returns the report, of a client
   */
  async run (protocols: Protocols, begin: (phase: Phase, roles: PhaseRoles) => Promise<Stage>, roles: PhaseRoles, signal: AbortSignal): Promise<ClientReport | undefined> {
    const { charter, peer, emit, node } = this.#init
    const affinity = this.#affinity = protocols.affinity({ merge: this.#merge, tasks: charter.tasks.map(({ id }) => id) })
    affinity.start()
    const meeting = this.#meeting = new SplitMeeting(affinity, {
      self: peer,
      charter,
      hosts: () => protocols.announce.hosts.filter(card => card.model === this.#merge && card.attached > 0).map(card => card.host),
      onWaiting: reason => { emit({ type: 'waiting', node, reason }) },
      onProblem: line => { emit({ type: 'error', node, code: 'ERR_SPLIT', message: line }) }
    })
    const agreement = await this.#agree(meeting, begin, roles, signal)
    const { partition, rows } = agreement
    this.#total = this.#stepsBefore(partition.groups.length)
    emit({ type: 'affinity', node, partition, encoderSteps: encoderSteps(charter, partition, rows.map(({ tasks }) => tasks)) })
    const own = this.#init.tasks ?? charter.tasks.map(({ id }) => id)
    const outcomes = []
    for (const group of partition.groups) {
      const hosted = membersAt(agreement, peer, group.tasks).length
      const others = [...agreement.rolls.keys()].filter(host => host !== peer && membersAt(agreement, host, group.tasks).length > 0).length
      const training = charterOfGroup(charter, group, { quorum: Math.max(1, hosted), peers: Math.min(others, charter.clock.peers) })
      const stores = this.#storesOf(training)
      const tasks = roles.client ? own.filter(task => group.tasks.includes(task)) : []
      const total = totalSteps(training.training)
      const mine = { host: roles.host && hosted > 0 && !await reached(stores.host, total), client: tasks.length > 0 && !await reached(stores.outcome, total) }
      if (tasks.length > 0) outcomes.push(stores.outcome)
      if (!mine.host && !mine.client) continue
      await this.#phase({
        charter: training,
        title: titleOf(group, partition),
        group,
        stores,
        from: this.#weights,
        tasks,
        observe: { onBoundary: async () => {}, onTrained: async trainer => { await keepPredictions(stores.outcome, total, trainer) } }
      }, mine, begin, signal)
    }
    if (this.#init.trainer === undefined || !roles.client) return undefined
    emit({ type: 'phase', node, title: 'report' })
    return await finalReport({ ...this.#init.trainer, charter }, outcomes, signal)
  }

  stop (): void {
    this.#meeting?.stop()
    this.#affinity?.stop()
  }

  /** The merged phase and the agreement at its end, or what is kept of both. */
  async #agree (meeting: SplitMeeting, begin: (phase: Phase, roles: PhaseRoles) => Promise<Stage>, roles: PhaseRoles, signal: AbortSignal): Promise<Agreement> {
    const { host, client, outcome } = this.merged.stores
    const kept = await loadAgreed(outcome)
    if (kept !== undefined) {
      for (const [role, store] of [['host', host], ['client', client]] as const) {
        const last = await store.latest()
        if (last !== undefined) this.#weights[role] = last.tensors
      }
      const agreement = meeting.resume(kept)
      this.#models = this.#modelsOf(agreement)
      return agreement
    }
    const deciding = this.#decided(meeting, roles, signal).then(agreement => {
      this.#models = this.#modelsOf(agreement)
      return agreement
    })
    deciding.catch(() => undefined) // awaited below, unless the phase fails first
    await this.#phase(this.merged, roles, begin, signal, deciding)
    const agreement = await deciding
    await saveAgreed(outcome, agreement)
    return agreement
  }

  /** A client has taken a round's last step, or is about to take its first one here. */
  async #measured (step: number, trainer: Remote<ClientTrainer>): Promise<void> {
    const { charter, peer, tasks = charter.tasks.map(({ id }) => id) } = this.#init
    if (step < groupingOf(charter).affinityRounds * charter.training.stepsPerRound) return
    this.#meeting?.tellRow(rowOf(charter, peer, tasks, await trainer.affinity()))
    this.#rowTold.resolve()
  }

  /** A host has closed a round: the last one that is measured, or, after a restart, a later one. */
  #closed ({ round, contributors }: Pick<RoundReport, 'round' | 'contributors'>): void {
    if (round + 1 < groupingOf(this.#init.charter).affinityRounds || this.#rolled) return
    this.#rolled = true
    this.#meeting?.tellRoll(contributors)
    this.#rollTold.resolve()
  }

  /** Steps that a host has taken when a group begins. */
  #stepsBefore (group: number): number {
    const { charter } = this.#init
    const { merged, group: rest } = phaseRounds(charter)
    return (merged + group * rest) * charter.training.stepsPerRound
  }

  #modelsOf ({ partition: { groups } }: Agreement): string[] { return groups.map(group => charterHash(groupCharter(this.#init.charter, group))) }

  #storesOf (charter: Charter): PhaseStores {
    const hash = charterHash(charter)
    const stores = this.#stores.get(hash) ?? this.#init.storesOf?.(charter) ?? storesInMemory()
    this.#stores.set(hash, stores)
    return stores
  }

  async #decided (meeting: SplitMeeting, roles: PhaseRoles, signal: AbortSignal): Promise<Agreement> {
    const own = (async () => { await Promise.all([roles.host ? this.#rollTold.promise : undefined, roles.client ? this.#rowTold.promise : undefined]) })()
    const over = new AbortController()
    const heard = meeting.claimed(AbortSignal.any([signal, over.signal]))
    await Promise.race([own, heard])
    over.abort()
    heard.catch(() => undefined)
    return await meeting.decide(signal)
  }

  /** Until this node's roles in it are done, and a host's clients have what they came for. */
  async #phase (phase: Phase, roles: PhaseRoles, begin: (phase: Phase, roles: PhaseRoles) => Promise<Stage>, signal: AbortSignal, until?: Promise<unknown>): Promise<void> {
    const { node, emit, charter: { clock } } = this.#init
    this.#group = phase.group
    emit({ type: 'phase', node, title: phase.title })
    const { protocols, host, client } = await begin(phase, roles)
    // a host that nobody came to has nothing to finish
    const hosted = async (): Promise<void> => {
      if (host === undefined) return
      const idle = async (): Promise<void> => {
        await until
        if (until === undefined || host.offer.step > 0 || host.offer.attached > 0) await host.finished
      }
      const over = new AbortController()
      const deserted = phase.group === undefined ? [] : [held(() => host.offer.attached === 0, clock.stepDeadlineMs + clock.roundDeadlineMs, AbortSignal.any([signal, over.signal]))]
      for (const each of deserted) each.catch(() => undefined) // it is given up when the phase is over
      try {
        await orAbort(Promise.race([host.finished, idle(), ...deserted]), signal)
      } finally {
        over.abort()
      }
      // after a restart the round that tells it may have been closed before
      if (phase.group === undefined && host.offer.step > 0) this.#closed({ round: host.host.round, contributors: host.view.clients.map(({ peer }) => peer) })
    }
    const parts = [client === undefined ? undefined : this.#trained(phase, client, protocols, signal, async signal => { await client.run(protocols, host, signal) }), hosted(), until]
    try {
      await Promise.all(parts)
    } catch (error) {
      if (signal.aborted) await Promise.allSettled(parts) // a client that is stopped saves what it has
      throw error
    }
    if (host === undefined) return
    const late = AbortSignal.timeout(clock.roundDeadlineMs)
    await held(() => host.offer.attached === 0, 0, AbortSignal.any([signal, late])).catch(() => { signal.throwIfAborted() })
    if (phase.group === undefined) this.#weights.host = await host.compute.trainer.clientUnits()
  }

  /**
   * A client that a restart has interrupted after its last step of the phase needs no host for what is left to do. One that
   * finds all hosts in later phases goes on with what it has learnt.
   */
  async #trained ({ charter, group, from, stores, observe }: Phase, client: ClientRole, protocols: Protocols, signal: AbortSignal, run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { node, emit, charter: { clock } } = this.#init
    const ended = async (): Promise<Checkpoint | undefined> => await stores.client.latest()
    if (((await ended())?.step ?? -1) < totalSteps(charter.training)) {
      const [model, over, left] = [charterHash(charter), new AbortController(), new AbortController()]
      const behind = (): boolean => {
        const models = protocols.announce.hosts.map(card => card.model)
        return !models.includes(model) && this.#models.slice(group === undefined ? 0 : group.index + 1).some(later => models.includes(later))
      }
      held(behind, clock.roundDeadlineMs, AbortSignal.any([signal, over.signal])).then(() => { left.abort(new LeftBehindError('all hosts are in a later phase')) }, () => undefined)
      try {
        return await run(AbortSignal.any([signal, left.signal]))
      } catch (error) {
        if (!(error instanceof LeftBehindError)) throw error
        emit({ type: 'error', node, code: 'ERR_SPLIT', message: 'all hosts are in a later phase: this one ends here with what was learnt so far' })
      } finally {
        over.abort()
      }
    }
    const { trainer } = client.compute
    const last = await ended()
    if (last !== undefined) await trainer.load([...last.tensors])
    else if (from?.client !== undefined) await trainer.start(from.client)
    await observe.onBoundary(last?.step ?? 0, trainer)
    for (const split of SPLITS) await trainer.evaluate('federated', split)
    await observe.onTrained(trainer)
  }
}

/** Clients of a host with one of these tasks. Of one whose row did not come nobody knows: it may have them. */
function membersAt ({ rolls, rows }: Agreement, host: string, tasks: readonly string[]): string[] {
  return (rolls.get(host) ?? []).filter(client => rows.find(({ site }) => site === client)?.tasks.some(task => tasks.includes(task)) !== false)
}

async function reached (store: Checkpoints, step: number): Promise<boolean> { return ((await store.latest())?.step ?? -1) >= step }

async function orAbort (work: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>()
  const abort = (): void => { aborted.reject(signal.reason as Error) }
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  try {
    await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
