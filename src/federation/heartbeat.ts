export interface Beat {
  readonly step: number
  /** What the clock waits for; empty while it ticks. */
  readonly reason: string
}

/**
 * A sign of life every `ms`, with a reason only where the clock stood still since the last one: between two beats it usually
 * ticks. None at all for Infinity.
 */
export function heartbeat (ms: number, now: () => Beat, tell: (beat: Beat) => void): NodeJS.Timeout | undefined {
  if (!Number.isFinite(ms)) return undefined
  let lastStep = -1
  return setInterval(() => {
    const { step, reason } = now()
    tell({ step, reason: step === lastStep ? reason : '' })
    lastStep = step
  }, ms)
}
