/**
 * What the process itself can say about its health: memory, and how late the event loop runs.
 *
 * A timer fires late because this thread was busy, or because the machine gave it no processor. The two are told apart by
 * the processor time of this thread between two wake-ups: no more of a delay than that can be its own doing.
 */
import { createHistogram } from 'node:perf_hooks'
import type { RecordableHistogram } from 'node:perf_hooks'

/**
 * A peer is given up after seconds: this often tells a healthy loop from a blocked one. A wake-up costs a processor more than what
 * is done in it, and 32 nodes on two cores pay for those of all: with one each 10 ms, a tenth of their training.
 */
const RESOLUTION_MS = 40

export interface GaugeSample {
  readonly rssBytes: number
  /** Highest since the process began. */
  readonly peakRssBytes: number
  /** How late a timer fires, 99th percentile and worst, since the start or the last `reset`; the timer's own period is taken off. */
  readonly loopLagP99Ms: number
  readonly loopLagMaxMs: number
  /** The part of the delays that this thread's own work can have caused, 99th percentile; the rest is the machine's. */
  readonly loopBusyP99Ms: number
}

export class Gauges {
  /** Whole microseconds from 1, as a histogram wants them. */
  readonly #late = createHistogram()
  readonly #busy = createHistogram()
  #last = { at: 0, cpu: 0 }
  #timer: NodeJS.Timeout | undefined
  #kept: Pick<GaugeSample, 'loopLagP99Ms' | 'loopLagMaxMs' | 'loopBusyP99Ms'> | undefined

  start (): void {
    this.#mark()
    this.#timer ??= setInterval(() => {
      const before = this.#mark()
      const late = Math.max(0, this.#last.at - before.at - RESOLUTION_MS)
      this.#late.record(counted(late))
      this.#busy.record(counted(Math.max(0, Math.min(late, this.#last.cpu - before.cpu))))
    }, RESOLUTION_MS)
    this.#timer.unref()
  }

  sample (): GaugeSample {
    const rssBytes = process.memoryUsage.rss()
    return {
      rssBytes,
      peakRssBytes: Math.max(rssBytes, process.resourceUsage().maxRSS * 1024), // KiB on every platform
      ...this.#kept ?? this.#loop()
    }
  }

  /** The loop's figures stay as they are now: what was to be measured is over. */
  keep (): void { this.#kept ??= this.#loop() }

  /** A new window for the loop's figures; a delay that is under way is not counted in it. */
  reset (): void {
    this.#late.reset()
    this.#busy.reset()
    this.#mark()
    this.#kept = undefined
  }

  stop (): void { clearInterval(this.#timer) }

  /** @returns the last wake-up, or the beginning of the window where that is later */
  #mark (): { readonly at: number, readonly cpu: number } {
    const last = this.#last
    this.#last = { at: performance.now(), cpu: threadMs() }
    return last
  }

  #loop (): Pick<GaugeSample, 'loopLagP99Ms' | 'loopLagMaxMs' | 'loopBusyP99Ms'> {
    return {
      loopLagP99Ms: told(this.#late, of => of.percentile(99)),
      loopLagMaxMs: told(this.#late, of => of.max),
      loopBusyP99Ms: told(this.#busy, of => of.percentile(99))
    }
  }
}

function counted (ms: number): number { return 1 + Math.round(1000 * ms) }

/** ms; 0 before the first wake-up. */
function told (histogram: RecordableHistogram, figure: (of: RecordableHistogram) => number): number {
  return histogram.count === 0 ? 0 : (figure(histogram) - 1) / 1000
}

/** Processor time that this thread has used so far, ms. */
function threadMs (): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
