/** What a run's rounds took, and what split training and FedAvg of its model would have sent, client by client. */
import { TrafficPlan, modelFloats } from './traffic.ts'
import { compareTraffic } from './compare.ts'
import { embedderOf, inputOf } from '../models/inputs.ts'
import { sharedUnits } from '../training/client-description.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientDescription } from '../training/client-description.ts'
import type { Comparison } from './compare.ts'
import type { FrameBytes, Traffic } from './traffic.ts'
import type { MeasuredClient, MeasuredRound, MeasuredRun } from './run.ts'

/** Means over the rounds of all hosts; null where the source does not say. */
export interface MeasuredMeans {
  /** Of a round, and of a step of the clock. */
  readonly seconds: number | null
  readonly stepSeconds: number | null
  /** Of one client in one round. */
  readonly bytes: Traffic | null
}

export interface TrafficFindings {
  readonly measured: Traffic
  /** The same round as planned under the charter. */
  readonly planned: Traffic
  readonly comparison: Comparison
  /** Floats of what one client trains, mean over clients. */
  readonly parameters: number
}

/**
 * Every host's first round is left out where it has others: of seconds, as backends load and compile in it, and of whole
 * models' bytes, as what they begin with follows from the seed. A split client may send the first activations of a round
 * before the one before is closed: there only all rounds together hold what was sent in them.
 */
export function measuredRound (run: Pick<MeasuredRun, 'rounds' | 'charter'>): MeasuredMeans {
  const rounds = settled(run.rounds)
  const timed = rounds.filter(({ seconds, steps }) => seconds !== null && steps > 0)
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
  const seconds = sum(timed.map(({ seconds }) => seconds as number))
  const counted = (run.charter?.model.trunk === 'client' ? rounds : run.rounds).filter(({ bytes, contributors }) => bytes !== null && contributors > 0)
  const shares = sum(counted.map(({ contributors }) => contributors))
  return {
    seconds: timed.length === 0 ? null : seconds / timed.length,
    stepSeconds: timed.length === 0 ? null : seconds / sum(timed.map(({ steps }) => steps)),
    bytes: shares === 0 ? null : { up: sum(counted.map(({ bytes }) => bytes?.up ?? 0)) / shares, down: sum(counted.map(({ bytes }) => bytes?.down ?? 0)) / shares }
  }
}

function settled (rounds: readonly MeasuredRound[]): readonly MeasuredRound[] {
  const closed = new Map<string, number>()
  for (const { host } of rounds) closed.set(host, (closed.get(host) ?? 0) + 1)
  const seen = new Set<string>()
  return rounds.filter(({ host }) => {
    const first = !seen.has(host)
    seen.add(host)
    return !first || closed.get(host) === 1
  })
}

/** A client of a run as it described itself to its host. */
export function siteOf (charter: Charter, { tasks, samples, client = 'site' }: Pick<MeasuredClient, 'tasks' | 'samples'> & { client?: string }): ClientDescription {
  const { model, training: { batch } } = charter
  const input = inputOf(charter, charter.tasks.find(({ id }) => tasks.includes(id)) ?? {})
  return { client, tasks, cut: [embedderOf(model, input).tokens, model.backbone.width], batch: Math.min(batch, samples.train), samples, sharedUnits: sharedUnits(charter, tasks) }
}

/** @returns undefined where bytes, charter or clients are not known */
export function trafficOf (run: MeasuredRun, sizeOf: FrameBytes): TrafficFindings | undefined {
  const { charter, clients, hosts } = run
  const { bytes } = measuredRound(run)
  if (charter === undefined || bytes === null || clients.length === 0) return undefined
  const sites = clients.map(client => siteOf(charter, client))
  const init = { sizeOf, clients: clients.length / hosts, otherHosts: hosts - 1 }
  const planned = sites.map(site => new TrafficPlan(charter, site, { codec: charter.cutCodec, sizeOf }).round(init.otherHosts))
  const mean = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0) / values.length
  const floats = sites.map(site => modelFloats(charter, site.tasks)).map(({ trunk, parts }) => trunk + Object.values(parts).reduce((total, size) => total + size, 0))
  return {
    measured: bytes,
    planned: { up: mean(planned.map(({ up }) => up)), down: mean(planned.map(({ down }) => down)) },
    comparison: meanOf(sites.map(site => compareTraffic(charter, site, init))),
    parameters: mean(floats)
  }
}

/** Clients with other tasks or fewer rows send less: the mean client of all comparisons. */
function meanOf (all: readonly Comparison[]): Comparison {
  const mean = (of: (comparison: Comparison) => number): number => all.reduce((total, comparison) => total + of(comparison), 0) / all.length
  const [first] = all as [Comparison, ...Comparison[]]
  const ways = first.ways.map((way, i) => {
    const figure = (of: (way: Comparison['ways'][number]) => number): number => mean(({ ways }) => of(ways[i] as Comparison['ways'][number]))
    return { ...way, round: { up: figure(({ round }) => round.up), down: figure(({ round }) => round.down) }, atHost: figure(({ atHost }) => atHost) }
  })
  const [split, fedavg] = ways as [Comparison['ways'][number], Comparison['ways'][number]]
  return { ways, fewer: split.atHost <= fedavg.atHost ? 'split' : 'fedavg', factor: Math.max(split.atHost, fedavg.atHost) / Math.min(split.atHost, fedavg.atHost) }
}
