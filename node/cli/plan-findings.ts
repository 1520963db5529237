/** What a run says about the next one, as short tables with their advice, or as one object a line. */
import { MAX_WIDTH, megabits } from './plan-report.ts'
import { bytes, clean, count, duration, list, metric, percent, plural, table, wrap } from './format.ts'
import { measuredRound } from '../../src/planning/index.ts'
import type { ConflictFindings, LinkFindings, MeasuredRun, SplitFindings, TrafficFindings } from '../../src/planning/index.ts'
import type { FoundLink } from './link.ts'

export interface Findings {
  readonly run: MeasuredRun
  readonly conflicts: ConflictFindings
  /** Undefined where the run measured no affinities. */
  readonly splitting: SplitFindings | undefined
  /** Undefined where bytes, charter or clients are not known. */
  readonly traffic: TrafficFindings | undefined
  /** Undefined where none was given. */
  readonly link: FoundLink | undefined
  readonly flight: LinkFindings | undefined
}

export function printFindings (findings: Findings, format: 'text' | 'json'): void {
  const lines = format === 'json' ? asJson(findings) : asText(findings, Math.min(process.stdout.columns ?? MAX_WIDTH, MAX_WIDTH))
  process.stdout.write(`${lines.join('\n')}\n`)
}

function asJson ({ run, conflicts, splitting, traffic, link, flight }: Findings): string[] {
  const { strategy, runner, hosts, clients, rounds } = run
  const rows: object[] = [
    { type: 'conflicts', ...conflicts },
    ...splitting === undefined ? [] : [{ type: 'affinity', ...splitting }],
    ...traffic === undefined ? [] : [{ type: 'traffic', ...traffic }],
    ...flight === undefined ? [] : [{ type: 'link', link, ...flight }],
    {
      type: 'summary',
      strategy,
      runner,
      hosts,
      clients: clients.length,
      rounds: rounds.length,
      measured: measuredRound(run),
      conflicts: conflicts.finding,
      groups: splitting?.groups ?? null,
      fewer: traffic?.comparison.fewer ?? null,
      codec: flight?.codec ?? null,
      inFlight: flight?.inFlight ?? null
    }
  ]
  return rows.map(row => JSON.stringify(row))
}

const right = (title: string): { title: string, align: 'right' } => ({ title, align: 'right' })

function asText (findings: Findings, width: number): string[] {
  const { run, conflicts, splitting, traffic, link, flight } = findings
  const prose = (text: string): string[] => wrap(clean(text), width, '  ')
  const { seconds, stepSeconds } = measuredRound(run)
  const took = seconds === null || stepSeconds === null ? '' : `, a round took ${duration(seconds)}, a step ${(1000 * stepSeconds).toFixed(1)} ms`
  return [
    ...prose(`the run: ${run.strategy === null ? '' : `${run.strategy}, `}${plural(run.hosts, 'host')}, ${run.clients.length === 0 ? '' : `${plural(run.clients.length, 'client')}, `}${plural(run.rounds.length, 'closed round')}${took}`),
    '',
    ...prose(`conflicts: ${conflicts.conflictPairs} of ${conflicts.pairs} pairs of gradients, cosine ${metric(conflicts.meanCosine)} in the mean, ${metric(conflicts.minCosine)} at least`),
    ...prose(`${conflicts.finding}: ${conflicts.reason}`),
    '',
    ...splitting === undefined ? prose('tasks: this run did not measure what they do to each other (strategy mas does)') : splittingInWords(splitting, width, prose),
    '',
    ...traffic === undefined
      ? prose(`traffic: not known without ${list([...run.rounds.every(round => round.bytes === null) ? ['the bytes of a printed summary'] : [], ...run.charter === undefined ? ['--charter'] : [], ...run.clients.length === 0 ? ['clients'] : []])}`)
      : trafficInWords(traffic, width, prose),
    '',
    ...flight === undefined
      ? prose(link === undefined ? 'codec and steps in flight: give --link 20Mbit --latency 30, or --peer MULTIADDR' : 'codec and steps in flight: not known without step times, bytes and a charter')
      : [...prose(`link: ${megabits(link?.upBitsPerSecond ?? 0)} up, ${megabits(link?.downBitsPerSecond ?? 0)} down, round trip ${(link?.roundTripMs ?? 0).toFixed(1)} ms (${link?.from ?? ''})`), ...flightTable(flight, width), ...prose(`take ${flight.codec} and training.inFlight=${flight.inFlight}: ${flight.reason}`)]
  ]
}

type Prose = (text: string) => string[]

function splittingInWords ({ tasks, matrix, groups, value, allInOne, reason, rounds, mergedRounds, costs }: SplitFindings, width: number, prose: Prose): string[] {
  const names = tasks.map(clean)
  return [
    ...table([{ title: 'a step on (helps above 0)', shrink: true }, ...names.map(name => ({ title: name, align: 'right' as const, shrink: true }))],
      names.map((name, i) => [name, ...names.map((_, j) => i === j ? '.' : metric(matrix[i]?.[j], 4))]), { width }),
    ...prose(`groups: ${groups.map(group => `{${group.join(', ')}}`).join(' ')} worth ${metric(value, 4)}, all in one ${metric(allInOne, 4)}${reason === '' ? '' : ` (${reason})`}`),
    ...table([{ title: 'a client trains' }, ...['encoder passes', 'bytes', 'seconds'].map(right)],
      costs.map(cost => [cost.plan, cost.encoderPasses.toFixed(1), bytes(cost.bytes), duration(cost.seconds)]), { width }),
    ...prose(`passes in rounds of one client, ${rounds} rounds, ${mergedRounds} of them merged before the split; seconds as a round of this run took`)
  ]
}

function trafficInWords ({ measured, planned, comparison: { ways, fewer, factor }, parameters }: TrafficFindings, width: number, prose: Prose): string[] {
  const name = { split: 'split training, planned', fedavg: 'FedAvg of it, planned', charter: 'this charter, planned' }
  return [
    ...table([{ title: 'a round of one client' }, ...['up', 'down', 'both'].map(right)], [
      ['measured', bytes(measured.up), bytes(measured.down), bytes(measured.up + measured.down)],
      ...ways.map(({ way, own, round: { up, down } }) => [`${name[way]}${own ? ' (as it ran)' : ''}`, bytes(up), bytes(down), bytes(up + down)])
    ], { width }),
    ...prose(`measured against planned: ${percent((measured.up + measured.down) / (planned.up + planned.down) - 1)} apart; ${fewer === 'split' ? 'split training' : 'FedAvg'} moves ${metric(factor, 2)} times fewer bytes per round for ${count(parameters)} parameters`)
  ]
}

function flightTable ({ plans, codec }: LinkFindings, width: number): string[] {
  return table([{ title: '' }, { title: 'codec' }, ...['step up', 'step down', 'a step', 'in flight', 'a step then'].map(right)],
    plans.map(plan => [plan.codec === codec ? '>' : '', plan.codec, bytes(plan.bytesUp), bytes(plan.bytesDown), `${(1000 * plan.seconds).toFixed(1)} ms`, String(plan.inFlight), `${(1000 * plan.flightSeconds).toFixed(1)} ms`]), { width })
}
