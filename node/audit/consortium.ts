/** The files that say who belongs to a consortium and on what terms: read as a stranger would, changing nothing. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DecodeError } from '../../src/errors.ts'
import { MAX_ENTRIES, MAX_ENTRY_BYTES, MemberLog, consortiumHash, readEntry } from '../../src/membership/index.ts'
import { fromLine } from '../../src/ledger/index.ts'
import { diskError } from '../store/durable.ts'
import { readLines } from '../store/lines.ts'
import type { Entry, MembershipState } from '../../src/membership/index.ts'
import type { Say } from './report.ts'

export interface Consortium {
  readonly state: MembershipState
  /** Hashes of every charter that was ever founded on or proposed. */
  readonly charters: ReadonlySet<string>
  /** Everybody who ever was at the door, by the name given there. */
  readonly names: ReadonlyMap<string, string>
}

const MEMBERS = 'consortium/members.log'
const CHARTER = 'consortium/charter.json'
const MAX_LINE_BYTES = Math.ceil(MAX_ENTRY_BYTES * 4 / 3)
/** A charter is held in one entry of the member log; as indented JSON it may take some times as much. */
const MAX_CHARTER_BYTES = 16 * MAX_ENTRY_BYTES

/** @returns undefined where there is none, or it cannot be read: then that has been said */
export async function auditConsortium (home: string, say: Say): Promise<Consortium | undefined> {
  const consortium = await auditMembers(home, say)
  await auditCharter(home, consortium, say)
  return consortium
}

/** @returns undefined where there is none, or it is damaged: then that has been said */
export async function auditMembers (home: string, say: Say): Promise<Consortium | undefined> {
  const entries: Entry[] = []
  const places = new Map<string, { readonly entry: number, readonly byte: number }>()
  let [sound, bytes] = [true, -1]
  for await (const { number, byte, text, ended } of readLines(join(home, MEMBERS), MAX_LINE_BYTES)) {
    const wrong = (message: string): void => {
      sound = false
      say({ file: MEMBERS, entry: number, byte, message })
    }
    bytes = byte
    try {
      if (number > MAX_ENTRIES) throw new DecodeError(`more than ${MAX_ENTRIES} entries`)
      if (text === undefined) throw new DecodeError('it is longer than an entry can be')
      const entry = readEntry(fromLine(text))
      if (!ended) throw new DecodeError('it has no end: cut off while it was written')
      const twin = places.get(entry.hash)
      if (twin !== undefined) throw new DecodeError(`it is entry ${twin.entry} once more`)
      const ahead = entry.prev.find(hash => !places.has(hash))
      if (ahead !== undefined) throw new DecodeError(`it cites ${ahead.slice(0, 12)}, which does not stand before it`)
      places.set(entry.hash, { entry: number, byte })
      entries.push(entry)
    } catch (error) {
      wrong((error as Error).message) // a charter that an entry carries has errors of its own
      if (number > MAX_ENTRIES) break
    }
  }
  if (bytes < 0) {
    if (await sizeOf(join(home, MEMBERS)) !== undefined) say({ file: MEMBERS, message: 'it is empty' })
    return undefined
  }
  if (!sound) return undefined
  try {
    const log = MemberLog.read(entries.map(entry => entry.bytes))
    return {
      state: log.state,
      charters: new Set(entries.flatMap(entry => entry.kind === 'found' || entry.kind === 'amend' ? [consortiumHash(entry.charter)] : [])),
      names: new Map(entries.flatMap((entry): Array<[string, string]> =>
        entry.kind === 'found' ? [[entry.by, entry.name]] : entry.kind === 'knock' ? [[entry.knock.peer, entry.knock.name]] : []))
    }
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    const named = entries.find(({ hash }) => error.message.includes(hash.slice(0, 12)))
    say({ file: MEMBERS, ...named === undefined ? {} : places.get(named.hash), message: error.message })
    return undefined
  }
}

/** The charter as people read it must be, byte for byte, the one that the members signed. */
export async function auditCharter (home: string, consortium: Consortium | undefined, say: Say): Promise<void> {
  const path = join(home, CHARTER)
  const size = await sizeOf(path)
  if (size === undefined) return
  if (consortium === undefined) {
    say({ file: CHARTER, message: 'there is no sound member log to hold it to' })
    return
  }
  if (size > MAX_CHARTER_BYTES) {
    say({ file: CHARTER, message: `it has ${size} bytes, a charter at most ${MAX_CHARTER_BYTES}` })
    return
  }
  const found = await readFile(path).catch((err: unknown) => { throw diskError(err, `${path} not read`, home) })
  const agreed = Buffer.from(`${JSON.stringify(consortium.state.charter, null, 2)}\n`)
  if (found.equals(agreed)) return
  const longest = Math.max(found.length, agreed.length)
  let at = 0
  while (at < longest && found[at] === agreed[at]) at++
  const line = agreed.subarray(0, at).toString().split('\n').length
  const text = agreed.toString().split('\n')[line - 1]?.trim() ?? ''
  const what = at >= found.length ? 'it ends there' : at >= agreed.length ? 'it goes on behind its end' : `line ${line} is not what the members signed: ${text}`
  say({ file: CHARTER, byte: at, message: what })
}

async function sizeOf (path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size
}
