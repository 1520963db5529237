/** `fmtl-node logs`: what a detached node has printed; as JSON, its events. */
import { open, stat } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { DataError, InvalidParametersError } from '../../src/errors.ts'
import { examples } from './help.ts'
import { addRunningOptions, homeOf } from './running.ts'
import { diskError } from '../store/durable.ts'
import { logPaths } from '../telemetry/log-files.ts'
import type { Command } from 'commander'
import type { RunningFlags } from './running.ts'

const POLL_MS = 300
const PIECE_BYTES = 64 * 1024
const MAX_LINES = 100_000

export function registerLogs (program: Command): void {
  const command = addRunningOptions(program.command('logs'))
    .description('the log of a detached node; with --format json the events of any node, one object a line')
    .option('--follow', 'go on with what comes, until Ctrl-C')
    .option('--lines <n>', 'the last n lines', '50')
    .action(async (flags: RunningFlags & { follow?: boolean, lines: string }) => {
      const lines = Number(flags.lines)
      if (!/^\d+$/.test(flags.lines) || lines > MAX_LINES) throw new InvalidParametersError(`--lines must be a whole number up to ${MAX_LINES}, got '${flags.lines}'`)
      const home = homeOf(flags)
      const paths = logPaths(home)
      const path = flags.format === 'json' ? paths.events : paths.daemon
      const write = (text: Uint8Array): void => { process.stdout.write(text) }
      const end = await tail(path, lines, write)
      if (flags.follow === true) await follow(path, end, write, new AbortController().signal)
    })
  examples(command, 'fmtl-node logs --follow --lines 20')
}

/**
 * The last lines of a file, read from its end.
 * @returns where the file ended
 * @throws {DataError} there is no such file
 */
export async function tail (path: string, lines: number, write: (text: Uint8Array) => void): Promise<number> {
  try {
    await using file = await open(path, 'r')
    const { size } = await file.stat()
    const pieces: Buffer[] = []
    let breaks = 0
    let from = size
    while (from > 0 && breaks <= lines) {
      const length = Math.min(PIECE_BYTES, from)
      const piece = Buffer.alloc(length)
      await file.read(piece, 0, length, from -= length)
      pieces.unshift(piece)
      for (const byte of piece) if (byte === NEWLINE) breaks++
    }
    const text = Buffer.concat(pieces)
    let start = text.length
    for (let left = text.at(-1) === NEWLINE ? lines + 1 : lines; start > 0 && (text[start - 1] !== NEWLINE || --left > 0); start--);
    write(text.subarray(lines === 0 ? text.length : start))
    return size
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') throw new DataError(`there is no log ${path}`, { cause: err, next: 'fmtl-node up --detach writes one' })
    throw diskError(err, `${path} not read`, path)
  }
}

/** Ends with the signal. A file that was set aside, and begins anew, is read from its beginning. */
export async function follow (path: string, from: number, write: (text: Uint8Array) => void, signal: AbortSignal): Promise<void> {
  for (let at = from; !signal.aborted;) {
    const size = (await stat(path).catch(() => undefined))?.size
    if (size !== undefined && size < at) at = 0
    if (size !== undefined && size > at) {
      await using file = await open(path, 'r')
      const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(PIECE_BYTES, size - at)), { position: at })
      write(buffer.subarray(0, bytesRead))
      at += bytesRead
    } else {
      await pause(POLL_MS, undefined, { signal }).catch(() => undefined)
    }
  }
}

const NEWLINE = 0x0a
