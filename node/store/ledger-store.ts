/**
 * The file of a node's ledger: one line an entry, base64url. An entry that `append` has returned for outlives a power cut.
 * What a kill left of a last line is cut off; any other damage stays as it is, and nothing is written behind it.
 */
import { mkdir, open, stat, truncate } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { DataError } from '../../src/errors.ts'
import { Chain, ChainError, MAX_LEDGER_ENTRY_BYTES, NONE, toLine, writeLedgerEntry } from '../../src/ledger/index.ts'
import { diskError, syncFolder } from './durable.ts'
import { readLines } from './lines.ts'
import type { FileHandle } from 'node:fs/promises'
import type { LedgerAct, LedgerContext, LedgerEntry } from '../../src/ledger/index.ts'
import type { Signer } from '../../src/membership/index.ts'

/** Of a file of entries: which one, where it begins, and what is wrong with it. */
export class LedgerDamage extends DataError {
  readonly entry: number
  readonly byte: number
  readonly why: string
  /** Signed by its author, and in the wrong place. */
  readonly found: LedgerEntry | undefined
  constructor (path: string, byte: number, { seq, message, entry }: ChainError) {
    super(`${basename(path)}: entry ${seq} (byte ${byte}): ${message}`, { next: `keep it and begin another: mv ${path} ${path}.damaged` })
    this.entry = seq
    this.byte = byte
    this.why = message
    this.found = entry
  }
}

export const MAX_LEDGER_LINE_BYTES = Math.ceil(MAX_LEDGER_ENTRY_BYTES * 4 / 3)

export interface ScanOptions {
  /** See `Chain`. */
  readonly signatures: 'all' | 'newest'
  readonly onEntry: (entry: LedgerEntry, byte: number) => void
  /** Called for each entry that does not fit; what it throws ends the scan. */
  readonly onDamage: (damage: LedgerDamage) => void
}

export interface Scan {
  readonly entries: number
  readonly last: LedgerEntry | undefined
  /** Length of the file up to and with its last whole line. */
  readonly bytes: number
  /** Where a last line without end begins. */
  readonly torn: number | undefined
}

/** Reads a ledger from its first entry to its last. @throws {ResourceError} it cannot be read */
export async function scanLedger (path: string, { signatures, onEntry, onDamage }: ScanOptions): Promise<Scan> {
  const chain = new Chain(signatures)
  const starts = [0, 0] // of the entry before, and of this one
  let [bytes, torn]: [number, number | undefined] = [0, undefined]
  const attempt = (check: () => void): void => {
    try {
      check()
    } catch (cause) {
      if (!(cause instanceof ChainError)) throw cause
      onDamage(new LedgerDamage(path, starts[cause.seq === chain.length ? 1 : 0] as number, cause))
    }
  }
  for await (const { byte, text, ended } of readLines(path, MAX_LEDGER_LINE_BYTES)) {
    if (!ended) {
      torn = byte
      break
    }
    starts.push(byte)
    starts.shift()
    attempt(() => {
      const entry = chain.next(text)
      onEntry(entry, byte)
    })
    bytes = byte + (text?.length ?? 0) + 1
  }
  attempt(() => { chain.close() })
  return { entries: chain.length, last: chain.last, bytes, torn }
}

export interface LedgerStoreInit {
  readonly signer: Signer
  readonly now?: () => number
  /** Hears every entry that is there already. */
  readonly onEntry?: (entry: LedgerEntry) => void
  /** Told, in one line, what was cut off. */
  readonly onNotice?: (line: string) => void
}

export class LedgerStore {
  readonly #path: string
  readonly #file: FileHandle
  readonly #signer: Signer
  readonly #now: () => number
  #last: LedgerEntry | undefined
  #bytes: number
  /** A write has failed: what it left behind is cut off before the next. */
  #unclean = false
  #queue: Promise<unknown> = Promise.resolve()

  private constructor (path: string, file: FileHandle, init: LedgerStoreInit, { last, bytes }: Scan) {
    this.#path = path
    this.#file = file
    this.#signer = init.signer
    this.#now = init.now ?? Date.now
    this.#last = last
    this.#bytes = bytes
  }

  /**
   * Checks the whole chain.
   * @throws {LedgerDamage} an entry does not fit
   * @throws {DataError} it is another node's
   * @throws {ResourceError} it cannot be read or made
   */
  static async open (path: string, init: LedgerStoreInit): Promise<LedgerStore> {
    const scan = await scanLedger(path, {
      signatures: 'newest',
      onEntry: entry => init.onEntry?.(entry),
      onDamage: damage => { throw damage }
    })
    const { signer, onNotice } = init
    if (scan.last !== undefined && scan.last.by !== signer.peer) {
      throw new DataError(`${basename(path)} is the ledger of ${scan.last.by}, this node is ${signer.peer}`, { next: `restore the identity it belongs to, or begin another: mv ${path} ${path}.other` })
    }
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      if (scan.torn !== undefined) {
        const { size } = await stat(path)
        await truncate(path, scan.bytes)
        onNotice?.(`${basename(path)}: ${size - scan.bytes} bytes behind entry ${scan.entries} (byte ${scan.bytes}) were never written to the end; cut off`)
      }
      const file = await open(path, 'a')
      await file.sync()
      await syncFolder(dirname(path))
      return new LedgerStore(path, file, init, scan)
    } catch (err) {
      throw diskError(err, `${path} not opened`, dirname(path))
    }
  }

  get length (): number { return this.#last?.seq ?? 0 }

  /**
   * Returns when the entry would outlive a power cut.
   * @throws {ResourceError} disk full, no permission: the ledger is as it was, and may be tried again
   * @throws {DataError} somebody else has written to the file
   */
  async append (act: LedgerAct, context: LedgerContext): Promise<LedgerEntry> {
    const appended = this.#queue.then(async () => await this.#append(act, context))
    this.#queue = appended.catch(() => {}) // its caller hears of it
    return await appended
  }

  async close (): Promise<void> {
    await this.#queue
    await this.#file.close()
  }

  async #append (act: LedgerAct, context: LedgerContext): Promise<LedgerEntry> {
    const entry = await writeLedgerEntry(this.#signer, act, context, { seq: this.length + 1, prev: this.#last?.hash ?? NONE, at: this.#now() })
    const line = `${toLine(entry.bytes)}\n`
    try {
      if (this.#unclean) await this.#file.truncate(this.#bytes)
      this.#unclean = false
      const { size } = await this.#file.stat()
      if (size !== this.#bytes) throw new DataError(`${basename(this.#path)} has ${size} bytes and this node wrote ${this.#bytes}: somebody else writes to it`, { next: 'end the other process, then start this node again' })
      this.#unclean = true
      await this.#file.writeFile(line)
      await this.#file.sync()
      this.#unclean = false
    } catch (err) {
      throw diskError(err, `${this.#path} not written`, dirname(this.#path))
    }
    this.#bytes += line.length
    this.#last = entry
    return entry
  }
}
