/**
 * Codec and steps in flight for a link, from the step time of a run: what the run's own step took, and on top what this link
 * needs for the bytes that were measured. With n steps under way the way to the host and back is hidden behind the steps
 * before, down to what is computed.
 */
import { CODECS } from '../compression/index.ts'
import { MAX_IN_FLIGHT } from '../training/spec.ts'
import { NEARLY, TOLERATED_LOSS } from './advice.ts'
import { TrafficPlan } from './traffic.ts'
import { accuracyCost } from './accuracy.ts'
import { measuredRound, siteOf } from './measured.ts'
import type { CodecName } from '../compression/index.ts'
import type { FrameBytes, Traffic } from './traffic.ts'
import type { Link } from './advice.ts'
import type { MeasuredRun } from './run.ts'

export interface LinkPlan {
  readonly codec: CodecName
  /** Of one client and one step of the clock. */
  readonly bytesUp: number
  readonly bytesDown: number
  /** Of one step with one under way. */
  readonly seconds: number
  /** Fewest steps in flight that bring nearly all there is to gain; 1 where the charter can have no more. */
  readonly inFlight: number
  /** Of one step with so many under way. */
  readonly flightSeconds: number
}

export interface LinkFindings {
  /** Of a step in the run, whatever link it had. */
  readonly stepSeconds: number
  readonly plans: readonly LinkPlan[]
  readonly codec: CodecName
  readonly inFlight: number
  readonly reason: string
}

/** @returns undefined where step time, bytes, charter or clients are not known */
export function linkFindings (run: MeasuredRun, link: Link, sizeOf: FrameBytes): LinkFindings | undefined {
  const { charter, clients: [client] } = run
  const { stepSeconds, bytes } = measuredRound(run)
  if (charter === undefined || client === undefined || stepSeconds === null || bytes === null) return undefined
  const { model, training, cutCodec, shared } = charter
  const whole = model.trunk === 'client'
  const most = whole || shared.length > 0 ? 1 : MAX_IN_FLIGHT
  const planned = (codec: CodecName): Traffic => new TrafficPlan(charter, siteOf(charter, client), { codec, sizeOf }).step()
  const [base, steps] = [planned(cutCodec), training.stepsPerRound]
  const plans = CODECS.map((codec): LinkPlan => {
    const as = planned(codec)
    const [bytesUp, bytesDown] = [bytes.up / steps * as.up / base.up, bytes.down / steps * as.down / base.down]
    const roundTrips = whole ? 1 : shared.length > 0 ? 3 : 2
    const seconds = stepSeconds + 8 * bytesUp / link.upBitsPerSecond + 8 * bytesDown / link.downBitsPerSecond + roundTrips * link.roundTripMs / 1000
    const under = (flight: number): number => Math.max(stepSeconds, seconds / flight)
    const inFlight = Array.from({ length: most }, (_, i) => i + 1).find(flight => under(flight) <= NEARLY * under(most)) as number
    return { codec, bytesUp, bytesDown, seconds, inFlight, flightSeconds: under(inFlight) }
  })
  const allowed = plans.filter(({ codec }) => codec === 'f32' || (!whole && accuracyCost(codec).loss <= TOLERATED_LOSS))
  const fastest = Math.min(...allowed.map(({ flightSeconds }) => flightSeconds))
  const chosen = allowed.find(({ flightSeconds }) => flightSeconds <= NEARLY * fastest) as LinkPlan // from exact to coarse
  const ms = (seconds: number): string => `${(1000 * seconds).toFixed(1)} ms`
  return {
    stepSeconds,
    plans,
    codec: chosen.codec,
    inFlight: chosen.inFlight,
    reason: `a step of ${ms(stepSeconds)} in the run takes ${ms(chosen.seconds)} over this link as ${chosen.codec}` +
      (chosen.inFlight > 1 ? `, ${ms(chosen.flightSeconds)} with ${chosen.inFlight} in flight` : whole ? '; an exchange of whole models has no steps in flight' : '')
  }
}
