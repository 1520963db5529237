/**
 * Which codec a site should take at the cut: for each one the time of a step from its bytes, the link and the measured
 * device; then the most exact one that is nearly as fast as the fastest and has not been measured to cost accuracy.
 */
import { CODECS } from '../compression/index.ts'
import type { AccuracyCost } from './accuracy.ts'
import type { CodecName } from '../compression/index.ts'
import type { StepMs } from './device.ts'
import type { Traffic } from './traffic.ts'

/** Of the path between a site and its host. */
export interface Link {
  readonly upBitsPerSecond: number
  readonly downBitsPerSecond: number
  readonly roundTripMs: number
}

export interface StepConditions {
  readonly link: Link
  /** Times at the client as measured; those of the trunk as they are at the host. */
  readonly ms: StepMs
  readonly codecMs: Readonly<Record<CodecName, number>>
  /** Clients that share the host, this one included. It computes for one after the other. */
  readonly clients: number
  /** A step with shared units takes a third round trip. */
  readonly roundTrips: 2 | 3
  /** Bytes of one step. */
  readonly traffic: Readonly<Record<CodecName, Traffic>>
  readonly accuracy: Readonly<Record<CodecName, AccuracyCost>>
}

export interface CodecPlan {
  readonly codec: CodecName
  readonly bytesUp: number
  readonly bytesDown: number
  /** Of one step: the sum, and its parts. Compute is that of both ends that nothing else hides. */
  readonly seconds: number
  readonly computeSeconds: number
  readonly transferSeconds: number
  readonly latencySeconds: number
  readonly codecSeconds: number
  readonly stepsPerSecond: number
  /** Undefined where nothing was measured. */
  readonly accuracy: AccuracyCost | undefined
}

export interface Advice {
  readonly plans: readonly CodecPlan[]
  readonly codec: CodecName
  readonly reason: string
}

/** Half a point: below what two seeds of one run differ by. */
export const TOLERATED_LOSS = 0.005
/** A slower step than the fastest by this much is no reason to send rounded numbers: device and link vary by more. */
export const NEARLY = 1.05
/** Each of the four tensors of a step is encoded at one end and decoded at the other. */
const TENSORS_PER_STEP = 4

export function adviseCodec (conditions: StepConditions): Advice {
  return choose(CODECS.map(codec => planOf(codec, conditions)))
}

/** @param plans - in the order of CODECS */
export function choose (plans: readonly CodecPlan[]): Advice {
  const allowed = plans.filter(({ accuracy }) => accuracy !== undefined && accuracy.loss <= TOLERATED_LOSS) // f32 always: it loses nothing
  const fastest = allowed.reduce((best, plan) => plan.seconds < best.seconds ? plan : best)
  const chosen = allowed.find(plan => plan.seconds <= NEARLY * fastest.seconds) as CodecPlan // CODECS go from exact to coarse
  return { plans, codec: chosen.codec, reason: inWords(chosen, plans) }
}

function planOf (codec: CodecName, { link, ms, codecMs, clients, roundTrips, traffic, accuracy }: StepConditions): CodecPlan {
  const { up, down } = traffic[codec]
  const transferSeconds = 8 * up / link.upBitsPerSecond + 8 * down / link.downBitsPerSecond
  const latencySeconds = roundTrips * link.roundTripMs / 1000
  const codecSeconds = TENSORS_PER_STEP * codecMs[codec] / 1000
  // the local baseline trains while activations and features travel; what it takes beyond that holds the step up
  const away = clients * ms.trunkForward / 1000 + (transferSeconds + codecSeconds) / 2 + latencySeconds / roundTrips
  const held = Math.max(0, ms.local / 1000 - away)
  const computeSeconds = (ms.embed + ms.heads + ms.finish + clients * (ms.trunkForward + ms.trunkBackward) + ms.apply) / 1000 + held
  const seconds = computeSeconds + transferSeconds + latencySeconds + codecSeconds
  return { codec, bytesUp: up, bytesDown: down, seconds, computeSeconds, transferSeconds, latencySeconds, codecSeconds, stepsPerSecond: 1 / seconds, accuracy: accuracy[codec] }
}

function inWords (chosen: CodecPlan, plans: readonly CodecPlan[]): string {
  const [exact] = plans as [CodecPlan, ...CodecPlan[]]
  const steps = (plan: CodecPlan): string => `${plan.stepsPerSecond.toPrecision(3)} steps/s`
  const share = Math.round(100 * exact.transferSeconds / exact.seconds)
  if (chosen === exact) {
    const unknown = plans.some(({ accuracy }) => accuracy === undefined) ? ' whose cost was measured' : ''
    return `${steps(exact)} as f32, of which the bytes take ${share} %: no codec${unknown} makes a step ${Math.round(100 * (NEARLY - 1))} % faster`
  }
  const { worst = undefined, loss = 0 } = chosen.accuracy ?? {}
  const accuracy = worst === undefined ? 'not measured' : `${signed(-loss)} at worst (${worst.metric} on ${worst.data}, ${worst.seeds} seeds)`
  return `${steps(chosen)} against ${steps(exact)} as f32, where the bytes take ${share} % of a step; ` +
    `${((exact.bytesUp + exact.bytesDown) / (chosen.bytesUp + chosen.bytesDown)).toFixed(2)} times fewer bytes; ` +
    `accuracy against f32 ${accuracy}, -${TOLERATED_LOSS} would be taken`
}

function signed (value: number): string { return `${value < 0 ? '' : '+'}${value.toFixed(4)}` }
