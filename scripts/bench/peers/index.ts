/**
 * Our speed against that of peers, in turns: A B C, B C A, … so that whatever else the machine does hits all alike. Prints
 * rows, what ours is of theirs turn by turn, and with --out writes PATH.json, PATH.md and PATH.svg. See ./README.md.
 *
 *     node scripts/bench/peers/index.ts --what split --shapes 128x16x6,192x64x6 --clients 1,4 --threads 2 --rounds-of-pairs 5
 *     node scripts/bench/peers/index.ts --what rounds --sizes small,large --clients 10 --data PATH/digits --rounds-of-pairs 3
 */
import { parseArgs } from 'node:util'
import { InvalidParametersError } from '../../../src/errors.ts'
import { BenchOutput } from '../../../testnet/bench/report.ts'
import { measure } from './command.ts'
import { roundsContest, splitContest } from './contestants.ts'
import { environments } from './environment.ts'
import { inTurn, overTurns, ratios } from './turns.ts'
import type { BenchRow, Spread } from '../../../testnet/bench/report.ts'
import type { Command } from './command.ts'
import type { Case, Contest } from './contestants.ts'
import type { Environments } from './environment.ts'

/** Longest try of a setting, ms: ten times what a good one takes on two busy cores. */
const TRY_MS = 100_000

type Row = Readonly<Record<string, BenchRow[string]>>

const { values } = parseArgs({
  options: {
    what: { type: 'string', default: 'split' },
    /** width x tokens x layers */
    shapes: { type: 'string', default: '128x16x6,192x64x6' },
    sizes: { type: 'string', default: 'small,large' },
    clients: { type: 'string' },
    threads: { type: 'string', default: '2' },
    batch: { type: 'string', default: '32' },
    steps: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '5' },
    data: { type: 'string' },
    /** Which contestants; default: all. */
    impl: { type: 'string' },
    'rounds-of-pairs': { type: 'string', default: '5' },
    /** Longest time of one command, s. */
    timeout: { type: 'string', default: '300' },
    format: { type: 'string', default: 'json' },
    out: { type: 'string' }
  }
})

const what = values.what === 'split' || values.what === 'rounds' ? values.what : fail('--what', values.what, 'use split or rounds')
const turnCount = whole('--rounds-of-pairs', values['rounds-of-pairs'])
const timeoutMs = 1000 * whole('--timeout', values.timeout)
const only = values.impl?.split(',')
const format = values.format === 'text' || values.format === 'json' ? values.format : fail('--format', values.format, 'use text or json')
const output = new BenchOutput({ format, ...values.out === undefined ? {} : { out: values.out } }, what === 'split'
  ? { title: 'Split training against peers', names: ['shape', 'clients', 'impl'], figures: ['samplesPerSecond', 'oursByTheirs', 'stepMs', 'parameters', 'reason'] }
  : { title: 'Federated rounds against peers', names: ['size', 'clients', 'impl'], figures: ['secondsPerRound', 'oursByTheirs', 'firstRoundSeconds', 'bytesPerClientAndRound', 'rssBytesPerNode', 'accuracy', 'parameters', 'reason'] })
const contest = await choose(await environments(line => { output.progress(line) }))
const missing = new Map<string, string>()
for (const one of contest.cases) await play(one)
await output.end({
  what,
  turns: turnCount,
  figure: contest.figure,
  higherIsBetter: contest.higherIsBetter,
  missing: Object.fromEntries(missing)
})

async function choose (python: Environments): Promise<Contest> {
  if (what === 'split') {
    return splitContest(python, {
      shapes: values.shapes.split(','),
      clients: counts(values.clients ?? '1,4'),
      threads: whole('--threads', values.threads),
      batch: whole('--batch', values.batch),
      steps: whole('--steps', values.steps)
    })
  }
  const { data } = values
  if (data === undefined) throw new InvalidParametersError('--what rounds needs --data', { next: 'give the folder of the digits data set' })
  return roundsContest(python, { sizes: values.sizes.split(','), clients: counts(values.clients ?? '10'), rounds: whole('--rounds', values.rounds), data })
}

/** All turns of one case, then its rows. What failed once is not tried again. */
async function play ({ facts, contestants }: Case): Promise<void> {
  const name = Object.values(facts).join(' ')
  const playing = contestants.filter(({ impl }) => only?.includes(impl) ?? true)
  const figures = new Map<string, (number | undefined)[]>(playing.map(({ impl }) => [impl, []]))
  const last = new Map<string, Row>()
  const reasons = new Map<string, string>()
  const chosen = new Map<string, Command>()
  for (const { impl, commands, reason } of playing) {
    const command = commands.length > 1 ? await fastest(impl, commands) : commands[0]
    if (command === undefined) reasons.set(impl, reason ?? 'no setting of it gave a figure')
    else chosen.set(impl, command)
  }
  for (let turn = 0; turn < turnCount; turn++) {
    for (const { impl } of inTurn(playing, turn)) {
      const command = chosen.get(impl)
      if (command === undefined || reasons.has(impl)) continue
      const { row, figure, reason } = await one(impl, command)
      figures.get(impl)?.splice(turn, 1, figure)
      if (row !== undefined) last.set(impl, row)
      if (figure === undefined) reasons.set(impl, reason ?? `no row of ${impl}`)
      output.progress(`turn ${turn + 1} of ${turnCount}, ${name}, ${impl}: ${figure?.toPrecision(4) ?? reasons.get(impl)}`)
    }
  }
  for (const { impl } of playing) {
    const theirs = contest.opponents.find(([ours, peer]) => peer === impl && figures.has(ours))
    const reason = reasons.get(impl)
    if (reason !== undefined) missing.set(impl, reason)
    output.row({
      bench: what,
      impl,
      ...facts,
      ...others(last.get(impl)),
      [contest.figure]: overTurns(figures, impl) ?? null,
      // Above 1 ours is the larger figure: faster for samples per second, slower for seconds per round.
      oursByTheirs: theirs === undefined ? null : ratios(figures, ...theirs) ?? null,
      reason: reason ?? null
    })
  }
}

/** The setting with the best figure in one try; undefined where none gave one. */
async function fastest (impl: string, commands: readonly Command[]): Promise<Command | undefined> {
  const sign = contest.higherIsBetter ? 1 : -1
  let best: { command: Command, score: number } | undefined
  for (const command of commands) {
    const { figure, reason } = await one(impl, command, Math.min(timeoutMs, TRY_MS))
    output.progress(`trying ${impl} ${command.args.slice(1).join(' ')}: ${figure?.toPrecision(4) ?? reason}`)
    if (figure !== undefined && (best === undefined || sign * figure > best.score)) best = { command, score: sign * figure }
  }
  return best?.command
}

/** One contestant's figure in one turn. */
async function one (impl: string, command: Command, limitMs = timeoutMs): Promise<{ row?: Row, figure?: number, reason?: string | undefined }> {
  const outcome = await measure(command, limitMs)
  const row = outcome.rows.find(found => found.impl === impl)
  const figure = row?.[contest.figure] as Partial<Spread> | number | undefined
  const middle = typeof figure === 'object' ? figure.median : figure
  return { ...row === undefined ? {} : { row }, ...Number.isFinite(middle) ? { figure: middle as number } : {}, reason: outcome.reason }
}

/** What a row says beside its figure and what names it: parameters, memory, bytes, accuracy. Of the last turn. */
function others (row: Row = {}): Row {
  const named = new Set(['bench', 'impl', 'width', 'tokens', 'layers', 'batch', 'clients', contest.figure])
  return Object.fromEntries(Object.entries(row).filter(([key]) => !named.has(key)))
}

function whole (flag: string, text: string): number {
  const number = Number(text)
  return Number.isInteger(number) && number > 0 ? number : fail(flag, text, 'give a whole number above zero')
}

function counts (text: string): number[] { return text.split(',').map(count => whole('--clients', count)) }

function fail (flag: string, value: string, next: string): never {
  throw new InvalidParametersError(`${flag} cannot be '${value}'`, { next })
}
