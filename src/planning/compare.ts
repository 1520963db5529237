/** Bytes of a round by split training of a model, by FedAvg of the same model, and by the charter where it is neither. */
import { TrafficPlan, gossipBytes } from './traffic.ts'
import { asFedAvg, asSplit } from './counterparts.ts'
import { canonicalJson } from '../models/spec.ts'
import { localStepsOf } from '../training/spec.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientDescription } from '../training/client-description.ts'
import type { FrameBytes, Traffic } from './traffic.ts'

export interface WayTraffic {
  readonly way: 'split' | 'fedavg' | 'charter'
  /** This is how the charter trains. */
  readonly own: boolean
  /** Of one client in one round. */
  readonly round: Traffic
  /** What every host publishes each round; `exact` is the 4 |W| before compression. 0 where hosts do not meet. */
  readonly gossip: { readonly packed: number, readonly exact: number }
  /** Of one host in one round: its clients, both ways, and the deltas that it fetches from the others. */
  readonly atHost: number
  /** Gradient steps of a client in one round, and exchanges with the host. */
  readonly gradientSteps: number
  readonly exchanges: number
  readonly largestFrameBytes: number
}

export interface Comparison {
  readonly ways: readonly WayTraffic[]
  readonly fewer: 'split' | 'fedavg'
  /** How many times fewer, at least 1. */
  readonly factor: number
}

export interface ComparisonInit {
  readonly sizeOf: FrameBytes
  /** Clients of one host, and hosts beside it. */
  readonly clients: number
  readonly otherHosts: number
}

export function compareTraffic (charter: Charter, site: ClientDescription, init: ComparisonInit): Comparison {
  const split = wayOf('split', charter, asSplit(charter), site, init)
  const fedavg = wayOf('fedavg', charter, asFedAvg(charter), site, init)
  const own = split.own || fedavg.own ? [] : [wayOf('charter', charter, charter, site, init)]
  const fewer = split.atHost <= fedavg.atHost ? 'split' : 'fedavg'
  return { ways: [split, fedavg, ...own], fewer, factor: Math.max(split.atHost, fedavg.atHost) / Math.min(split.atHost, fedavg.atHost) }
}

function wayOf (way: WayTraffic['way'], planned: Charter, charter: Charter, site: ClientDescription, { sizeOf, clients, otherHosts }: ComparisonInit): WayTraffic {
  const plan = new TrafficPlan(charter, site, { codec: charter.cutCodec, sizeOf })
  const round = plan.round(otherHosts)
  const gossip = gossipBytes(charter, otherHosts)
  const { training } = charter
  return {
    way,
    own: sends(charter) === sends(planned),
    round,
    gossip,
    atHost: clients * (round.up + round.down) + otherHosts * gossip.packed,
    gradientSteps: training.stepsPerRound * localStepsOf(training),
    exchanges: training.stepsPerRound,
    largestFrameBytes: plan.largestFrameBytes
  }
}

/** What of a charter decides on its frames. */
function sends ({ model, training: { stepsPerRound, localSteps }, projection, merge, shared }: Charter): string {
  return canonicalJson({ trunk: model.trunk ?? 'host', stepsPerRound, localSteps: localSteps ?? 1, unit: projection.unit, merge: merge.mode, shared })
}
