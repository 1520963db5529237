/**
 * The way of one node through a training whose tasks are split: all tasks merged; then, once the members have agreed on the
 * groups, one group after the other, each from the merged weights, in the order of the partition at everybody. A client trains
 * in the groups of its tasks, a host serves those of its clients. What a phase came to is kept: a restart goes on in the right one.
 */
import { SplitMeeting } from './split-meeting.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { charterOfGroup, firstCharter, storesInMemory, titleOf } from './phase.ts'
import { finalReport, keepPredictions } from './final-report.ts'
import { groupingOf, phaseRounds } from '../../src/federation/groups.ts'
import { loadAgreed, saveAgreed } from './agreed-store.ts'
import { mergeId, rowOf } from './rows.ts'
import { totalSteps } from '../../src/training/spec.ts'
import type { AffinityService } from '../../protocols/affinity/index.ts'
import type { Agreement } from './split-meeting.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { ClientReport } from '../../src/training/committee.ts'
import type { ClientRole } from '../roles/client-role.ts'
import type { ClientTrainer } from '../../src/training/client-trainer.ts'
import type { ClientTrainerInit } from '../../src/compute/spawn.ts'
import type { HostRole } from '../roles/host-role.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'
import type { NodeEvent } from '../events.ts'
import type { Phase, PhaseRoles, PhaseStores } from './phase.ts'
import type { Protocols } from '../../protocols/index.ts'
import type { Remote } from '../../src/compute/remote.ts'

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
  /** Where a phase is kept. Default: in memory. */
  readonly storesOf?: (charter: Charter) => PhaseStores
  readonly emit: (event: NodeEvent) => void
}

/** How often a host looks whether its clients have left a phase that is over, ms. */
const LEAVING_MS = 200

export class Course {
  readonly merged: Phase
  readonly #init: CourseInit
  readonly #merge: string
  readonly #stores = new Map<string, PhaseStores>()
  /** This node's last clients in the merged phase. */
  #contributors: readonly string[] = []
  #tasks: readonly string[] = []
  #told = { row: false, roll: false }
  #meeting: SplitMeeting | undefined
  #affinity: AffinityService | undefined
  #weights: { host?: readonly NamedTensor[], client?: readonly NamedTensor[] } = {}
  #group: Phase['group']

  constructor (init: CourseInit) {
    this.#init = init
    this.#merge = mergeId(init.charter)
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

  /** What roles tell passes here: rounds count on over the phases, a host's round tells who was there to measure. */
  readonly emit = (event: NodeEvent): void => {
    const group = this.#group
    if (event.type === 'round' && group === undefined) this.#closed(event.report.round, event.report.contributors)
    if ((event.type === 'client:ready' || event.type === 'host:ready') && group !== undefined) return
    if (event.type !== 'round') return this.#init.emit(event)
    const report = group === undefined ? { ...event.report, final: false } : { ...event.report, round: phaseRounds(this.#init.charter).merged + event.report.round }
    this.#init.emit({ ...event, report })
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
    emit({ type: 'split', node, partition: partition.hash, groups: partition.groups.map(({ tasks }) => tasks), reason: partition.reason, rows: rows.map(({ site }) => site) })
    const outcomes = []
    for (const group of partition.groups) {
      const hosted = membersAt(agreement, peer, group.tasks).length
      const others = [...agreement.rolls.keys()].filter(host => host !== peer && membersAt(agreement, host, group.tasks).length > 0).length
      const groupCharter = charterOfGroup(charter, group, { quorum: Math.max(1, hosted), peers: Math.min(others, charter.clock.peers) })
      const stores = this.#storesOf(groupCharter)
      const tasks = this.#tasks.filter(task => group.tasks.includes(task))
      const total = totalSteps(groupCharter.training)
      const mine = { host: roles.host && hosted > 0 && !await reached(stores.host, total), client: tasks.length > 0 && !await reached(stores.outcome, total) }
      if (tasks.length > 0) outcomes.push(stores.outcome)
      if (!mine.host && !mine.client) continue
      await this.#phase({
        charter: groupCharter,
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
    const { host, client, outcome } = this.merged.stores as PhaseStores
    const kept = await loadAgreed(outcome)
    if (kept !== undefined) {
      for (const [role, store] of [['host', host], ['client', client]] as const) {
        const last = await store.latest()
        if (last !== undefined) this.#weights[role] = last.tensors
      }
      return meeting.resume(kept)
    }
    const deciding = this.#decided(meeting, roles, signal)
    deciding.catch(() => undefined) // awaited below, unless the phase fails first
    await this.#phase(this.merged, roles, begin, signal, deciding)
    const agreement = await deciding
    await saveAgreed(outcome, agreement)
    return agreement
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

  readonly #rollTold = Promise.withResolvers<void>()
  readonly #rowTold = Promise.withResolvers<void>()

  /** Until this node's roles in it are done, and a host's clients have what they came for. */
  async #phase (phase: Phase, roles: PhaseRoles, begin: (phase: Phase, roles: PhaseRoles) => Promise<Stage>, signal: AbortSignal, until?: Promise<unknown>): Promise<void> {
    const { node, emit, charter: { clock } } = this.#init
    this.#group = phase.group
    emit({ type: 'phase', node, title: phase.title })
    const { protocols, host, client } = await begin(phase, roles)
    await Promise.all([client?.run(protocols, host, signal), this.#hosted(host, signal), until])
    if (host === undefined) return
    const deadline = performance.now() + clock.roundDeadlineMs
    while (host.offer.attached > 0 && performance.now() < deadline) await pause(LEAVING_MS, undefined, { signal })
    if (phase.group === undefined) this.#weights.host = await host.compute.trainer.clientUnits()
  }
}
