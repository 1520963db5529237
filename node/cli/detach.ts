/** `up --detach`: the same command in the background, waited for until its node listens or has ended. */
import { appendFileSync, closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { spawn } from 'node:child_process'
import { DeadlineError, FmtlError } from '../../src/errors.ts'
import { HEAP_FLAGS } from '../../src/compute/heap.ts'
import { HomeInUseError, holderOf } from '../store/lock.ts'
import { clean } from './format.ts'
import { diskError } from '../store/durable.ts'
import { logPaths, makeLogFolder, rotate } from '../telemetry/log-files.ts'
import { printAnswer } from './running.ts'
import { request } from '../control/client.ts'
import type { StatusAnswer } from '../control/residence.ts'

/** A rung that loads takes seconds, a large data set some more. */
const START_MS = 60_000
const POLL_MS = 100
/** Of a log, what is looked through for an error. */
const TAIL_BYTES = 64 * 1024

/** Starts it and prints where it is. @throws {FmtlError} why it did not start */
export async function detach (home: string, format: string): Promise<void> {
  const { name, peer, addresses, pid } = await startDetached(home)
  const log = logPaths(home).daemon
  if (format === 'json') printAnswer({ success: true, name, peer, addresses, pid, log })
  else process.stdout.write(`${name} runs as process ${pid}\npeer id    ${peer}\n${addresses.map(address => `listens on ${address}\n`).join('')}log        ${log}\n`)
}

/**
 * @throws {HomeInUseError} a node runs there already
 * @throws {FmtlError} the node ended; what it said last
 * @throws {DeadlineError} it neither listens nor ends
 */
async function startDetached (home: string): Promise<StatusAnswer> {
  const holder = holderOf(home)
  if (holder !== undefined) throw new HomeInUseError(home, holder.pid) // before its log is touched
  const { folder, daemon: log } = logPaths(home)
  makeLogFolder(folder)
  const file = openLog(log, folder)
  const from = statSync(log).size
  const child = spawn(process.execPath, [...HEAP_FLAGS, ...withoutFlags(process.argv.slice(1))], { detached: true, stdio: ['ignore', file, file] })
  closeSync(file)
  child.unref() // what is waited for is its answer
  const ended = new AbortController()
  void once(child, 'exit').catch(() => undefined).then(() => { ended.abort() })
  const status = await listening(home, child.pid, ended.signal)
  if (ended.signal.aborted) throw lastError(log, from, home)
  if (status === undefined) throw new DeadlineError(`the node (process ${child.pid}) does not listen after ${START_MS / 1000} s`, { next: 'fmtl-node logs, and fmtl-node down to end it' })
  return status
}

/** Its status once the node listens; undefined when it has ended, or the time is over. */
async function listening (home: string, pid: number | undefined, ended: AbortSignal): Promise<StatusAnswer | undefined> {
  const deadline = performance.now() + START_MS
  while (!ended.aborted && performance.now() < deadline) {
    try {
      const status = await request<StatusAnswer>(home, 'GET', '/status', undefined, { signal: ended, timeoutMs: Math.max(1, Math.ceil(deadline - performance.now())) })
      if (status.peer !== undefined && status.pid === pid) return status
    } catch (err) {
      if (!(err instanceof FmtlError) && !ended.aborted) throw err
    }
    await pause(POLL_MS, undefined, { signal: ended }).catch(() => undefined)
  }
  return undefined
}

function openLog (path: string, folder: string): number {
  try {
    rotate(path)
    appendFileSync(path, `--- ${new Date().toISOString()} fmtl-node up\n`, { mode: 0o600 })
    return openSync(path, 'a', 0o600)
  } catch (err) {
    throw diskError(err, `log ${path} not opened`, folder)
  }
}

/** What the child is started with: itself, not detached once more; its log is for people. */
export function withoutFlags (args: readonly string[]): string[] {
  return args.filter((arg, i) => arg !== '--detach' && !arg.startsWith('--format=') && arg !== '--format' && args[i - 1] !== '--format')
}

function lastError (log: string, from: number, home: string): FmtlError {
  const said = readFileSync(log).subarray(from).subarray(-TAIL_BYTES).toString('utf8').split('\n').map(clean).filter(line => line !== '')
  const line = said.findLast(line => line.startsWith('fmtl-node: '))?.slice('fmtl-node: '.length) ?? said.at(-1)
  const [message = `the node in ${home} ended at once and said nothing`, next = 'fmtl-node logs'] = line?.split('; next: ') ?? []
  return new FmtlError('ERR_NOT_STARTED', message, { next })
}
