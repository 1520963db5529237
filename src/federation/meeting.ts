/** A round's end among hosts: publishes this host's delta, gathers the others', and merges what the charter or the clients' hold-outs say. */
import { chooseMerge } from './merge-decision.ts'
import { meanByTask } from './round-log.ts'
import { Random, deriveSeed } from '../random.ts'
import type { CandidateScore } from '../backbone/frames.ts'
import type { Charter } from './charter.ts'
import type { Accepted, DeltaEntry, HostTrainer } from '../training/host-trainer.ts'
import type { DeltaExchange, PackedDelta } from './exchange.ts'
import type { Remote } from '../compute/remote.ts'
import type { Session } from './session.ts'

export interface MeetingInit {
  readonly id: string
  readonly charter: Charter
  readonly trainer: Remote<HostTrainer>
  readonly exchange: DeltaExchange
  readonly round: number
  readonly sessions: readonly Session[]
  /** Clients that took part in the round. */
  readonly contributors: readonly string[]
  /** Verdicts of the attached clients on candidates. */
  readonly evaluate: (candidates: readonly string[]) => Promise<readonly CandidateScore[]>
  readonly signal: AbortSignal
}

export interface TakenDelta {
  readonly host: string
  readonly round: number
  readonly weight: number
  /** Where it went over a network. */
  readonly packed?: PackedDelta
}

export interface Meeting extends Accepted {
  /** Hosts whose delta is in the state now, this one among them. */
  readonly merged: readonly string[]
  /** Their deltas; empty where hosts never meet. */
  readonly taken: readonly TakenDelta[]
  /** The candidate that became the state. */
  readonly accepted: string
  readonly reason: string
  readonly missing: readonly string[]
}

export async function meet ({ id, charter, trainer, exchange, round, sessions, contributors, evaluate, signal }: MeetingInit): Promise<Meeting> {
  if (charter.merge.mode === 'none') return await keepOwn('hosts never meet by charter', [])
  const { units, norm, history } = await trainer.delta()
  const clients = Math.max(1, contributors.length)
  // One mean per task: what a single site's batch lost is nobody else's business.
  const losses = Object.entries(meanByTask(sessions.flatMap(session => session.losses))).map(([task, loss]) => ({ task, loss, samples: clients }))
  const samples = sessions.reduce((sum, session) => sum + session.request.samples, 0)
  const published = await exchange.publish({ host: id, round, clients, samples, losses, norm, units, ...history === undefined ? {} : { history } }, { signal })
  const { deltas, missing } = await exchange.collect(round, { deadlineMs: charter.clock.roundDeadlineMs, signal })
  // Whole models are averaged by rows, within a host and between hosts; gradients by clients.
  const weight = (of: { clients: number, samples: number }): number => charter.model.trunk === 'client' ? Math.max(1, of.samples) : of.clients
  const own: DeltaEntry = { id, weight: weight({ clients, samples }), units, ...history === undefined ? {} : { history } }
  const sent = { host: id, round, ...published === undefined ? {} : { packed: published } }
  if (deltas.length === 0) return { ...await keepOwn('no other host', [{ ...sent, weight: own.weight }]), missing }
  const others = deltas.map(delta => ({ id: delta.host, weight: weight(delta), units: delta.units, staleness: Math.max(0, round - delta.round), ...delta.history === undefined ? {} : { history: delta.history } }))
  const { rule } = charter.merge
  const mode = charter.merge.mode === 'all' ? 'all' : 'select'
  const { taken, ...decision } = await chooseMerge({ mode, round, ...rule === undefined ? {} : { rule }, own, others, trainer, random: new Random(deriveSeed(charter.seed, 'merge', id, round)), evaluate })
  const all = [sent, ...deltas].sort((a, b) => a.host < b.host ? -1 : 1)
  const merging = all.flatMap(({ host, round, packed }) => {
    const share = taken.find(({ id }) => id === host)
    return share === undefined ? [] : [{ host, round, weight: share.weight, ...packed === undefined ? {} : { packed } }]
  })
  return {
    merged: merging.map(({ host }) => host),
    taken: merging,
    missing,
    ...decision
  }

  async function keepOwn (reason: string, taken: readonly TakenDelta[]): Promise<Meeting> {
    await trainer.propose('own')
    await trainer.accept('own')
    return { merged: [id], taken, accepted: 'own', reason, missing: [] }
  }
}
