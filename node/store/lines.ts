/** Append-only files of lines, read as a stream: no line longer than it may be is ever held, nor the file as a whole. */
import { createReadStream } from 'node:fs'
import { dirname } from 'node:path'
import { diskError } from './durable.ts'

export interface Line {
  /** From 1. */
  readonly number: number
  /** Where it begins in the file. */
  readonly byte: number
  /** One letter a byte, so that no damage is hidden by decoding; undefined where it is longer than it may be. */
  readonly text: string | undefined
  /** Whether a newline ends it: the last line of a file that was cut off has none. */
  readonly ended: boolean
}

const NEWLINE = 10

/** @throws {ResourceError} the file cannot be read; one that is not there ends the stream at once */
export async function * readLines (path: string, maxBytes: number): AsyncGenerator<Line> {
  let parts: Buffer[] = []
  let held = 0
  let tooLong = false
  let [number, byte, at] = [1, 0, 0]
  const take = (part: Buffer): void => {
    tooLong ||= held + part.length > maxBytes
    if (tooLong) parts = []
    else parts.push(part)
    held += part.length
  }
  const line = (ended: boolean): Line => ({ number, byte, text: tooLong ? undefined : Buffer.concat(parts).toString('latin1'), ended })
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      for (let from = 0; from < chunk.length;) {
        const to = chunk.indexOf(NEWLINE, from)
        take(chunk.subarray(from, to < 0 ? undefined : to))
        at += (to < 0 ? chunk.length : to + 1) - from
        if (to < 0) break
        yield line(true)
        from = to + 1
        parts = []
        held = 0
        tooLong = false
        number++
        byte = at
      }
    }
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return
    throw diskError(err, `${path} not read`, dirname(path))
  }
  if (held > 0) yield line(false)
}
