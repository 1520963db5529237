/** `fmtl-node testnet up`: a consortium on this machine, in one command. */
import { RUNGS } from '../src/backend/ladder.ts'
import { EXIT_INCOMPLETE } from '../node/cli/exit-codes.ts'
import { FmtlError, InvalidParametersError } from '../src/errors.ts'
import { examples, formatOption } from '../node/cli/help.ts'
import { createNdjsonView } from './view/ndjson.ts'
import { createTerminalView } from './view/terminal.ts'
import { ruleNames } from '../src/projection/index.ts'
import { readRung, readSettings, withRule } from './settings.ts'
import { runTestnet } from './testnet.ts'
import type { Command } from 'commander'
import type { Format } from '../node/cli/help.ts'
import type { TestnetOptions } from './plan.ts'

interface Flags {
  hosts: string
  clients?: string
  rounds?: string
  data: string
  tasks?: string
  spread?: boolean
  rows?: string
  partition?: string
  strategy: string
  foundation?: string
  seed: string
  runner: string
  backend?: string
  merge?: string
  rule?: string
  mergeRule?: string
  strict?: string
  unit?: string
  codec?: string
  control: boolean
  baseline: boolean
  kill?: string
  port?: string
  memory?: string
  set: string[]
  format: Format
}

export function registerTestnet (program: Command): void {
  const command = program.command('testnet').description('a consortium on this machine').command('up')
    .description('start hosts and clients, train, and say what collaboration brought each client')
    .option('--hosts <n>', 'backbone hosts', '2')
    .option('--clients <n>', 'split clients (default: those of the data set)')
    .option('--rounds <n>', 'rounds (default: what the data set recommends)')
    .option('--data <path|name>', 'a data set folder, a manifest, or scenes; several, separated by commas, train as one', 'scenes')
    .option('--tasks <a,b>', 'tasks to train (default: what the data set recommends)')
    .option('--spread', 'give every client one task in turn')
    .option('--no-spread', 'give every client all tasks')
    .option('--rows <n>', 'training rows per client, hold-out included')
    .option('--partition <kind>', 'by-site, iid or dirichlet')
    .option('--strategy <name|file>', 'how to train together: a name of `fmtl-node strategies`, or a strategy file such as ./mine.ts', 'fedbone')
    .option('--foundation <file>', 'a pretrained model to build on, as `fmtl-node import` wrote it')
    .option('--seed <n>', 'everything random follows from it', '7')
    .option('--runner <kind>', 'process (daemons over TCP) or in-process (simulated)', 'process')
    .option('--backend <rung>', `first compute rung to try: ${RUNGS.join(', ')} (default: FMTL_BACKEND, else the top)`)
    .option('--merge <mode>', 'what hosts do with each other\'s deltas: select, all or none')
    .option('--rule <name[:key=value,..]>', `gradient rule, with options of its own as in cagrad:c=0.4: ${ruleNames.join(', ')}`)
    .option('--merge-rule <name[:key=value,..]>', 'the same for what hosts merge (default: the mean): any rule for rounds of one step, mean or cagrad for longer ones')
    .option('--strict <mode>', 'what must conflict with no task: gradient, update or off')
    .option('--unit <unit>', 'whose gradients are kept apart: client or task')
    .option('--codec <codec>', 'activations and gradients on the wire: f32, f16, bf16 or int8')
    .option('--no-control', 'leave out the second local model, the control for the ensemble')
    .option('--no-baseline', 'train no local models at all: nothing to compare with, less to compute')
    .option('--port <n>', 'TCP port of the first host, which the others dial first (default: any free one)')
    .option('--memory <MiB>', 'what each node may use for rows, weights and activations (default: what the machine has)')
    .option('--kill <name@round[+seconds]>', 'SIGKILL a node when that round closes (where models are traded: when somebody offers that version), and start it again later')
    .option('--set <key=value>', 'a setting of model, training, projection, merge, grouping, method or bench, such as training.batch=16 or projection.options.c=0.4; may be repeated', (value: string, all: string[]) => [...all, value], [])
    .addOption(formatOption())
    .action(async (flags: Flags) => { await up(flags) })
  examples(command,
    'fmtl-node testnet up --hosts 2 --clients 4 --rounds 3',
    'fmtl-node testnet up --data ./our-data --hosts 1 --kill north@2+3 --format json',
    'fmtl-node testnet up --rule cagrad:c=0.4 --merge all --merge-rule gp --set training.stepsPerRound=1',
    'fmtl-node testnet up --strategy ./examples/strategies/median-rule.ts')
}

async function up (flags: Flags): Promise<void> {
  const options = readOptions(flags)
  const view = flags.format === 'json'
    ? createNdjsonView({ stream: process.stdout })
    : createTerminalView({ stream: process.stdout, consortium: `testnet ${options.data}` })
  const abort = new AbortController()
  const interrupt = (): void => { abort.abort(new FmtlError('ERR_INTERRUPTED', 'stopped by Ctrl-C or a signal')) }
  process.once('SIGINT', interrupt)
  process.once('SIGTERM', interrupt)
  try {
    const summary = await runTestnet(options, event => { view.event(event) }, abort.signal)
    view.summary(summary)
    if (!summary.complete) process.exitCode = EXIT_INCOMPLETE
  } finally {
    view.close()
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}

/** @throws {InvalidParametersError} a flag that is no number, or names nothing known */
function readOptions (flags: Flags): TestnetOptions {
  const { hosts, clients, rounds, data, tasks, spread, rows, partition, strategy, foundation, seed, runner, merge, rule, mergeRule, strict, unit, codec, control, baseline, kill, port, memory } = flags
  if (runner !== 'process' && runner !== 'in-process') throw new InvalidParametersError(`--runner cannot be '${runner}'`, { next: 'use process or in-process' })
  const rung = readRung(flags.backend ?? process.env.FMTL_BACKEND)
  const { model, training, projection, merge: merging, grouping, method, bench } = readSettings(flags.set)
  return {
    hosts: whole('--hosts', hosts),
    ...clients === undefined ? {} : { clients: whole('--clients', clients) },
    ...rounds === undefined ? {} : { rounds: whole('--rounds', rounds) },
    data,
    ...tasks === undefined ? {} : { tasks: tasks.split(',') },
    ...spread === undefined ? {} : { spread },
    ...rows === undefined ? {} : { rows: whole('--rows', rows) },
    ...partition === undefined ? {} : { partition: partition as NonNullable<TestnetOptions['partition']> },
    strategy,
    ...foundation === undefined ? {} : { foundation },
    seed: whole('--seed', seed),
    runner,
    ...rung,
    control,
    baseline,
    ...kill === undefined ? {} : { kill },
    ...port === undefined ? {} : { port: portOf(port) },
    ...memory === undefined ? {} : { memoryBytes: whole('--memory', memory) * 2 ** 20 },
    // createCharter names what a value may be
    charter: {
      model,
      training,
      ...Object.keys(grouping).length === 0 ? {} : { grouping },
      ...Object.keys(method).length === 0 ? {} : { method },
      ...Object.keys(bench).length === 0 ? {} : { bench },
      projection: { ...withRule(projection, '--rule', rule), ...strict === undefined ? {} : { strict }, ...unit === undefined ? {} : { unit } } as NonNullable<NonNullable<TestnetOptions['charter']>['projection']>,
      merge: { ...withRule(merging, '--merge-rule', mergeRule), ...merge === undefined ? {} : { mode: merge } } as NonNullable<NonNullable<TestnetOptions['charter']>['merge']>,
      ...codec === undefined ? {} : { cutCodec: codec as NonNullable<NonNullable<TestnetOptions['charter']>['cutCodec']> }
    }
  }
}

function portOf (value: string): number {
  const port = whole('--port', value)
  if (port < 1 || port > 65535) throw new InvalidParametersError(`--port must be a whole number from 1 to 65535, got '${value}'`)
  return port
}

function whole (flag: string, value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidParametersError(`${flag} must be a whole number, got '${value}'`)
  return Number(value)
}
