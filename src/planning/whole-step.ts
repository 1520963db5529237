/**
 * What an exchange of whole models takes under each codec: E gradient steps at the client, what they changed up, the mean
 * of all down. One round trip. What a codec costs the accuracy of averaged changes has not been measured, so none but f32
 * is advised.
 */
import { CODECS } from '../compression/index.ts'
import { choose } from './advice.ts'
import type { Advice, CodecPlan, Link } from './advice.ts'
import type { CodecName } from '../compression/index.ts'
import type { Traffic } from './traffic.ts'
import type { WholeMs } from './device.ts'

export interface WholeConditions {
  readonly link: Link
  readonly whole: WholeMs
  /** One gradient step of the client's local baseline, ms. */
  readonly localMs: number
  /** Gradient steps between two exchanges, E. */
  readonly localSteps: number
  /** Encoding and decoding what a client shares, ms. */
  readonly codecMs: Readonly<Record<CodecName, number>>
  /** Clients of the host, this one included. */
  readonly clients: number
  /** Bytes of one exchange. */
  readonly traffic: Readonly<Record<CodecName, Traffic>>
}

/** Changes go up, their mean comes down. */
const TENSORS_PER_EXCHANGE = 2

/** A step of these plans is an exchange. */
export function adviseWholeCodec (conditions: WholeConditions): Advice {
  return choose(CODECS.map(codec => planOf(codec, conditions)))
}

function planOf (codec: CodecName, { link, whole, localMs, localSteps, codecMs, clients, traffic }: WholeConditions): CodecPlan {
  const { up, down } = traffic[codec]
  const transferSeconds = 8 * up / link.upBitsPerSecond + 8 * down / link.downBitsPerSecond
  const latencySeconds = link.roundTripMs / 1000
  const codecSeconds = TENSORS_PER_EXCHANGE * codecMs[codec] / 1000
  const averaging = clients * whole.average / 1000
  // the local baseline trains while the contribution is away; what it takes beyond that holds the step up
  const held = Math.max(0, localSteps * localMs / 1000 - averaging - transferSeconds - latencySeconds - codecSeconds)
  const computeSeconds = localSteps * whole.gradient / 1000 + averaging + held
  const seconds = computeSeconds + transferSeconds + latencySeconds + codecSeconds
  return {
    codec,
    bytesUp: up,
    bytesDown: down,
    seconds,
    computeSeconds,
    transferSeconds,
    latencySeconds,
    codecSeconds,
    stepsPerSecond: 1 / seconds,
    accuracy: codec === 'f32' ? { loss: 0, worst: undefined } : undefined
  }
}
