/** What every bench prints and writes: rows as NDJSON or a table, and with `--out` as JSON, Markdown and a picture. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { cpus } from 'node:os'
import { InvalidParametersError } from '../../src/errors.ts'
import { examples, formatOption } from '../../node/cli/help.ts'
import { table } from '../../node/cli/format.ts'
import { barsSvg } from './bars-svg.ts'
import type { Command } from 'commander'
import type { Format } from '../../node/cli/help.ts'

/** One measured figure. Keys beyond these are the bench's own (DESIGN section 9). */
export interface BenchRow {
  readonly bench: string
  readonly impl: string
  readonly [key: string]: string | number | boolean | null | Spread
}

/** Of repeated measurements, in the unit of the figure they belong to. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
  readonly runs: number
}

export interface BenchFlags {
  readonly format: Format
  readonly out?: string
}

/** What a table or picture shows of the rows: which keys name a row, and which figure it is about. */
export interface BenchView {
  readonly title: string
  /** Keys whose values together name a row. */
  readonly names: readonly string[]
  /** Keys of the figures, first the one that the picture shows. */
  readonly figures: readonly string[]
}

/** Adds what every bench has. */
export function withOutput (command: Command, ...examplesOfUse: readonly string[]): Command {
  return examples(command, ...examplesOfUse)
    .addOption(formatOption())
    .option('--out <path>', 'also write PATH.json, PATH.md and PATH.svg')
}

/** @throws {InvalidParametersError} no measurement at all */
export function spreadOf (values: readonly number[]): Spread {
  if (values.length === 0) throw new InvalidParametersError('nothing was measured')
  return { median: median(values), min: Math.min(...values), max: Math.max(...values), runs: values.length }
}

/** The value in the middle; the mean of the two in the middle for an even count. NaN for none. */
export function median (values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] as number : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

/** The value that a share `q` of the values does not exceed. */
export function percentile (values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? NaN
}

/** Streams rows while they come; `end` draws the table, writes the files and prints the summary line. */
export class BenchOutput {
  readonly #flags: BenchFlags
  readonly #view: BenchView
  readonly rows: BenchRow[] = []

  constructor (flags: BenchFlags, view: BenchView) {
    this.#flags = flags
    this.#view = view
  }

  row (row: BenchRow): void {
    this.rows.push(row)
    if (this.#flags.format === 'json') process.stdout.write(`${JSON.stringify(row)}\n`)
  }

  /** What happens now, for whoever waits: on standard error, so that rows stay clean. */
  progress (line: string): void {
    process.stderr.write(`${line}\n`)
  }

  async end (summary: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version }
    const facts = { type: 'summary', rows: this.rows.length, ...machine, ...summary }
    if (this.#flags.format === 'json') process.stdout.write(`${JSON.stringify(facts)}\n`)
    else process.stdout.write(`${this.#table().join('\n')}\n`)
    const { out } = this.#flags
    if (out === undefined) return
    await mkdir(dirname(out), { recursive: true })
    await writeFile(`${out}.json`, `${JSON.stringify({ ...facts, results: this.rows }, null, 1)}\n`)
    await writeFile(`${out}.md`, this.#markdown(`${machine.cpu}, ${machine.cores} cores, Node ${machine.node}`))
    await writeFile(`${out}.svg`, barsSvg(this.#view.title, this.rows.map(row => {
      const [first = ''] = this.#view.figures
      const figure = row[first]
      return { label: this.#name(row), ...typeof figure === 'object' && figure !== null ? figure : { median: Number(figure) } }
    }), this.#view.figures[0] ?? ''))
  }

  #name (row: BenchRow): string { return this.#view.names.map(key => String(row[key] ?? '')).filter(text => text !== '').join(' ') }

  #table (): string[] {
    const { names, figures } = this.#view
    return table([...names.map(title => ({ title })), ...figures.map(title => ({ title }))],
      this.rows.map(row => [...names, ...figures].map(key => cell(row[key]))), { width: process.stdout.columns ?? 120 })
  }

  #markdown (machine: string): string {
    const { title, names, figures } = this.#view
    const keys = [...names, ...figures]
    return `${[
      `# ${title}`, '', `${machine}. Figures with a range: median (lowest to highest of the runs).`, '',
      `| ${keys.join(' | ')} |`, `|${' --- |'.repeat(keys.length)}`,
      ...this.rows.map(row => `| ${keys.map(key => cell(row[key])).join(' | ')} |`)
    ].join('\n')}\n`
  }
}

function cell (value: BenchRow[string] | undefined): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'number') return short(value)
  if (typeof value === 'object') return value.runs === 1 ? short(value.median) : `${short(value.median)} (${short(value.min)} to ${short(value.max)})`
  return String(value)
}

function short (value: number): string {
  if (Number.isInteger(value)) return String(value)
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3)
}

/** A flag that counts something, of at most nine digits. @throws {InvalidParametersError} it does not, or is too small */
export function whole (flag: string, value: string, least = 1): number {
  if (!/^\d{1,9}$/.test(value) || Number(value) < least) throw new InvalidParametersError(`${flag} must be a whole number from ${least}, got '${value}'`)
  return Number(value)
}
