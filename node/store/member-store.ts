/**
 * A consortium in a node's home:
 *
 *     consortium/members.log    the member log, one entry a line: base64url of its bytes, causes first; only appended to
 *     consortium/charter.json   what it says now, for people; written anew when it changes
 *     consortium/network.key    the private network's key, hex; only its owner can read it
 *     consortium/peers.json     where members were seen last
 *     consortium/port           where this node listens: members remember it
 *
 * A last line without its end is what a kill left behind: it is cut off. Any other damage is named and nothing is touched.
 */
import { mkdir, open, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DataError, DecodeError, ResourceError } from '../../src/errors.ts'
import { MAX_ENTRIES, MAX_ENTRY_BYTES, MemberLog, readEntry } from '../../src/membership/index.ts'
import { diskError, writeDurably } from './durable.ts'
import type { ConsortiumCharter, Entry } from '../../src/membership/index.ts'

/** Ten thousand entries of a kilobyte, and some charters. */
const MAX_LOG_BYTES = 32 * 1024 * 1024
const MAX_PEERS_BYTES = 1024 * 1024
const KEY_BYTES = 32

export interface ConsortiumFiles {
  readonly members: string
  readonly charter: string
  readonly networkKey: string
  readonly peers: string
  readonly port: string
}

export function consortiumFiles (home: string): ConsortiumFiles {
  const folder = join(home, 'consortium')
  return {
    members: join(folder, 'members.log'),
    charter: join(folder, 'charter.json'),
    networkKey: join(folder, 'network.key'),
    peers: join(folder, 'peers.json'),
    port: join(folder, 'port')
  }
}

/** The charter as its file has it, byte for byte. */
export function charterText (charter: ConsortiumCharter): string { return `${JSON.stringify(charter, null, 2)}\n` }

export class MemberStore {
  readonly home: string
  readonly #files: ConsortiumFiles
  #last: Promise<unknown> = Promise.resolve()

  constructor (home: string) {
    this.home = home
    this.#files = consortiumFiles(home)
  }

  /**
   * @returns undefined where this home is of no consortium
   * @throws {DataError} damage, with entry and byte
   * @throws {ResourceError} it cannot be read
   */
  async load (): Promise<{ log: MemberLog, networkKey: Uint8Array } | undefined> {
    const bytes = await readLimited(this.#files.members, MAX_LOG_BYTES)
    if (bytes === undefined) return undefined
    const { entries, whole } = parseMembers(bytes, this.#files.members)
    const log = logOf(entries, this.#files.members)
    if (whole < bytes.length) await this.#cut(whole)
    const want = charterText(log.state.charter)
    if ((await readLimited(this.#files.charter, MAX_ENTRY_BYTES * 4))?.toString() !== want) {
      // the log is what counts; the copy may be one change behind after a kill
      await writeDurably(this.#files.charter, Buffer.from(want))
    }
    return { log, networkKey: await this.#networkKey() }
  }

  /** @throws {DataError} this home is of a consortium already */
  async create (log: MemberLog, networkKey: Uint8Array): Promise<void> {
    if (await readLimited(this.#files.members, MAX_LOG_BYTES) !== undefined) {
      throw new DataError(`${dirname(this.#files.members)} belongs to a consortium already`, { next: 'use another --home for another consortium' })
    }
    try {
      await mkdir(dirname(this.#files.members), { recursive: true, mode: 0o700 })
    } catch (err) {
      throw diskError(err, `folder ${dirname(this.#files.members)} not made`, dirname(dirname(this.#files.members)))
    }
    await writeDurably(this.#files.networkKey, Buffer.from(`${Buffer.from(networkKey).toString('hex')}\n`), 0o600)
    await writeDurably(this.#files.charter, Buffer.from(charterText(log.state.charter)))
    await writeDurably(this.#files.members, Buffer.from(log.entries().map(lineOf).join('')))
  }

  /** Returns when the entries would outlive a power cut. */
  async append (entries: readonly Entry[], charter: ConsortiumCharter | undefined): Promise<void> {
    const run = this.#last.then(async () => {
      try {
        const file = await open(this.#files.members, 'a')
        try {
          await file.appendFile(entries.map(lineOf).join(''))
          await file.sync()
        } finally {
          await file.close()
        }
      } catch (err) {
        throw diskError(err, `${this.#files.members} not written`, dirname(this.#files.members))
      }
      if (charter !== undefined) await writeDurably(this.#files.charter, Buffer.from(charterText(charter)))
    })
    this.#last = run.catch(() => undefined)
    await run
  }

  /** Addresses by peer id; an unreadable file is as good as none: links and beats bring them again. */
  async peers (): Promise<Record<string, string[]>> {
    try {
      const value: unknown = JSON.parse((await readLimited(this.#files.peers, MAX_PEERS_BYTES))?.toString() ?? '{}')
      if (value === null || typeof value !== 'object') return {}
      return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string[]] => Array.isArray(entry[1]) && entry[1].every(address => typeof address === 'string')))
    } catch {
      return {}
    }
  }

  async savePeers (peers: Readonly<Record<string, readonly string[]>>): Promise<void> {
    await writeDurably(this.#files.peers, Buffer.from(`${JSON.stringify(peers, null, 2)}\n`))
  }

  /** The port that this node had before, if it chose one itself. */
  async port (): Promise<number | undefined> {
    const port = Number((await readLimited(this.#files.port, 16))?.toString())
    return Number.isInteger(port) && port > 0 && port < 65536 ? port : undefined
  }

  async savePort (port: number): Promise<void> { await writeDurably(this.#files.port, Buffer.from(`${port}\n`)) }

  async #networkKey (): Promise<Uint8Array> {
    const path = this.#files.networkKey
    const text = (await readLimited(path, 1024))?.toString().trim()
    if (text === undefined) throw new DataError(`${path} is missing: without the network's key no member answers`, { next: 'copy it from a backup, or ask a member for a new invitation and join in another --home' })
    if (process.platform !== 'win32' && ((await stat(path)).mode & 0o077) !== 0) throw new ResourceError(`${path} holds the private network's key and other users may read it`, { next: `chmod 600 ${path}` })
    if (!/^[0-9a-f]{64}$/.test(text)) throw new DataError(`${path} holds no key of ${KEY_BYTES} bytes`, { next: 'copy it from a backup' })
    return Uint8Array.from(Buffer.from(text, 'hex'))
  }

  async #cut (length: number): Promise<void> {
    const file = await open(this.#files.members, 'r+')
    try {
      await file.truncate(length)
      await file.sync()
    } finally {
      await file.close()
    }
  }
}

function lineOf (entry: Entry): string { return `${Buffer.from(entry.bytes).toString('base64url')}\n` }

/**
 * @returns the entries, and how many bytes of the file are whole lines
 * @throws {DataError} naming the entry and the byte it begins at
 */
export function parseMembers (bytes: Buffer, path: string): { entries: Entry[], whole: number } {
  const entries: Entry[] = []
  let start = 0
  for (let end = bytes.indexOf(10, start); end >= 0; end = bytes.indexOf(10, start)) {
    if (entries.length === MAX_ENTRIES) throw damage(path, entries.length, start, `more than ${MAX_ENTRIES} entries`)
    const line = bytes.toString('latin1', start, end)
    const decoded = Buffer.from(line, 'base64url')
    if (decoded.toString('base64url') !== line) throw damage(path, entries.length, start, 'not base64url')
    try {
      entries.push(readEntry(decoded))
    } catch (cause) {
      if (cause instanceof DecodeError) throw damage(path, entries.length, start, cause.message, cause)
      throw cause
    }
    start = end + 1
  }
  return { entries, whole: start }
}

function logOf (entries: readonly Entry[], path: string): MemberLog {
  const [genesis, ...rest] = entries
  if (genesis === undefined) throw damage(path, 0, 0, 'it is empty')
  try {
    return new MemberLog(genesis, rest)
  } catch (cause) {
    if (cause instanceof DecodeError) throw new DataError(`${path}: ${cause.message}`, { cause, next: NEXT })
    throw cause
  }
}

const NEXT = 'move the file away and join again with a new invitation, or copy it from a backup or from another member'

function damage (path: string, entry: number, byte: number, why: string, cause?: unknown): DataError {
  return new DataError(`${path}: entry ${entry + 1} (byte ${byte}) is damaged: ${why}`, { cause, next: NEXT })
}

async function readLimited (path: string, maxBytes: number): Promise<Buffer | undefined> {
  try {
    const { size } = await stat(path)
    if (size > maxBytes) throw new DataError(`${path}: ${size} bytes, at most ${maxBytes} are read`, { next: 'it is not a file of ours: move it away' })
    return await readFile(path)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw diskError(err, `${path} not read`, dirname(path))
  }
}
