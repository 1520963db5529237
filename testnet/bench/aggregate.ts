/**
 * `fmtl-node bench aggregate`: gradient rules over rows of float32, beside the same rules in numpy. Each implementation
 * of a rule runs in a process of its own (./aggregate-run.ts, ./aggregate-numpy.py), which makes the same rows; runs take
 * turns between them, and all must give the same update.
 *
 *     fmtl     rows in memory, kernels in WebAssembly SIMD
 *     plain    the same with the kernels in plain JavaScript
 *     stream   the same with the rows in files, read block by block
 *     numpy    python3 and numpy, which may use several cores; it says so where it has no counterpart of a rule
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { FmtlError, InvalidParametersError } from '../../src/errors.ts'
import { ruleNames } from '../../src/projection/index.ts'
import { BenchOutput, spreadOf, withOutput, whole } from './report.ts'
import type { ChildProcessByStdio } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import type { Command } from 'commander'
import type { BenchFlags } from './report.ts'

const IMPLS: readonly string[] = ['fmtl', 'plain', 'stream', 'numpy']
/** Share of the largest number by which updates of float32 may differ; float32 products of a BLAS are off by some 1e-6. */
const SAME = 1e-3

interface Flags extends BenchFlags {
  readonly rules: string
  readonly rows: string
  readonly floats: string
  readonly impl: string
  readonly runs: string
}

interface Answer { readonly seconds: number, readonly peakBytes: number, readonly sample: readonly number[] }

export function registerAggregate (bench: Command): void {
  withOutput(bench.command('aggregate').description('gradient rules over rows of float32: time and memory, beside numpy')
    .option('--rules <a,b>', `${ruleNames.join(', ')}, each strict where it is so by default`, 'gp,mean,upgrad')
    .option('--rows <n>', 'gradients', '10')
    .option('--floats <n>', 'numbers per gradient', '10000000')
    .option('--impl <a,b>', 'fmtl, plain, stream or numpy (FMTL_PYTHON names a python that has numpy)', 'fmtl,plain,numpy')
    .option('--runs <n>', 'measurements of each, in turns', '5'),
  'fmtl-node bench aggregate --floats 100000 --runs 3 --impl fmtl,plain')
    .action(async (flags: Flags) => { await benchAggregate(flags) })
}

async function benchAggregate (flags: Flags): Promise<void> {
  const [rules, impls] = [oneOf('--rules', flags.rules, ruleNames), oneOf('--impl', flags.impl, IMPLS)]
  const [rows, floats, runs] = [whole('--rows', flags.rows), whole('--floats', flags.floats), whole('--runs', flags.runs)]
  const out = new BenchOutput(flags, { title: 'Gradient aggregation', names: ['rule', 'impl'], figures: ['seconds', 'peakBytes', 'peakShare'] })
  for (const rule of rules) {
    const started = impls.map(impl => new Implementation(impl, rule, rows, floats))
    try {
      out.progress(`${rule}: makes ${rows} rows of ${floats} numbers, ${impls.length} times`)
      for (const impl of started) await impl.ready()
      const able = started.filter(({ reason }) => reason === undefined)
      // the first run compiles, and it is the one whose memory counts
      for (const impl of able) await impl.run()
      agree(rule, able)
      for (let run = 0; run < runs; run++) for (const impl of able) await impl.run()
      for (const { name, reason, answers } of started) {
        const [first, ...rest] = answers
        const row = { bench: 'aggregate', rule, rows, floats, impl: name }
        out.row(first === undefined
          ? { ...row, seconds: null, peakBytes: null, peakShare: null, reason: reason ?? 'it did not run' }
          : { ...row, seconds: spreadOf(rest.map(({ seconds }) => seconds)), peakBytes: first.peakBytes, peakShare: first.peakBytes / (4 * rows * floats) })
      }
    } finally {
      for (const impl of started) impl.end()
    }
  }
  await out.end()
}

/** One child process: a request is a line, so is the answer. */
class Implementation {
  readonly name: string
  readonly answers: Answer[] = []
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #lines: AsyncIterator<string>
  #reason: string | undefined

  constructor (name: string, rule: string, rows: number, floats: number) {
    this.name = name
    const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
    const [command, args] = name === 'numpy'
      ? [process.env.FMTL_PYTHON ?? 'python3', [file('./aggregate-numpy.py'), rule]]
      : [process.execPath, [file('./aggregate-run.ts'), name, rule]]
    this.#child = spawn(command, [...args, `${rows}`, `${floats}`], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.on('error', error => { this.#reason = `${command}: ${error.message}` })
    this.#child.stdin.on('error', () => undefined) // it ended; the missing answer says so
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  /** Why it cannot run here. */
  get reason (): string | undefined { return this.#reason }

  /** Waits until the rows are made. */
  async ready (): Promise<void> {
    const line = await this.#lines.next()
    this.#reason ??= line.done === true ? 'it ended before its rows were made' : (JSON.parse(line.value) as { reason?: string }).reason
  }

  async run (): Promise<void> {
    this.#child.stdin.write('run\n')
    const line = await this.#lines.next()
    if (line.done === true) throw new FmtlError('ERR_BENCH', `${this.name} ended in the middle of a run`)
    this.answers.push(JSON.parse(line.value) as Answer)
  }

  end (): void { this.#child.stdin.end() }
}

/** @throws {FmtlError} two implementations gave different updates */
function agree (rule: string, impls: readonly Implementation[]): void {
  const [reference, ...others] = impls.map(({ name, answers }) => ({ name, sample: answers[0]?.sample ?? [] }))
  if (reference === undefined) return
  const scale = Math.max(...reference.sample.map(Math.abs))
  for (const { name, sample } of others) {
    const apart = Math.max(...sample.map((value, i) => Math.abs(value - (reference.sample[i] as number))))
    if (!(apart <= SAME * scale)) throw new FmtlError('ERR_BENCH', `${rule}: ${name} and ${reference.name} differ by ${apart} in numbers up to ${scale}`)
  }
}

function oneOf (flag: string, list: string, allowed: readonly string[]): string[] {
  const names = list.split(',')
  for (const name of names) if (!allowed.includes(name)) throw new InvalidParametersError(`${flag} cannot be '${name}'`, { next: `use ${allowed.join(', ')}` })
  return names
}
