/**
 * Where the passphrase of the identity comes from: `FMTL_PASSPHRASE`, a file that `FMTL_PASSPHRASE_FILE` names, or a
 * question on the terminal, whose answer is not shown. It is bytes, so that it can be overwritten after use.
 */
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FmtlError, InvalidParametersError, ResourceError } from '../../src/errors.ts'
import { diskError } from './durable.ts'

/** Long enough for a sentence of forty words. */
const MAX_PASSPHRASE_BYTES = 1024
/** Somebody who has not answered by then is not at the terminal. */
const ANSWER_MS = 120_000

/** What of a terminal is used here. */
export interface Terminal {
  readonly input: {
    readonly isTTY?: boolean
    setRawMode (raw: boolean): unknown
    on (event: 'data', listener: (chunk: Buffer) => void): unknown
    off (event: 'data', listener: (chunk: Buffer) => void): unknown
    resume (): unknown
    pause (): unknown
  }
  readonly output: { write (text: string): unknown }
}

export interface PassphraseSources {
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Left out: that of this process, questions on standard error. */
  readonly terminal?: Terminal
  readonly answerMs?: number
}

export type Purpose = 'open' | 'set'

const NEXT = 'set FMTL_PASSPHRASE_FILE to a file of mode 600 that holds it, or FMTL_PASSPHRASE, or run this on a terminal'

/**
 * Passphrase without a question: undefined where none is set.
 * @throws {ResourceError} the file cannot be read, or others may read it
 * @throws {InvalidParametersError} empty or too long
 */
export async function givenPassphrase (env: PassphraseSources['env'] = process.env): Promise<Uint8Array | undefined> {
  const { FMTL_PASSPHRASE: text, FMTL_PASSPHRASE_FILE: path } = env
  if (text !== undefined && text !== '') return checked(Buffer.from(text), 'FMTL_PASSPHRASE')
  return path === undefined || path === '' ? undefined : await fromFile(path)
}

/**
 * @param purpose - open: asked once; set: asked twice
 * @throws {InvalidParametersError} none is set and there is no terminal to ask on; two answers that differ
 * @throws {FmtlError} no answer in time, or Ctrl-C
 */
export async function findPassphrase (purpose: Purpose, sources: PassphraseSources = {}): Promise<Uint8Array> {
  const given = await givenPassphrase(sources.env)
  if (given !== undefined) return given
  const terminal = sources.terminal ?? { input: process.stdin, output: process.stderr }
  if (terminal.input.isTTY !== true) throw new InvalidParametersError('the identity needs a passphrase and none is given', { next: NEXT })
  const answerMs = sources.answerMs ?? ANSWER_MS
  const first = await ask(terminal, purpose === 'open' ? 'Passphrase of the identity: ' : 'New passphrase of the identity: ', answerMs)
  if (purpose === 'open') return first
  const second = await ask(terminal, 'The same once more: ', answerMs)
  const same = Buffer.from(first).equals(second)
  second.fill(0)
  if (same) return first
  first.fill(0)
  throw new InvalidParametersError('the two passphrases differ', { next: 'run the command again' })
}

async function fromFile (path: string): Promise<Uint8Array> {
  try {
    const file = await open(path, 'r')
    try {
      const stat = await file.stat()
      if (!stat.isFile()) throw new InvalidParametersError(`FMTL_PASSPHRASE_FILE: ${path} is not a file`, { next: NEXT })
      if (process.platform !== 'win32' && (stat.mode & 0o077) !== 0) {
        throw new ResourceError(`FMTL_PASSPHRASE_FILE: other users may read ${path} (mode ${(stat.mode & 0o777).toString(8)})`, { next: `chmod 600 ${path}` })
      }
      if (stat.size > MAX_PASSPHRASE_BYTES + 2) throw tooLong('FMTL_PASSPHRASE_FILE')
      const bytes = await file.readFile()
      // an editor ends the line
      let end = bytes.length
      while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--
      const passphrase = Uint8Array.from(bytes.subarray(0, end))
      bytes.fill(0)
      return checked(passphrase, 'FMTL_PASSPHRASE_FILE')
    } finally {
      await file.close()
    }
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') throw new ResourceError(`FMTL_PASSPHRASE_FILE: there is no file ${path}`, { cause: err, next: 'check the path' })
    throw diskError(err, `FMTL_PASSPHRASE_FILE: ${path} not read`, dirname(path))
  }
}

function checked (passphrase: Uint8Array, from: string): Uint8Array {
  if (passphrase.byteLength === 0) throw new InvalidParametersError(`${from}: the passphrase is empty`, { next: NEXT })
  if (passphrase.byteLength > MAX_PASSPHRASE_BYTES) throw tooLong(from)
  return passphrase
}

function tooLong (from: string): InvalidParametersError {
  return new InvalidParametersError(`${from}: a passphrase has at most ${MAX_PASSPHRASE_BYTES} bytes`)
}

/** One line from a terminal that shows none of it. */
async function ask ({ input, output }: Terminal, question: string, answerMs: number): Promise<Uint8Array> {
  const typed = Buffer.alloc(MAX_PASSPHRASE_BYTES)
  let length = 0
  output.write(question)
  input.setRawMode(true)
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  const timer = setTimeout(() => { reject(new FmtlError('ERR_DEADLINE', `no passphrase within ${answerMs / 1000} s`, { next: NEXT })) }, answerMs)
  const listen = (chunk: Buffer): void => {
    for (const byte of chunk) {
      if (byte === 0x0d || byte === 0x0a) {
        resolve(Uint8Array.from(typed.subarray(0, length)))
        break
      }
      if (byte === 0x03 || byte === 0x04) {
        reject(new FmtlError('ERR_INTERRUPTED', 'no passphrase was given'))
        break
      }
      if (byte === 0x7f || byte === 0x08) {
        // one letter, which may be several bytes
        do length = Math.max(0, length - 1)
        while (length > 0 && ((typed[length] as number) & 0xc0) === 0x80)
      } else if (length === MAX_PASSPHRASE_BYTES) {
        reject(tooLong('the answer'))
        break
      } else {
        typed[length++] = byte
      }
    }
    chunk.fill(0)
  }
  input.on('data', listen)
  input.resume()
  try {
    return checked(await promise, 'the answer')
  } finally {
    clearTimeout(timer)
    input.off('data', listen)
    input.pause()
    input.setRawMode(false)
    typed.fill(0)
    output.write('\n')
  }
}
