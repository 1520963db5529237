/** A plan as a table with its advice, or as one object a line. */
import { bytes, duration, plural, signed, table, wrap } from './format.ts'
import type { Advice, CodecPlan, DeviceSpeed, Traffic } from '../../src/planning/index.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { FoundLink } from './link.ts'

export interface PlanReport {
  readonly charter: Charter
  readonly device: DeviceSpeed
  readonly link: FoundLink
  readonly clients: number
  readonly otherHosts: number
  readonly advice: Advice
  readonly hostRowsPerSecond: number
  readonly hostSpeedFrom: string
  readonly wouldHost: boolean
  /** Bytes of one round, and of the whole run, under the advised codec. */
  readonly round: Traffic
  readonly run: Traffic
  /** Of one round, were the whole model averaged instead. */
  readonly wholeModel: Traffic
  readonly parameters: number
}

export function printPlan (report: PlanReport, format: 'text' | 'json'): void {
  const lines = format === 'json' ? asJson(report) : asText(report, process.stdout.columns ?? 120)
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** One row per codec, then the summary. */
export function asJson ({ charter, device, link, clients, otherHosts, advice, hostRowsPerSecond, hostSpeedFrom, wouldHost, round, run, wholeModel, parameters }: PlanReport): string[] {
  const rows = advice.plans.map(({ accuracy, ...plan }) => ({ type: 'codec', ...plan, accuracyLoss: accuracy.loss, accuracyFrom: accuracy.worst ?? null }))
  const { backend, ms, clientRowsPerSecond, trunkRowsPerSecond } = device
  const summary = {
    type: 'summary',
    codec: advice.codec,
    reason: advice.reason,
    charter: charter.name,
    device: { backend, clientRowsPerSecond, trunkRowsPerSecond, wouldHost, ms },
    host: { rowsPerSecond: hostRowsPerSecond, from: hostSpeedFrom, clients },
    link,
    otherHosts,
    round: { steps: charter.training.stepsPerRound, split: round, wholeModel, parameters },
    run: { rounds: charter.training.rounds, split: run }
  }
  return [...rows, summary].map(row => JSON.stringify(row))
}

export function asText (report: PlanReport, width: number): string[] {
  const { charter, device, link, clients, advice, round, run, wholeModel } = report
  const { batch, cut, tasks, sharedUnits } = device.site
  const right = (title: string): { title: string, align: 'right' } => ({ title, align: 'right' })
  const both = ({ up, down }: Traffic): string => `${bytes(up)} up, ${bytes(down)} down`
  return [
    `step: ${batch} rows of ${cut.join(' x ')} at the cut, ${plural(tasks.length, 'task')}${sharedUnits.length > 0 ? `, shared ${sharedUnits.join(', ')}` : ''}`,
    `this machine (${device.backend}): embedder and heads ${rate(device.clientRowsPerSecond)}, trunk ${rate(device.trunkRowsPerSecond)}: it would ${report.wouldHost ? '' : 'not '}host`,
    `host: ${rate(report.hostRowsPerSecond)} (${report.hostSpeedFrom}), ${plural(clients, 'client')}`,
    `link: ${megabits(link.upBitsPerSecond)} up, ${megabits(link.downBitsPerSecond)} down for messages, round trip ${link.roundTripMs.toFixed(1)} ms (${link.from})`,
    '',
    ...table(
      [{ title: '' }, { title: 'codec' }, ...['up', 'down', 'compute', 'transfer', 'latency', 'codec', 'step', 'steps/s'].map(right), { title: 'accuracy against f32, at worst', shrink: true }],
      advice.plans.map(plan => [plan.codec === advice.codec ? '>' : '', ...cells(plan)]),
      { width }),
    '',
    `a round of ${plural(charter.training.stepsPerRound, 'step')}: ${both(round)} split with ${advice.codec}; ${both(wholeModel)} if all ${report.parameters} parameters were averaged (FedAvg)`,
    `the whole run: ${both(run)}, ${duration(charter.training.rounds * charter.training.stepsPerRound * chosen(advice).seconds)} of steps`,
    '',
    ...wrap(`take ${advice.codec}: ${advice.reason}`, width),
    `next: fmtl-node up --codec ${advice.codec} with the rest as before, or fmtl-node charter --codec ${advice.codec} for all members`
  ]
}

function cells (plan: CodecPlan): string[] {
  const { codec, bytesUp, bytesDown, seconds, computeSeconds, transferSeconds, latencySeconds, codecSeconds, stepsPerSecond, accuracy } = plan
  const ms = (value: number): string => `${(1000 * value).toFixed(1)} ms`
  const { worst } = accuracy
  return [
    codec, bytes(bytesUp), bytes(bytesDown), ms(computeSeconds), ms(transferSeconds), ms(latencySeconds), ms(codecSeconds), ms(seconds), stepsPerSecond.toFixed(2),
    worst === undefined ? '' : `${signed(-accuracy.loss, 4)} (${worst.data}, ${worst.metric}, ${worst.seeds} seeds)`
  ]
}

function chosen ({ plans, codec }: Advice): CodecPlan { return plans.find(plan => plan.codec === codec) as CodecPlan }

function rate (rowsPerSecond: number): string { return `${Math.round(rowsPerSecond)} rows/s` }

function megabits (bitsPerSecond: number): string { return `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s` }
