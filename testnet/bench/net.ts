/**
 * `fmtl-node bench net`: what our framing, tensors and blobs cost on top of js-libp2p.
 *
 * All sides run over loopback between processes of their own, as in real life: in one process the library's work at both
 * ends would hide half of ours. Runs of the sides alternate. `libp2p` is the library as it comes (TCP, Noise, Yamux), on a
 * connection of its own; `bytes` sends as it does, on the connection that `fmtl` uses, whose Noise is ours to set up.
 */
import { InvalidParametersError } from '../../src/errors.ts'
import { Ends } from './net-ends.ts'
import { rawEcho, rawFetch, rawSend } from './raw-streams.ts'
import { BenchOutput, median, spreadOf, withOutput, whole } from './report.ts'
import type { Command } from 'commander'
import type { BenchFlags } from './report.ts'
import type { RawNode } from './raw-streams.ts'

interface NetFlags extends BenchFlags {
  readonly tests: string
  readonly runs: string
  readonly messages: string
  readonly total: string
  readonly blob: string
}

const MiB = 2 ** 20
const TESTS = ['stream', 'echo', 'blob', 'blob3']
/** Of one measurement: small messages cost time each, not by their bytes. */
const MAX_MESSAGES = 4096

export function registerNet (bench: Command): void {
  withOutput(bench.command('net'), 'fmtl-node bench net --tests stream,echo --runs 3')
    .description('throughput of one stream, echo latency, and blobs from one and three providers, beside js-libp2p alone')
    .option('--tests <a,b>', `which of ${TESTS.join(', ')}`, TESTS.join(','))
    .option('--runs <n>', 'measurements of each side, in turn', '7')
    .option('--messages <bytes,...>', 'sizes of a tensor', '1024,262144,1048576')
    .option('--total <MiB>', 'sent in one measurement of the stream', '64')
    .option('--blob <MiB>', 'size of the blob', '256')
    .action(async (flags: NetFlags) => { await benchNet(flags) })
}

/** One side of a comparison. */
interface Side {
  readonly impl: 'fmtl' | 'libp2p' | 'bytes'
  readonly test: string
  readonly nodes: number
  /** @returns seconds of one measurement, or ms of an echo */
  measure (): Promise<number>
}

interface Comparison {
  /** Size of a message or of the blob. */
  readonly bytes: number
  /** That one measurement moves; none for an echo. */
  readonly total?: number
  readonly sides: readonly Side[]
}

async function benchNet (flags: NetFlags): Promise<void> {
  const tests = flags.tests.split(',')
  const unknown = tests.find(test => !TESTS.includes(test))
  if (unknown !== undefined) throw new InvalidParametersError(`no test '${unknown}'`, { next: `use some of ${TESTS.join(', ')}` })
  const runs = whole('--runs', flags.runs)
  const messages = flags.messages.split(',').map(bytes => whole('--messages', bytes))
  if (messages.some(bytes => bytes % 4 !== 0)) throw new InvalidParametersError('--messages must be multiples of 4: a float has 4 bytes')
  const totalBytes = whole('--total', flags.total) * MiB
  const blobBytes = whole('--blob', flags.blob) * MiB
  const output = new BenchOutput(flags, {
    title: 'Network, beside js-libp2p alone',
    names: ['test', 'bytes', 'nodes', 'impl'],
    figures: ['MiBPerSecond', 'p50Ms', 'cpuMsPerMiB', 'loopLagP99Ms']
  })
  // the blob before the current one is still held while the next one comes
  const ends = await Ends.open(tests.includes('blob3') ? 3 : 1, 2 * blobBytes)
  try {
    for (const comparison of comparisons(ends, tests, messages, totalBytes, blobBytes)) await compare(ends, comparison, runs, output)
  } finally {
    await ends.close()
  }
  await output.end({ bench: 'net' })
}

function comparisons (ends: Ends, tests: readonly string[], messages: readonly number[], totalBytes: number, blobBytes: number): Comparison[] {
  const streams = messages.map((bytes): Comparison => {
    const count = Math.min(MAX_MESSAGES, Math.ceil(totalBytes / bytes))
    return {
      bytes,
      total: count * bytes,
      sides: [
        { impl: 'fmtl', test: 'stream', nodes: 2, measure: async () => await ends.send(bytes, count) },
        ...raw(ends, 'stream', async node => await rawSend(node, count * bytes, bytes))
      ]
    }
  })
  const echoes = messages.map((bytes): Comparison => {
    const count = Math.min(200, Math.max(20, Math.round(16 * MiB / bytes)))
    return {
      bytes,
      sides: [
        { impl: 'fmtl', test: 'echo', nodes: 2, measure: async () => median(await ends.echo(bytes, count)) },
        ...raw(ends, 'echo', async node => median(await rawEcho(node, bytes, count)))
      ]
    }
  })
  const blobs: Comparison = {
    bytes: blobBytes,
    total: blobBytes,
    sides: [
      { impl: 'fmtl', test: 'blob', nodes: 2, measure: async () => await ends.fetch(blobBytes, 1) },
      ...raw(ends, 'blob', async node => await rawFetch(node, blobBytes, MiB)),
      ...tests.includes('blob3') ? [{ impl: 'fmtl' as const, test: 'blob3', nodes: 4, measure: async () => await ends.fetch(blobBytes, 3) }] : []
    ]
  }
  return [
    ...tests.includes('stream') ? streams : [],
    ...tests.includes('echo') ? echoes : [],
    ...tests.includes('blob') || tests.includes('blob3') ? [blobs] : []
  ]
}

/** Without us: on a connection of the library's own, and on ours. */
function raw ({ plain, node }: Ends, test: string, measure: (node: RawNode) => Promise<number>): Side[] {
  return [
    { impl: 'libp2p', test, nodes: 2, measure: async () => await measure(plain) },
    { impl: 'bytes', test, nodes: 2, measure: async () => await measure(node) }
  ]
}

/** Each side once to warm up, then in turn. */
async function compare (ends: Ends, { bytes, total, sides }: Comparison, runs: number, output: BenchOutput): Promise<void> {
  output.progress(`${sides[0]?.test}: ${bytes} bytes`)
  const measured = sides.map((): Array<{ figure: number, cpuMs: number, lagMs: number }> => [])
  for (let run = -1; run < runs; run++) {
    for (const [i, side] of sides.entries()) {
      await ends.usage()
      const value = await side.measure()
      const usage = await ends.usage()
      if (run < 0) continue
      measured[i]?.push({
        figure: total === undefined ? value : total / MiB / value,
        // with a core for each end, the busier one sets the pace
        cpuMs: Math.max(...usage.map(({ cpuMs }) => cpuMs)),
        lagMs: Math.max(...usage.map(({ loopLagP99Ms }) => loopLagP99Ms))
      })
    }
  }
  for (const [i, { impl, test, nodes }] of sides.entries()) {
    const values = measured[i] ?? []
    const figure = spreadOf(values.map(({ figure }) => figure))
    output.row({
      bench: 'net',
      impl,
      test,
      bytes,
      nodes,
      ...total === undefined
        ? { p50Ms: figure }
        : { MiBPerSecond: figure, cpuMsPerMiB: spreadOf(values.map(({ cpuMs }) => cpuMs * MiB / total)), loopLagP99Ms: spreadOf(values.map(({ lagMs }) => lagMs)) }
    })
  }
}
