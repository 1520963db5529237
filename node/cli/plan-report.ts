/** A plan as tables with their advice, or as one object a line. */
import { bytes, count, duration, metric, plural, signed, table, wrap } from './format.ts'
import type { Advice, CodecPlan, Comparison, DeviceSpeed, Placement, PlacementAdvice, Traffic, WayTraffic } from '../../src/planning/index.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { FoundLink } from './link.ts'

export interface PlanReport {
  readonly charter: Charter
  readonly device: DeviceSpeed
  readonly link: FoundLink
  readonly clients: number
  readonly otherHosts: number
  /** Of the charter as it is: a step is a mini-batch through the cut, or an exchange of whole models. */
  readonly advice: Advice
  readonly hostRowsPerSecond: number
  readonly hostSpeedFrom: string
  readonly wouldHost: boolean
  /** Under the charter's codec: what will be carried unless somebody changes it. */
  readonly comparison: Comparison
  /** What the wire carries in one message. */
  readonly frameLimitBytes: number
  /** Each place with the codec that is advised for it. */
  readonly placement: PlacementAdvice
  /** Bytes of the whole run, under the advised codec. */
  readonly run: Traffic
  readonly parameters: number
  readonly trunkParameters: number
}

/** What every terminal shows, and what can be read. */
export const MAX_WIDTH = 100

export function printPlan (report: PlanReport, format: 'text' | 'json'): void {
  const lines = format === 'json' ? asJson(report) : asText(report, Math.min(process.stdout.columns ?? MAX_WIDTH, MAX_WIDTH))
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** One row per codec, per way to train and per place of the trunk, then the summary. */
export function asJson ({ charter, device, link, clients, otherHosts, advice, hostRowsPerSecond, hostSpeedFrom, wouldHost, comparison, placement, run, parameters, trunkParameters }: PlanReport): string[] {
  const codecs = advice.plans.map(({ accuracy, ...plan }) => ({ type: 'codec', ...plan, accuracyLoss: accuracy?.loss ?? null, accuracyFrom: accuracy?.worst ?? null }))
  const ways = comparison.ways.map(way => ({ type: 'traffic', ...way, codec: charter.cutCodec }))
  const places = placement.placements.map(place => ({ type: 'placement', ...place }))
  const { backend, ms, whole, clientRowsPerSecond, trunkRowsPerSecond } = device
  const of = (way: WayTraffic['way']): Traffic | undefined => comparison.ways.find(each => each.way === way)?.round
  const summary = {
    type: 'summary',
    codec: advice.codec,
    reason: advice.reason,
    charter: charter.name,
    device: { backend, clientRowsPerSecond, trunkRowsPerSecond, wouldHost, ms, whole },
    host: { rowsPerSecond: hostRowsPerSecond, from: hostSpeedFrom, clients },
    link,
    otherHosts,
    model: { parameters, trunk: trunkParameters },
    round: { steps: charter.training.stepsPerRound, codec: charter.cutCodec, split: of('split'), fedavg: of('fedavg'), fewer: comparison.fewer, factor: comparison.factor },
    run: { rounds: charter.training.rounds, bytes: run },
    placement: { trunk: placement.trunk, reason: placement.reason }
  }
  return [...codecs, ...ways, ...places, summary].map(row => JSON.stringify(row))
}

const right = (title: string): { title: string, align: 'right' } => ({ title, align: 'right' })

export function asText (report: PlanReport, width: number): string[] {
  const { charter, device, link, clients, advice, run, placement } = report
  const prose = (text: string): string[] => wrap(text, width, '  ')
  const { rounds, stepsPerRound } = charter.training
  return [
    ...prose(stepInWords(report)),
    ...prose(`this machine (${device.backend}): embedder and heads ${rate(device.clientRowsPerSecond)}, trunk ${rate(device.trunkRowsPerSecond)}, whole model ${rate(1000 * device.site.batch / device.whole.gradient)}: it would ${report.wouldHost ? '' : 'not '}host`),
    ...prose(`host: ${rate(report.hostRowsPerSecond)} (${report.hostSpeedFrom}), ${plural(clients, 'client')}`),
    ...prose(`link: ${megabits(link.upBitsPerSecond)} up, ${megabits(link.downBitsPerSecond)} down for messages, round trip ${link.roundTripMs.toFixed(1)} ms (${link.from})`),
    '',
    ...table(
      [{ title: '' }, { title: 'codec' }, ...['up', 'down', 'compute', 'transfer', 'latency', 'coding', 'step', 'steps/s'].map(right), { title: 'accuracy', shrink: true }],
      advice.plans.map(plan => [plan.codec === advice.codec ? '>' : '', ...cells(plan)]),
      { width }),
    '',
    ...trafficInWords(report, width),
    '',
    ...placementTable(placement, width),
    ...prose(`trunk at the ${placement.trunk}: ${placement.reason} (compute with the local baseline, as far as the line does not hide it)`),
    '',
    ...prose(`the whole run with ${advice.codec}: ${bytes(run.up)} up, ${bytes(run.down)} down, ${duration(rounds * stepsPerRound * chosenPlan(advice).seconds)} of steps`),
    ...prose(`take ${advice.codec}: ${advice.reason}`),
    ...prose(`next: fmtl-node up --codec ${advice.codec} with the rest as before, or fmtl-node charter --codec ${advice.codec} for all members`)
  ]
}

function stepInWords ({ charter: { model, training }, device: { site: { batch, cut, tasks, sharedUnits } }, parameters, trunkParameters }: PlanReport): string {
  const shared = sharedUnits.length > 0 ? `, shared ${sharedUnits.join(', ')}` : ''
  const parts = `${count(parameters)} parameters, ${count(trunkParameters)} of them the trunk`
  return model.trunk === 'client'
    ? `step: ${plural(training.localSteps ?? 1, 'gradient step')} of ${batch} rows at the client, ${plural(tasks.length, 'task')}${shared}; ${parts}`
    : `step: ${batch} rows of ${cut.join(' x ')} at the cut, ${plural(tasks.length, 'task')}${shared}; ${parts}`
}

/** Both ways to train this model, whichever the charter takes. */
function trafficInWords ({ comparison: { ways, fewer, factor }, charter, otherHosts, clients, parameters, frameLimitBytes }: PlanReport, width: number): string[] {
  const name = { split: 'split training', fedavg: 'FedAvg of this model', charter: 'this charter' }
  const meets = ways.some(({ gossip }) => gossip.packed > 0)
  const tooLarge = ways.filter(({ largestFrameBytes }) => largestFrameBytes > frameLimitBytes)
  return [
    ...table(
      [{ title: '' }, { title: `a round as ${charter.cutCodec}` }, ...['steps', 'exchanges', 'client up', 'client down', ...meets ? ['delta', '4 |W|'] : [], 'at a host'].map(right)],
      ways.map(({ way, own, round, gossip, atHost, gradientSteps, exchanges }) => [
        own ? '>' : '', name[way], String(gradientSteps), String(exchanges), bytes(round.up), bytes(round.down), ...meets ? [bytes(gossip.packed), bytes(gossip.exact)] : [], bytes(atHost)
      ]),
      { width }),
    ...wrap(`${fewer === 'split' ? 'split training' : 'FedAvg'} moves ${metric(factor, 2)} times fewer bytes per round for this model of ${count(parameters)} parameters (at a host with ${plural(clients, 'client')}${
      meets ? `, and the deltas of ${plural(otherHosts, 'other host')}, each 4 |W| before compression` : ''})`, width, '  '),
    ...tooLarge.flatMap(({ way, largestFrameBytes }) => wrap(`${name[way]} cannot run over the wire as it is: one message takes ${bytes(largestFrameBytes)}, ${bytes(frameLimitBytes)} is the most`, width, '  '))
  ]
}

function placementTable ({ placements, trunk }: PlacementAdvice, width: number): string[] {
  const row = (place: Placement): string[] => [
    place.trunk === trunk ? '>' : '', place.trunk, place.codec, String(place.gradientSteps), String(place.exchanges), bytes(place.bytesUp), bytes(place.bytesDown),
    duration(place.computeSeconds), duration(place.lineSeconds), duration(place.seconds)
  ]
  return table([{ title: '' }, { title: 'trunk at' }, { title: 'codec' }, ...['steps', 'exchanges', 'up', 'down', 'compute', 'line', 'a round'].map(right)], placements.map(row), { width })
}

function cells (plan: CodecPlan): string[] {
  const { codec, bytesUp, bytesDown, seconds, computeSeconds, transferSeconds, latencySeconds, codecSeconds, stepsPerSecond, accuracy } = plan
  const ms = (value: number): string => `${(1000 * value).toFixed(1)} ms`
  return [
    codec, bytes(bytesUp), bytes(bytesDown), ms(computeSeconds), ms(transferSeconds), ms(latencySeconds), ms(codecSeconds), ms(seconds), stepsPerSecond.toFixed(2),
    accuracy === undefined ? 'not measured' : accuracy.worst === undefined ? '' : `${signed(-accuracy.loss, 4)} ${accuracy.worst.data}`
  ]
}

export function chosenPlan ({ plans, codec }: Advice): CodecPlan { return plans.find(plan => plan.codec === codec) as CodecPlan }

function rate (rowsPerSecond: number): string { return `${Math.round(rowsPerSecond)} rows/s` }

export function megabits (bitsPerSecond: number): string { return `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s` }
