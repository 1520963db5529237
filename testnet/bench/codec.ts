/** `fmtl-node bench codec`: float32 numbers a second through each tensor codec, into bytes and back. */
import { CODECS, decode, encode } from '../../src/compression/index.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { Random } from '../../src/random.ts'
import { BenchOutput, spreadOf, withOutput, whole } from './report.ts'
import type { BenchFlags } from './report.ts'
import type { CodecName } from '../../src/compression/index.ts'
import type { Command } from 'commander'

interface Flags extends BenchFlags {
  floats: string
  runs: string
  codecs: string
}

/** A run repeats the codec for this long, ms: some ten small tensors, and mostly over before another process wants the core. */
const RUN_MS = 1
/** Until the engine has compiled the loops for good. */
const WARM_MS = 60

export function registerCodecBench (bench: Command): void {
  withOutput(bench.command('codec').description('GB/s of float32 through each tensor codec; the default sizes are a digits step and a large trunk\'s delta'),
    'fmtl-node bench codec --floats 18432 --runs 11')
    .option('--floats <n,n>', 'numbers per tensor', '18432,1048576')
    .option('--runs <n>', 'runs per figure', '51')
    .option('--codecs <a,b>', 'which codecs', CODECS.join(','))
    .action(async (flags: Flags) => { await benchCodecs(flags) })
}

async function benchCodecs (flags: Flags): Promise<void> {
  const output = new BenchOutput(flags, { title: 'Tensor codecs', names: ['impl', 'direction', 'floats'], figures: ['GBPerSecond'] })
  const runs = whole('--runs', flags.runs)
  const sizes = flags.floats.split(',').map(text => whole('--floats', text))
  const codecs = flags.codecs.split(',')
  for (const name of codecs) if (!(CODECS as readonly string[]).includes(name)) throw new InvalidParametersError(`no codec '${name}'`, { next: `use some of ${CODECS.join(', ')}` })
  for (const floats of sizes) {
    const random = new Random(1)
    const data = Float32Array.from({ length: floats }, () => random.normal())
    for (const impl of codecs as CodecName[]) {
      const bytes = encode(impl, data)
      const directions = { encode: () => encode(impl, data), decode: () => decode(impl, bytes, floats) }
      for (const [direction, pass] of Object.entries(directions)) {
        output.row({ bench: 'codec', impl, direction, floats, GBPerSecond: spreadOf(rates(pass, 4 * floats, runs)) })
      }
    }
  }
  await output.end()
}

/** GB/s of each run. */
function rates (pass: () => unknown, bytes: number, runs: number): number[] {
  const warmUntil = performance.now() + WARM_MS
  while (performance.now() < warmUntil) pass()
  return Array.from({ length: runs }, () => {
    const startedAt = performance.now()
    let passes = 0
    do {
      pass()
      passes++
    } while (performance.now() - startedAt < RUN_MS)
    return passes * bytes / (performance.now() - startedAt) / 1e6
  })
}
