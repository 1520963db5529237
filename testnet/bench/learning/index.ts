/**
 * `fmtl-node bench learning`: strategies against data sets. Every cell is one simulated consortium per seed; the leading
 * strategy also trains the yardsticks (a simple and a deep model at each site, two deep ones) and says what sites would
 * serve. With `--out` every finished run is kept beside the tables, and a bench that was stopped goes on where it was.
 */
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus } from 'node:os'
import { dirname } from 'node:path'
import { RUNGS } from '../../../src/backend/ladder.ts'
import { InvalidParametersError } from '../../../src/errors.ts'
import { openDataset } from '../../../src/data/open.ts'
import { openExperiment } from '../../../src/strategies/outside.ts'
import { withOutput, whole } from '../report.ts'
import { asMarkdown, asText } from './tables.ts'
import { dotsSvg } from './dots-svg.ts'
import { orderKey, relativeGain, tableOf } from './cells.ts'
import { readRung, readSettings } from '../../settings.ts'
import { runAll } from './pool.ts'
import type { BenchFlags } from '../report.ts'
import type { Command } from 'commander'
import type { DataTable } from './cells.ts'
import type { Run, RunOrder } from './run.ts'

interface Flags extends BenchFlags {
  strategies: string
  data: string
  seeds: string
  firstSeed: string
  hosts: string
  jobs?: string
  rounds?: string
  rows?: string
  clients?: string
  partition?: string
  refit: boolean
  backend?: string
  set: string[]
}

const STRATEGIES = ['fedbone', 'centralised', 'fedavg', 'fedper', 'ditto', 'mtsl']
/** Runs that `--out` keeps, in bytes: 10 000 of them. */
const MAX_RUNS_BYTES = 256 * 2 ** 20

export function registerLearning (bench: Command): void {
  withOutput(bench.command('learning').description('strategies against data sets: what each learns, moves and takes, beside local and pooled training'),
    'fmtl-node bench learning --data ./our-data --strategies fedbone,fedavg,mtsl --seeds 3',
    'fmtl-node bench learning --data scenes --seeds 1 --rounds 2')
    .option('--strategies <a,b>', 'the first one leads: its sites train the local yardsticks and serve', STRATEGIES.join(','))
    .option('--data <a,b>', 'folders, manifests or scenes; PATH#task+task takes some of its tasks', 'scenes')
    .option('--seeds <n>', 'runs of each, from other rows, hold-outs and start values', '3')
    .option('--first-seed <n>', 'the first of them', '1')
    .option('--hosts <n>', 'backbone hosts', '1')
    .option('--jobs <n>', 'runs side by side (default: the cores)')
    .option('--rounds <n>', 'rounds (default: what the data recommends)')
    .option('--rows <n>', 'training rows per client, hold-out included')
    .option('--clients <n>', 'clients (default: those of the data)')
    .option('--partition <kind>', 'by-site, iid or dirichlet')
    .option('--no-refit', 'leave the hold-out rows out of training for good: half the runs of the leading strategy')
    .option('--backend <rung>', `first compute rung to try: ${RUNGS.join(', ')}`)
    .option('--set <key=value>', 'a model or training setting of every strategy, such as model.sharedHeads=all; may be repeated', (value: string, all: string[]) => [...all, value], [])
    .action(async (flags: Flags) => { await learning(flags) })
}

async function learning (flags: Flags): Promise<void> {
  const strategies = flags.strategies.split(',')
  const kinds = await Promise.all(strategies.map(async name => (await openExperiment(name)).strategy.kind))
  const lead = strategies.find((_, i) => kinds[i] !== 'alone')
  if (lead === undefined) throw new InvalidParametersError('--strategies names yardsticks only', { next: 'add a strategy by which sites train together, such as fedbone' })
  const sets = flags.data.split(',')
  const orders = await ordersOf(flags, sets, strategies, lead)
  const known = await knownRuns(flags.out)
  const runs = orders.flatMap(order => known.get(orderKey(order)) ?? [])
  const waiting = orders.filter(order => !known.has(orderKey(order)))
  const json = flags.format === 'json'
  for (const run of runs) if (json) say(run)
  if (flags.out !== undefined) await mkdir(dirname(flags.out), { recursive: true })
  const startedAt = performance.now()
  let done = 0
  let written = Promise.resolve()
  await runAll(waiting, {
    jobs: flags.jobs === undefined ? availableParallelism() : whole('--jobs', flags.jobs),
    onStart: ({ data, strategy, seed, refit }) => { process.stderr.write(`${done} of ${waiting.length} done; ${data}, ${strategy}, seed ${seed}${refit ? ', on all rows' : ''}\n`) },
    onRun: run => {
      if (run.unfit !== undefined && run.order.strategy === lead) throw new InvalidParametersError(`${run.data}: ${lead} leads and cannot train on this data: ${run.unfit}`, { next: 'name another strategy first' })
      done++
      runs.push(run)
      if (json) say(run)
      if (flags.out !== undefined) written = written.then(async () => { await appendFile(runsFile(flags.out as string), `${JSON.stringify(run)}\n`) })
    }
  })
  await written
  const tables = sets.map(set => runs.filter(run => sameSet(run, set))).map(of => tableOf(of[0]?.data ?? '', of, strategies, lead))
  const facts = { type: 'summary', strategies, lead, seeds: seedsOf(flags), seconds: (performance.now() - startedAt) / 1000, runs: runs.length, computed: waiting.length, cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version }
  if (json) {
    for (const table of tables) for (const row of rowsOf(table)) process.stdout.write(`${JSON.stringify(row)}\n`)
    process.stdout.write(`${JSON.stringify(facts)}\n`)
  } else process.stdout.write(`${asText(tables, strategies, lead, process.stdout.columns ?? 200).join('\n')}\n`)
  if (flags.out === undefined) return
  await writeFile(`${flags.out}.json`, `${JSON.stringify({ ...facts, tables }, null, 1)}\n`)
  await writeFile(`${flags.out}.md`, asMarkdown(tables, strategies, lead, `${facts.cpu}, ${facts.cores} cores, Node ${facts.node}`))
  await writeFile(`${flags.out}.svg`, dotsSvg(tables, strategies, lead))
}

/** Every run once; the leading strategy twice: with a hold-out, by which sites choose, and on all rows. */
async function ordersOf (flags: Flags, sets: readonly string[], strategies: readonly string[], lead: string): Promise<RunOrder[]> {
  const { partition } = flags
  const common = {
    hosts: whole('--hosts', flags.hosts),
    ...flags.rounds === undefined ? {} : { rounds: whole('--rounds', flags.rounds) },
    ...flags.rows === undefined ? {} : { rows: whole('--rows', flags.rows) },
    ...flags.clients === undefined ? {} : { clients: whole('--clients', flags.clients) },
    ...partition === undefined ? {} : { partition: partition as NonNullable<RunOrder['partition']> },
    ...readRung(flags.backend),
    ...flags.set.length === 0 ? {} : { settings: Object.fromEntries(Object.entries(readSettings(flags.set)).filter(([, section]) => Object.keys(section).length > 0)) }
  }
  const orders: RunOrder[] = []
  for (const set of sets) {
    const of = { ...common, ...readSet(set) }
    // what is wrong with the data is said before anything runs
    await openDataset(of.data, { seed: 0, ...of.tasks === undefined ? {} : { tasks: of.tasks }, ...of.clients === undefined ? {} : { clients: of.clients } })
    for (const seed of seedsOf(flags)) {
      orders.push({ ...of, strategy: lead, seed, refit: false, baseline: true })
      if (flags.refit) orders.push({ ...of, strategy: lead, seed, refit: true, baseline: true })
      for (const strategy of strategies) if (strategy !== lead && strategy !== 'local') orders.push({ ...of, strategy, seed, refit: flags.refit, baseline: false })
    }
  }
  return orders
}

function readSet (set: string): { data: string, tasks?: readonly string[] } {
  const [data = '', tasks] = set.split('#')
  return { data, ...tasks === undefined ? {} : { tasks: tasks.split('+') } }
}

function sameSet ({ order }: Run, set: string): boolean {
  const { data, tasks } = readSet(set)
  return order.data === data && order.tasks?.join() === tasks?.join()
}

function seedsOf ({ seeds, firstSeed }: Flags): number[] {
  const first = whole('--first-seed', firstSeed, 0)
  return Array.from({ length: whole('--seeds', seeds) }, (_, i) => first + i)
}

function runsFile (out: string): string { return `${out}.runs.ndjson` }

/** Runs that an earlier bench with the same `--out` finished. */
async function knownRuns (out: string | undefined): Promise<ReadonlyMap<string, Run>> {
  if (out === undefined) return new Map()
  let text: string
  try {
    const bytes = await readFile(runsFile(out))
    if (bytes.byteLength > MAX_RUNS_BYTES) throw new InvalidParametersError(`${runsFile(out)} has more than ${MAX_RUNS_BYTES / 2 ** 20} MiB`, { next: 'take another --out' })
    text = bytes.toString('utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map()
    throw error
  }
  const known = new Map<string, Run>()
  for (const [i, line] of text.split('\n').entries()) {
    if (line === '') continue
    try {
      const run = JSON.parse(line) as Run
      known.set(orderKey(run.order), run)
    } catch {
      throw new InvalidParametersError(`${runsFile(out)}: line ${i + 1} is no finished run`, { next: 'delete that line, or take another --out' })
    }
  }
  return known
}

function say (run: Run): void { process.stdout.write(`${JSON.stringify({ type: 'run', ...run })}\n`) }

function rowsOf ({ data, tasks, costs }: DataTable): object[] {
  return [
    ...tasks.flatMap(({ task, metric, higherIsBetter, cells }) => Object.entries(cells).map(([impl, cell]) => ({ type: 'cell', bench: 'learning', impl, data, task, metric, higherIsBetter, ...cell }))),
    ...costs.map(({ strategy, ...cost }) => ({ type: 'cost', bench: 'learning', impl: strategy, data, ...cost })),
    { type: 'gain', bench: 'learning', data, ...Object.fromEntries([...new Set(tasks.flatMap(({ cells }) => Object.keys(cells)))].map(column => [column, relativeGain(tasks, column)])) }
  ]
}
