/**
 * What the process itself can say about its health: memory, and how late the event loop runs.
 *
 * A timer fires late because this thread was busy, or because the machine gave it no processor. The two are told apart by
 * the processor time of this thread between two wake-ups: no more of a delay than that can be its own doing.
 */
import { createHistogram, monitorEventLoopDelay } from 'node:perf_hooks'

/**
 * A peer is given up after seconds: twenty milliseconds tell a healthy loop from a blocked one. Ten cost 32 nodes on two cores a
 * tenth of their training in wake-ups.
 */
const RESOLUTION_MS = 20

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
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  readonly #busy = createHistogram()
  #timer: NodeJS.Timeout | undefined
  #kept: Pick<GaugeSample, 'loopLagP99Ms' | 'loopLagMaxMs' | 'loopBusyP99Ms'> | undefined

  start (): void {
    this.#delay.enable()
    let [at, cpu] = [performance.now(), threadMs()]
    this.#timer ??= setInterval(() => {
      const [now, used] = [performance.now(), threadMs()]
      const late = now - at - RESOLUTION_MS
      this.#busy.record(1 + Math.round(1000 * Math.max(0, Math.min(late, used - cpu)))) // whole microseconds from 1
      at = now
      cpu = used
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
    this.#delay.reset()
    this.#busy.reset()
    this.#kept = undefined
  }

  stop (): void {
    this.#delay.disable()
    clearInterval(this.#timer)
  }

  #loop (): Pick<GaugeSample, 'loopLagP99Ms' | 'loopLagMaxMs' | 'loopBusyP99Ms'> {
    return {
      loopLagP99Ms: lateness(this.#delay.percentile(99)),
      loopLagMaxMs: lateness(this.#delay.max),
      loopBusyP99Ms: this.#busy.count === 0 ? 0 : (this.#busy.percentile(99) - 1) / 1000
    }
  }
}

/** The histogram holds nanoseconds between two wake-ups, 0 before the second one. */
function lateness (ns: number): number {
  return Math.max(0, ns / 1e6 - RESOLUTION_MS)
}

/** Processor time that this thread has used so far, ms. */
function threadMs (): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
