/** Gathers what happened in the steps of one round and sums it up: the conflict report. */
import type { AttachRequest, HostConflicts, RoundReport, TaskLoss } from '../backbone/frames.ts'
import type { StepReport } from '../training/host-trainer.ts'
import type { TakenDelta } from './meeting.ts'

/** One client's part in a round; `samples` are the rows that it said it trains on. */
export interface Contribution {
  readonly client: string
  readonly steps: number
  readonly samples: number
}

/** A round that is over and not announced yet. */
export interface ClosedRound {
  readonly step: number
  readonly contributions: readonly Contribution[]
  readonly taken: readonly TakenDelta[]
  readonly accepted: string
  /** Hash of what the hosts' rule looked at, where it did. */
  readonly history?: string
  readonly report: RoundReport
  readonly signal: AbortSignal
  /** What the host waits for while it makes the round durable. */
  readonly onWaiting: (reason: string) => void
}

export interface RoundEnd {
  readonly round: number
  readonly merged: readonly string[]
  readonly reason: string
  readonly between?: HostConflicts
  readonly missing: readonly string[]
  readonly final: boolean
  /** Running totals of the host. */
  readonly bytes: { readonly up: number, readonly down: number }
}

export class RoundLog {
  readonly #host: string
  #steps: StepReport[] = []
  #contributions = new Map<string, Contribution>()
  #missed = new Map<string, string>()
  #startedAt = performance.now()
  #bytes = { up: 0, down: 0 }

  constructor (host: string) { this.#host = host }

  get contributors (): readonly string[] { return [...this.#contributions.keys()].sort() }

  get contributions (): readonly Contribution[] { return this.contributors.map(client => this.#contributions.get(client) as Contribution) }

  /** The first round starts when the clock opens, not when the host was built. */
  begin (): void { this.#startedAt = performance.now() }

  step (report: StepReport, requests: ReadonlyArray<Pick<AttachRequest, 'client' | 'samples'>>): void {
    this.#steps.push(report)
    for (const { client, samples } of requests) {
      this.#contributions.set(client, { client, steps: (this.#contributions.get(client)?.steps ?? 0) + 1, samples })
    }
  }

  /** Keeps the newest reason per client. */
  missed (client: string, reason: string): void { this.#missed.set(client, reason) }

  close (end: RoundEnd): RoundReport {
    const stats = this.#steps.map(step => step.stats)
    const fallbacks = this.#steps.filter(step => step.fallback === true).length
    const withPairs = stats.filter(step => step.pairs > 0)
    const report: RoundReport = {
      host: this.#host,
      round: end.round,
      steps: stats.length,
      seconds: (performance.now() - this.#startedAt) / 1000,
      contributors: this.contributors,
      missing: [...[...this.#missed].map(([client, reason]) => `${client}: ${reason}`), ...end.missing],
      pairs: sum(stats.map(step => step.pairs)),
      conflictPairs: sum(stats.map(step => step.conflictPairs)),
      meanCosine: mean(withPairs.map(step => step.meanCosine)),
      minCosine: least(withPairs.map(step => step.minCosine)),
      removedShare: mean(stats.map(step => step.removedShare)),
      minDirectionCosine: least(stats.map(step => step.minDirectionCosine)),
      minUpdateCosine: least(this.#steps.map(step => step.minUpdateCosine)),
      ...fallbacks === 0 ? {} : { fallbacks },
      merged: end.merged,
      mergeReason: end.reason,
      ...end.between === undefined ? {} : { between: end.between },
      bytesUp: end.bytes.up - this.#bytes.up,
      bytesDown: end.bytes.down - this.#bytes.down,
      final: end.final
    }
    this.#bytes = end.bytes
    this.#steps = []
    this.#contributions = new Map()
    this.#missed = new Map()
    this.#startedAt = performance.now()
    return report
  }
}

function sum (values: readonly number[]): number { return values.reduce((total, value) => total + value, 0) }
function mean (values: readonly number[]): number { return values.length === 0 ? 0 : sum(values) / values.length }
function least (values: readonly number[]): number { return values.length === 0 ? 0 : Math.min(...values) }

/** Mean loss of each task over the clients that have it. */
export function meanByTask (losses: readonly TaskLoss[]): Record<string, number> {
  const sums = new Map<string, { sum: number, count: number }>()
  for (const { task, loss } of losses) {
    const entry = sums.get(task) ?? { sum: 0, count: 0 }
    sums.set(task, { sum: entry.sum + loss, count: entry.count + 1 })
  }
  return Object.fromEntries([...sums].map(([task, { sum, count }]) => [task, sum / count]))
}
