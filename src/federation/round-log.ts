/** Gathers what happened in the steps of one round and sums it up: the conflict report. */
import type { RoundReport, TaskLoss } from '../backbone/frames.ts'
import type { StepReport } from '../training/host-trainer.ts'

export interface RoundEnd {
  readonly round: number
  readonly merged: readonly string[]
  readonly reason: string
  readonly missing: readonly string[]
  readonly final: boolean
  /** Running totals of the host. */
  readonly bytes: { readonly up: number, readonly down: number }
}

export class RoundLog {
  readonly #host: string
  #steps: StepReport[] = []
  #contributors = new Set<string>()
  #missed = new Map<string, string>()
  #startedAt = performance.now()
  #bytes = { up: 0, down: 0 }

  constructor (host: string) { this.#host = host }

  get contributors (): readonly string[] { return [...this.#contributors].sort() }

  /** The first round starts when the clock opens, not when the host was built. */
  begin (): void { this.#startedAt = performance.now() }

  step (report: StepReport, contributors: readonly string[]): void {
    this.#steps.push(report)
    for (const client of contributors) this.#contributors.add(client)
  }

  /** Keeps the newest reason per client. */
  missed (client: string, reason: string): void { this.#missed.set(client, reason) }

  close (end: RoundEnd): RoundReport {
    const stats = this.#steps.map(step => step.stats)
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
      merged: end.merged,
      mergeReason: end.reason,
      bytesUp: end.bytes.up - this.#bytes.up,
      bytesDown: end.bytes.down - this.#bytes.down,
      final: end.final
    }
    this.#bytes = end.bytes
    this.#steps = []
    this.#contributors = new Set()
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
