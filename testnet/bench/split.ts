/**
 * `fmtl-node bench split`: split training by real daemons over loopback TCP, beside the same model unsplit in one process.
 * The model: patch embedder, transformer trunk, pooled head, on the built-in pictures; no local baselines, no rounds' ends.
 * The two alternate run by run, each in fresh processes, and what is timed begins after the warm-up.
 */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { HEAP_FLAGS } from '../../src/compute/heap.ts'
import { threadSettings } from '../../src/backend/compat.ts'
import { availableParallelism } from 'node:os'
import { InvalidParametersError } from '../../src/errors.ts'
import { ProcessRunner } from '../runners/process.ts'
import { planTestnet } from '../plan.ts'
import { BenchOutput, percentile, spreadOf, withOutput, whole } from './report.ts'
import type { BenchFlags } from './report.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Command } from 'commander'
import type { RungName } from '../../src/backend/ladder.ts'
import type { TestnetPlan } from '../plan.ts'

interface Flags extends BenchFlags {
  shape: string
  clients: string
  impl: string
  batch: string
  threads?: string
  steps: string
  warmup: string
  runs: string
  inFlight: string
  codec: string
  backend?: string
  slow?: string
}

interface Shape { readonly width: number, readonly tokens: number, readonly layers: number }

/** One run: what a window of steps after the warm-up took. */
interface Window {
  readonly samplesPerSecond: number
  readonly stepMs: readonly number[]
  /** Steps of each client within the window. */
  readonly contributions: readonly number[]
}

const IMPLS = ['fmtl', 'unsplit'] as const
const UNSPLIT = fileURLToPath(new URL('./unsplit.ts', import.meta.url))
/** Side of the built-in pictures. */
const PICTURE = 32
const ROWS = 64
/** A run that gives no step for so long, and as much longer for each client, whose process shares the cores while it starts, has failed. */
const STALL_MS = 60_000
const START_MS = 4_000

export function registerSplit (bench: Command): void {
  withOutput(bench.command('split').description('split training over loopback TCP against the same model unsplit'),
    'fmtl-node bench split --shape 128x16x6 --clients 1,4 --runs 5 --format json')
    .option('--shape <width x tokens x layers>', 'trunks, several with commas', '128x16x6,192x64x6')
    .option('--clients <n>', 'clients of one host, several with commas', '1,4')
    .option('--impl <names>', IMPLS.join(', '), IMPLS.join(','))
    .option('--batch <rows>', 'rows per client and step', '32')
    .option('--threads <n>', 'TensorFlow threads of host and unsplit (default: the cores); clients beside others have one')
    .option('--steps <n>', 'steps that are timed in a run', '20')
    .option('--warmup <n>', 'steps before', '5')
    .option('--runs <n>', 'runs of each, in turn', '5')
    .option('--in-flight <n>', 'steps that a client has under way at once', '2')
    .option('--codec <codec>', 'activations and gradients on the wire', 'f32')
    .option('--backend <rung>', 'compute rung')
    .option('--slow <share>', 'give the first client only this share of its time, 0 to 1')
    .action(async (flags: Flags) => { await run(flags) })
}

async function run (flags: Flags): Promise<void> {
  const impls = flags.impl.split(',')
  for (const impl of impls) if (!(IMPLS as readonly string[]).includes(impl)) throw new InvalidParametersError(`--impl cannot be '${impl}'`, { next: `use ${IMPLS.join(' or ')}` })
  const threads = flags.threads === undefined ? availableParallelism() : whole('--threads', flags.threads)
  const [batch, steps, warmup, runs] = [whole('--batch', flags.batch), whole('--steps', flags.steps), whole('--warmup', flags.warmup), whole('--runs', flags.runs)]
  const slow = flags.slow === undefined ? undefined : Number(flags.slow)
  if (slow !== undefined && !(slow > 0 && slow <= 1)) throw new InvalidParametersError(`--slow must be a share above 0 and up to 1, got '${flags.slow}'`)
  const output = new BenchOutput(flags, { title: 'Split training', names: ['impl', 'width', 'tokens', 'layers', 'clients', 'inFlight', 'codec'], figures: ['samplesPerSecond', 'stepMs', 'p95StepMs', 'fairness', 'ratio'] })
  for (const shape of flags.shape.split(',').map(readShape)) {
    const common = { ...shape, batch, threads }
    const init: SplitInit = { shape, batch, threads, steps, warmup, inFlight: whole('--in-flight', flags.inFlight), codec: flags.codec as Charter['cutCodec'], ...flags.backend === undefined ? {} : { backend: flags.backend as RungName }, ...slow === undefined ? {} : { slow } }
    const counts = flags.clients.split(',').map(count => whole('--clients', count))
    const cells = [...impls.includes('unsplit') ? [0] : [], ...impls.includes('fmtl') ? counts : []]
    const windows = new Map<number, Window[]>(cells.map(cell => [cell, []]))
    for (let run = 0; run < runs; run++) {
      for (const cell of cells) {
        output.progress(`${shape.width}x${shape.tokens}x${shape.layers}, run ${run + 1} of ${runs}: ${cell === 0 ? 'unsplit' : `${cell} client${cell === 1 ? '' : 's'}`}`)
        windows.get(cell)?.push(cell === 0 ? await unsplit(init) : await split(init, cell))
      }
    }
    const reference = windows.get(0)?.map(({ samplesPerSecond }) => samplesPerSecond)
    for (const [cell, of] of windows) {
      const rates = of.map(({ samplesPerSecond }) => samplesPerSecond)
      const stepMs = of.flatMap(({ stepMs }) => stepMs)
      output.row({
        bench: 'split',
        impl: cell === 0 ? 'unsplit' : 'fmtl',
        ...common,
        clients: Math.max(1, cell),
        inFlight: cell === 0 ? null : init.inFlight,
        codec: cell === 0 ? null : init.codec,
        samplesPerSecond: spreadOf(rates),
        stepMs: spreadOf(stepMs),
        p95StepMs: percentile(stepMs, 0.95),
        fairness: cell === 0 ? null : Math.min(...of.map(({ contributions }) => jain(contributions))),
        leastShare: cell === 0 ? null : Math.min(...of.map(({ contributions }) => Math.min(...contributions) / Math.max(...contributions))),
        // run by run, so that whatever else the machine does hits both
        ratio: cell === 0 || reference === undefined ? null : spreadOf(rates.map((rate, i) => rate / (reference[i] as number)))
      })
    }
  }
  await output.end()
}

interface SplitInit {
  readonly shape: Shape
  readonly batch: number
  readonly threads: number
  readonly steps: number
  readonly warmup: number
  readonly inFlight: number
  readonly codec: Charter['cutCodec']
  readonly backend?: RungName
  readonly slow?: number
}

/** A charter whose one round is longer than the bench. */
async function plan ({ shape, batch, threads, inFlight, codec, backend }: SplitInit, clients: number): Promise<TestnetPlan> {
  const patch = PICTURE / Math.sqrt(shape.tokens)
  if (!Number.isInteger(patch)) throw new InvalidParametersError(`${shape.tokens} tokens do not tile a picture of ${PICTURE} x ${PICTURE}`, { next: 'use 1, 4, 16, 64 or 256' })
  const { width, layers } = shape
  return await planTestnet({
    hosts: 1,
    clients,
    data: 'scenes',
    tasks: ['cls'],
    spread: false,
    rows: ROWS,
    rounds: 1,
    strategy: 'fedbone',
    seed: 1,
    runner: 'process',
    control: false,
    baseline: false,
    threads: { host: threads, client: clients + 1 > availableParallelism() ? 1 : threads },
    ...backend === undefined ? {} : { backend },
    charter: {
      model: { width, layers, heads: 4, hidden: 2 * width, embedder: { kind: 'patches', patch }, sharedEmbedder: false, sharedHeads: [] },
      training: { batch, stepsPerRound: 100_000, ...inFlight > 1 ? { inFlight } : {} },
      clock: { stepDeadlineMs: STALL_MS },
      cutCodec: codec
    }
  })
}

async function split (init: SplitInit, clients: number): Promise<Window> {
  const { warmup, steps, batch, slow } = init
  const agreed = await plan(init, clients)
  const abort = new AbortController()
  const { promise, resolve, reject } = Promise.withResolvers<Window>()
  const marks: Array<{ step: number, at: number, contributions: Readonly<Record<string, number>> }> = []
  let slowed = false
  const stallMs = STALL_MS + clients * START_MS
  const stall = setTimeout(() => reject(new InvalidParametersError(`no step for ${stallMs / 1000} s`)), stallMs)
  const runner = new ProcessRunner(agreed, event => {
    if (event.type === 'error') reject(new InvalidParametersError(event.message))
    if (event.type !== 'step') return
    stall.refresh()
    if (slow !== undefined && !slowed) {
      slowed = true
      runner.slow(agreed.clients[0]?.name as string, slow)
    }
    if (event.step >= warmup) marks.push({ step: event.step, at: performance.now(), contributions: event.contributions ?? {} })
    const [first] = marks
    if (first !== undefined && event.step - first.step >= steps) resolve(windowOf(marks, batch, agreed))
  })
  try {
    const running = runner.run(abort.signal)
    running.catch(reject)
    return await promise
  } finally {
    clearTimeout(stall)
    await runner.stop()
  }
}

function windowOf (marks: ReadonlyArray<{ step: number, at: number, contributions: Readonly<Record<string, number>> }>, batch: number, { clients }: TestnetPlan): Window {
  const [first, last] = [marks[0], marks.at(-1)] as [typeof marks[number], typeof marks[number]]
  const contributions = clients.map(({ peer }) => (last.contributions[peer] ?? 0) - (first.contributions[peer] ?? 0))
  const rows = batch * contributions.reduce((sum, steps) => sum + steps, 0)
  return {
    samplesPerSecond: 1000 * rows / (last.at - first.at),
    // several steps may pass between two events: each counts with their mean
    stepMs: marks.slice(1).flatMap((mark, i) => {
      const before = marks[i] as typeof mark
      const count = mark.step - before.step
      return Array.from({ length: count }, () => (mark.at - before.at) / count)
    }),
    contributions
  }
}

/** (sum x)^2 / (n sum x^2): 1 where all have the same, 1/n where one has all (Jain, Chiu and Hawe 1984). */
export function jain (shares: readonly number[]): number {
  const sum = shares.reduce((total, share) => total + share, 0)
  return sum ** 2 / (shares.length * shares.reduce((total, share) => total + share ** 2, 0))
}

/** The same model, batch and optimiser in one process of its own, as the local baseline trains it. */
async function unsplit (init: SplitInit): Promise<Window> {
  const { charter } = await plan(init, 1)
  const child = spawn(process.execPath, [...HEAP_FLAGS, UNSPLIT], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...threadSettings(init.threads) }
  })
  child.stdin.end(JSON.stringify({ charter, rows: ROWS, warmup: init.warmup, steps: init.steps, ...init.backend === undefined ? {} : { backend: init.backend } }))
  const stepMs = JSON.parse((await text(child.stdout)) || '[]') as number[]
  if (stepMs.length === 0) throw new InvalidParametersError('the unsplit model gave no figures')
  return { samplesPerSecond: 1000 * init.batch * stepMs.length / stepMs.reduce((sum, ms) => sum + ms, 0), stepMs, contributions: [] }
}

function readShape (shape: string): Shape {
  const [width, tokens, layers, ...rest] = shape.split('x').map(Number)
  if (![width, tokens, layers].every(size => Number.isInteger(size) && (size as number) > 0) || rest.length > 0) throw new InvalidParametersError(`--shape '${shape}' is not WIDTHxTOKENSxLAYERS`)
  return { width, tokens, layers } as Shape
}
