/**
 * `fmtl-node bench rounds`: FedAvg on small pictures, round by round. Sites of equal size train the whole model for one
 * local epoch of batches of 32, a host averages. Either in one process, or as daemons over TCP on this machine.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RUNGS } from '../../src/backend/ladder.ts'
import { CODECS } from '../../src/compression/index.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { BenchOutput, median, spreadOf, withOutput, whole } from './report.ts'
import { HOLDOUT, writeDigits } from './digits.ts'
import { planTestnet } from '../plan.ts'
import { readRung } from '../settings.ts'
import { wholeParameters } from '../../src/training/memory.ts'
import { runTestnet } from '../testnet.ts'
import type { BenchFlags, BenchRow } from './report.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Command } from 'commander'
import type { Summary } from '../summary.ts'
import type { TestnetOptions } from '../plan.ts'

interface Flags extends BenchFlags {
  parameters: string
  runner: string
  clients: string
  rounds: string
  data?: string
  codec: string
  optimiser: string
  backend?: string
  seed: string
}

/** Residual blocks over a picture as one token; the counts are those of 16 x 16 inputs and ten classes. */
const MODELS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  small: { width: 24, layers: 1, hidden: 64 }, // 9 698 parameters
  large: { width: 256, layers: 2, hidden: 896 } // 989 962
}
const BATCH = 32
/** Training rows per site: 140, as 1 400 rows at ten sites. */
const TRAINING_ROWS = 140
const TEST_ROWS = 200
/** Peak rates at which digits were learnt well, 10 sites and 10 rounds. */
const RATES: Readonly<Record<string, number>> = { adamw: 0.01, sgd: 0.3 }
const IMPLEMENTATIONS: Readonly<Record<string, string>> = { 'in-process': 'fmtl-simulation', process: 'fmtl-daemons' }
/**
 * Eleven processes on few cores: loading TensorFlow takes each of them longer than all its rounds on a model of this size,
 * and more than twice the memory (185 MB against 425).
 */
const DAEMON_RUNG = 'wasm'
const FLOAT_BYTES = 4
/** Longest run of the large model as daemons on two busy cores, ms. */
const TIMEOUT_MS = 280_000

export function registerRounds (bench: Command): void {
  withOutput(bench.command('rounds').description('FedAvg of a whole model: seconds and bytes per round')
    .option('--parameters <size>', `model: ${Object.keys(MODELS).join(' or ')}`, 'small')
    .option('--runner <kind>', 'in-process (simulated) or process (daemons over TCP)', 'in-process')
    .option('--clients <n>', 'sites', '10')
    .option('--rounds <n>', 'rounds', '5')
    .option('--data <path>', 'folder of the digits data set (default: made-up digits)')
    .option('--codec <codec>', `changes on the wire: ${CODECS.join(', ')}`, 'f32')
    .option('--optimiser <name>', 'adamw or sgd', 'sgd')
    .option('--backend <rung>', `first compute rung to try: ${RUNGS.join(', ')} (default: the top; ${DAEMON_RUNG} for small models in daemons)`)
    .option('--seed <n>', 'everything random follows from it', '7'),
  'fmtl-node bench rounds --clients 4 --rounds 2')
    .action(async (flags: Flags) => { await rounds(flags) })
}

async function rounds (flags: Flags): Promise<void> {
  const output = new BenchOutput(flags, { title: 'FedAvg, seconds per round', names: ['impl', 'parameters', 'codec', 'backend'], figures: ['secondsPerRound', 'firstRoundSeconds', 'bytesPerClientAndRound', 'payloadRatio', 'rssBytesPerNode', 'accuracy'] })
  const folder = await mkdtemp(join(tmpdir(), 'fmtl-bench-'))
  try {
    const options = readOptions(flags, folder)
    await writeDigits(folder, {
      clients: options.clients as number,
      rows: Math.round(TRAINING_ROWS / (1 - HOLDOUT)),
      testRows: TEST_ROWS,
      seed: options.seed,
      ...flags.data === undefined ? {} : { data: flags.data }
    })
    const { charter } = await planTestnet(options)
    output.progress(`${options.clients} sites, ${wholeParameters(charter)} parameters, ${options.rounds} rounds of ${charter.training.localSteps} local steps`)
    const startedAt = performance.now()
    const summary = await runTestnet(options, () => {}, AbortSignal.timeout(TIMEOUT_MS))
    output.row(rowOf(flags, charter, summary))
    await output.end({ seconds: (performance.now() - startedAt) / 1000, complete: summary.complete, seed: options.seed })
    if (!summary.complete) throw new InvalidParametersError(`the run lost somebody: ${summary.missing.join('; ')}`, { next: 'run again; these figures do not count' })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** @throws {InvalidParametersError} a flag that names nothing known, or is no number */
function readOptions (flags: Flags, data: string): TestnetOptions {
  const runner = oneOf('--runner', flags.runner, Object.keys(IMPLEMENTATIONS)) as TestnetOptions['runner']
  const size = oneOf('--parameters', flags.parameters, Object.keys(MODELS))
  const { backend = runner === 'process' && size === 'small' ? DAEMON_RUNG : undefined } = flags
  const optimiser = oneOf('--optimiser', flags.optimiser, Object.keys(RATES))
  const rung = readRung(backend)
  return {
    hosts: 1,
    clients: whole('--clients', flags.clients, 1),
    // One round has no bytes of its own: what goes down is counted when the next one closes.
    rounds: whole('--rounds', flags.rounds, 2),
    data,
    strategy: 'fedavg',
    seed: whole('--seed', flags.seed, 0),
    runner,
    ...rung,
    control: false,
    baseline: false,
    charter: {
      model: { ...MODELS[size], attention: false, embedder: { kind: 'row' } },
      training: { batch: BATCH, localSteps: Math.ceil(TRAINING_ROWS / BATCH), optimiser, lrLocal: RATES[optimiser], warmup: 0, weightDecay: 0 },
      cutCodec: oneOf('--codec', flags.codec, CODECS) as Charter['cutCodec']
    }
  }
}

function rowOf (flags: Flags, charter: Charter, summary: Summary): BenchRow {
  const { rounds, clients, tasks } = summary
  const parameters = wholeParameters(charter)
  // The first round's frames down are the start of training, not an answer to a contribution.
  const bytes = median(rounds.slice(1).map(round => (round.bytesUp + round.bytesDown) / clients.length))
  const support = tasks.reduce((sum, task) => sum + task.support, 0)
  return {
    bench: 'rounds',
    impl: IMPLEMENTATIONS[flags.runner] as string,
    clients: clients.length,
    parameters,
    secondsPerRound: spreadOf(rounds.slice(1).map(round => round.seconds)),
    firstRoundSeconds: summary.firstRoundSeconds,
    bytesPerClientAndRound: bytes,
    payloadRatio: bytes / (2 * FLOAT_BYTES * parameters),
    rssBytesPerNode: median(clients.map(client => client.rssBytes ?? NaN)),
    accuracy: tasks.reduce((sum, task) => sum + (task.federated ?? NaN) * task.support, 0) / support,
    codec: charter.cutCodec,
    optimiser: flags.optimiser,
    localSteps: charter.training.localSteps ?? 1,
    backend: summary.backend
  }
}

function oneOf (flag: string, value: string, known: readonly string[]): string {
  if (!known.includes(value)) throw new InvalidParametersError(`${flag} cannot be '${value}'`, { next: `use one of ${known.join(', ')}` })
  return value
}
