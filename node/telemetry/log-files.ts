/** The logs of a node's home: what a daemon prints, and its events as NDJSON. Both are set aside when they grow large. */
import { appendFileSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { diskError } from '../store/durable.ts'
import type { NodeEvent } from '../events.ts'

export interface LogPaths { readonly folder: string, readonly daemon: string, readonly events: string }

export function logPaths (home: string): LogPaths {
  const folder = join(home, 'logs')
  return { folder, daemon: join(folder, 'daemon.log'), events: join(folder, 'events.jsonl') }
}

/** A round writes some 2 KiB: 5 000 rounds a file. */
const MAX_LOG_BYTES = 10 * 2 ** 20
/** Files that are kept beside the one being written. */
const KEPT = 3
/** Several a second, and nobody reads them later. */
const LEFT_OUT: ReadonlySet<NodeEvent['type']> = new Set(['step', 'gauges'])

/** Sets a log aside as `.1` if it has grown above the limit, the one before it as `.2`, and forgets the oldest. */
export function rotate (path: string, maxBytes = MAX_LOG_BYTES): void {
  if (sizeOf(path) <= maxBytes) return
  rmSync(`${path}.${KEPT}`, { force: true })
  for (let i = KEPT - 1; i >= 1; i--) if (sizeOf(`${path}.${i}`) > 0) renameSync(`${path}.${i}`, `${path}.${i + 1}`)
  renameSync(path, `${path}.1`)
}

/** @throws {ResourceError} the folder cannot be made */
export function makeLogFolder (path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  } catch (err) {
    throw diskError(err, `folder ${path} not made`, dirname(path))
  }
}

export class EventLog {
  readonly #path: string
  readonly #maxBytes: number
  readonly #onProblem: (error: unknown) => void
  #failed = false

  /** @param init.onProblem - hears once when events cannot be written, and again when that happens after a success */
  constructor (path: string, init: { onProblem: (error: unknown) => void, maxBytes?: number }) {
    this.#path = path
    this.#maxBytes = init.maxBytes ?? MAX_LOG_BYTES
    this.#onProblem = init.onProblem
  }

  /** At once, as the next event may be the process's last. A log that cannot be written stops nothing. */
  write (event: NodeEvent, at = new Date()): void {
    if (LEFT_OUT.has(event.type)) return
    try {
      rotate(this.#path, this.#maxBytes)
      appendFileSync(this.#path, `${JSON.stringify({ at: at.toISOString(), ...event })}\n`, { mode: 0o600 })
      this.#failed = false
    } catch (err) {
      if (this.#failed) return
      this.#failed = true
      this.#onProblem(diskError(err, `events not written to ${this.#path}`, dirname(this.#path)))
    }
  }
}

function sizeOf (path: string): number { return statSync(path, { throwIfNoEntry: false })?.size ?? 0 }
