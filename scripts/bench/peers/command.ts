/** Runs one contestant's command and reads its rows. */
import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BenchRow } from '../../../testnet/bench/report.ts'

const HERE = dirname(fileURLToPath(import.meta.url))
const FMTL_NODE = join(HERE, '..', '..', 'fmtl-node.mjs')
/** Time to end what it started, ms; a Flower run has some thirty processes, some in groups of their own. */
const GRACE_MS = 15_000
/** Of a failed command's output, for the reason in its row. */
const REASON_CHARACTERS = 200

export interface Command {
  /** For whoever reads why it failed. */
  readonly name: string
  readonly file: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** What came of it: rows, or why there are none. */
export interface Outcome {
  readonly rows: readonly BenchRow[]
  readonly reason: string | undefined
}

/** `fmtl-node bench …` of this checkout. */
export function ours (...args: string[]): Command {
  return { name: `fmtl-node bench ${args[0]}`, file: process.execPath, args: [FMTL_NODE, 'bench', ...args, '--format', 'json'] }
}

/** A Python file of this folder. */
export function theirs (python: string, file: string, ...args: string[]): Command {
  return {
    name: file,
    file: python,
    args: [join(HERE, file), ...args],
    env: { PYTHONUNBUFFERED: '1', FLWR_TELEMETRY_ENABLED: '0', RAY_USAGE_STATS_ENABLED: '0', HF_HUB_OFFLINE: '1' }
  }
}

/** Never throws: what a contestant could not do is a row with a reason. Its process group ends with it. */
export async function measure ({ name, file, args, env }: Command, timeoutMs: number): Promise<Outcome> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env }, detached: true })
  let [output, errors, late] = ['', '', false]
  child.stdout.setEncoding('utf8').on('data', (text: string) => { output += text })
  child.stderr.setEncoding('utf8').on('data', (text: string) => { errors = (errors + text).slice(-4 * REASON_CHARACTERS) })
  const kill = (signal: NodeJS.Signals): void => { signalGroup(child.pid, signal) }
  let grace: NodeJS.Timeout | undefined
  const timer = setTimeout(() => {
    late = true
    kill('SIGTERM')
    grace = setTimeout(kill, GRACE_MS, 'SIGKILL')
  }, timeoutMs)
  const interrupted = (): void => {
    kill('SIGTERM')
    process.exit(130)
  }
  process.on('SIGINT', interrupted).on('SIGTERM', interrupted)
  const status = await new Promise<number | string | null>(resolve => {
    child.on('error', err => { resolve(err.message) }).on('close', resolve)
  })
  process.off('SIGINT', interrupted).off('SIGTERM', interrupted)
  clearTimeout(timer)
  clearTimeout(grace)
  kill('SIGKILL') // what its parent left behind
  const rows = rowsOf(output)
  const failed = (reason: string): Outcome => ({ rows: [], reason: `${name}: ${reason}` })
  if (late) return failed(`no result after ${timeoutMs / 1000} s`)
  if (status !== 0) return failed(`${(lastLine(errors) || lastLine(output) || 'no output').slice(-REASON_CHARACTERS)} (status ${status})`)
  return rows.length === 0 ? failed('it printed no rows') : { rows, reason: undefined }
}

/** Lines that are JSON objects and no summary; frameworks print other lines between them. */
export function rowsOf (output: string): BenchRow[] {
  return output.split('\n').flatMap(line => {
    if (!line.startsWith('{')) return []
    try {
      const row = JSON.parse(line) as Partial<BenchRow>
      return typeof row.bench === 'string' && typeof row.impl === 'string' ? [row as BenchRow] : []
    } catch {
      return []
    }
  })
}

function lastLine (text: string): string { return text.trim().split('\n').at(-1)?.trim() ?? '' }

function signalGroup (pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch {} // all gone
}
