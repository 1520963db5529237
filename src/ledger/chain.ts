/** Entry after entry of one ledger, each checked against the one before. Knows no file: whoever reads one hands the lines in. */
import { DecodeError } from '../errors.ts'
import { NONE, isAuthentic, readLedgerEntry } from './entry.ts'
import type { LedgerEntry } from './entry.ts'

/** What is wrong, and with which entry: the newest, or the one before it. */
export class ChainError extends DecodeError {
  readonly seq: number
  /** Signed by its author, and in the wrong place. */
  readonly entry: LedgerEntry | undefined
  constructor (seq: number, message: string, init: { cause?: unknown, entry?: LedgerEntry } = {}) {
    super(message, { cause: init.cause })
    this.seq = seq
    this.entry = init.entry
  }
}

export class Chain {
  #last: LedgerEntry | undefined
  #count = 0
  /** Set after an entry that could not be read: nothing is known to which the next one could be held. */
  #broken = false
  readonly #signatures: 'all' | 'newest'

  /**
   * @param signatures - 'newest' leaves out those that the newest one vouches for, checks it in `close`, and is a hundred times
   * faster; it also checks those around whatever does not fit, to name the right entry
   */
  constructor (signatures: 'all' | 'newest') { this.#signatures = signatures }

  get length (): number { return this.#count }

  get last (): LedgerEntry | undefined { return this.#last }

  /**
   * @param line - undefined for one that is too long
   * @throws {ChainError} what is wrong; the entries after it can still be looked at, as if it were right
   */
  next (line: string | undefined): LedgerEntry {
    const seq = ++this.#count
    const before = this.#last
    const broken = this.#broken
    this.#broken = true
    let entry: LedgerEntry
    try {
      if (line === undefined) throw new DecodeError('it is longer than an entry can be')
      entry = readLedgerEntry(fromLine(line), this.#signatures === 'newest')
    } catch (cause) {
      if (cause instanceof DecodeError) throw new ChainError(seq, cause.message, { cause })
      throw cause
    }
    this.#last = entry
    this.#broken = false
    const wrong = broken ? undefined : misfit(entry, seq, before)
    if (wrong !== undefined && before !== undefined && !isAuthentic(before)) throw new ChainError(seq - 1, SIGNATURE)
    if ((wrong !== undefined || broken || this.#signatures === 'all') && !isAuthentic(entry)) throw new ChainError(seq, SIGNATURE)
    if (wrong !== undefined) throw new ChainError(seq, wrong, { entry })
    return entry
  }

  /** @throws {ChainError} the newest entry is not signed by its author */
  close (): void {
    if (this.#last !== undefined && this.#signatures === 'newest' && !isAuthentic(this.#last)) throw new ChainError(this.#count, SIGNATURE)
  }
}

const SIGNATURE = 'signature does not fit'

function misfit (entry: LedgerEntry, seq: number, before: LedgerEntry | undefined): string | undefined {
  if (before !== undefined && entry.by !== before.by) return `it is by ${entry.by}, the one before by ${before.by}`
  const expected = before === undefined ? seq : before.seq + 1
  if (entry.seq !== expected) return `it is number ${entry.seq}, ${expected} was expected`
  if (entry.prev === (before?.hash ?? NONE)) return undefined
  return before === undefined ? 'it is the first and cites one before it' : 'it does not follow the one before it: another entry stood there when it was signed'
}

export function toLine (bytes: Uint8Array): string { return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url') }

/** @throws {DecodeError} not base64url in its only spelling */
export function fromLine (line: string): Uint8Array {
  const bytes = Buffer.from(line, 'base64url')
  if (bytes.length === 0 || bytes.toString('base64url') !== line) throw new DecodeError('it is not base64url in its only spelling')
  return bytes
}
