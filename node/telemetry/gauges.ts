/** What the process itself can say about its health: memory, and how late the event loop runs. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

/** A peer is given up after seconds; ten milliseconds tell a healthy loop from a blocked one at 100 wake-ups a second. */
const RESOLUTION_MS = 10

export interface GaugeSample {
  readonly rssBytes: number
  /** Highest since the process began. */
  readonly peakRssBytes: number
  /** How late a timer fires, 99th percentile and worst, since the start or the last `reset`; the timer's own period is taken off. */
  readonly loopLagP99Ms: number
  readonly loopLagMaxMs: number
}

export class Gauges {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })

  start (): void { this.#delay.enable() }

  sample (): GaugeSample {
    const rssBytes = process.memoryUsage.rss()
    return {
      rssBytes,
      peakRssBytes: Math.max(rssBytes, process.resourceUsage().maxRSS * 1024), // KiB on every platform
      loopLagP99Ms: lateness(this.#delay.percentile(99)),
      loopLagMaxMs: lateness(this.#delay.max)
    }
  }

  /** A new window for the loop's figures; a delay that is under way is not counted in it. */
  reset (): void { this.#delay.reset() }

  stop (): void { this.#delay.disable() }
}

/** The histogram holds nanoseconds between two wake-ups, 0 before the second one. */
function lateness (ns: number): number {
  return Math.max(0, ns / 1e6 - RESOLUTION_MS)
}
