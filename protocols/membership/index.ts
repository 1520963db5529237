/**
 * Membership: the member log finds its way to every member. New entries are gossiped; every few seconds a member says which
 * entries it has seen last, and whoever sees a difference asks for what it lacks. Wire format: ./README.md.
 */
import { FmtlError, ProtocolError, RefusedError } from '../../src/errors.ts'
import { MAX_ENTRIES } from '../../src/membership/index.ts'
import { sha256 } from '../blob/index.ts'
import { BUDGETS, MAX_ENTRIES_PER_MESSAGE, MAX_GOSSIP_BYTES, MAX_HEADER_BYTES, MAX_INLINE_BYTES, MAX_SYNC_BYTES, MAX_SYNC_PAGES, MAX_SYNC_REQUEST_BYTES, REQUEST_TIMEOUT_MS } from '../limits.ts'
import { Topic } from '../pubsub.ts'
import { request, respond, wireError } from '../request.ts'
import { PROTOCOL, membersTopic } from './constants.ts'
import { decodeBeat, decodeSyncRequest, decodeSyncResponse, encodeBeat, encodeSyncRequest, encodeSyncResponse } from './messages.ts'
import type { Added, Entry } from '../../src/membership/index.ts'
import type { ProtocolComponents } from '../components.ts'
import type { Beat } from './messages.ts'

export { PROTOCOL as MEMBERSHIP_PROTOCOL, membersTopic } from './constants.ts'
export { decodeBeat, decodeSyncRequest, decodeSyncResponse, encodeBeat, encodeSyncRequest, encodeSyncResponse } from './messages.ts'
export type { Beat } from './messages.ts'

/** The member log, as the network sees it. */
export interface LogPort {
  readonly id: string
  readonly heads: readonly string[]
  has (hash: string): boolean
  after (heads: readonly string[]): readonly Entry[]
  /** @throws {DecodeError | ResourceError} */
  add (bytes: readonly Uint8Array[]): Promise<Added>
}

export interface MembershipServiceInit {
  readonly consortium: string
  readonly log: LogPort
  /** What this member says of itself now. */
  readonly beat: () => Omit<Beat, 'heads' | 'sentAt' | 'entries'>
  readonly now: () => number
  /** Time until the next beat, ms. */
  readonly everyMs: () => number
  readonly onBeat: (beat: Beat, from: string) => void
  /** A peer sent something that is not so: one line. */
  readonly onProblem: (line: string) => void
}

/** Entries that ride in a beat; more are asked for. */
const MAX_PUSHED_BYTES = MAX_INLINE_BYTES
/** Tag and length of an entry in a message. */
const ENTRY_PREFIX_BYTES = 8
/** A peer whose heads differ is asked at most this often, ms: its beats come as often. */
const ASK_AGAIN_MS = 500
/** The same problem with the same peer is said once in this time. */
const TELL_AGAIN_MS = 60_000

/** As many as one message takes, from the first on. */
export function pageOf (entries: readonly Entry[], maxBytes = MAX_SYNC_BYTES - MAX_HEADER_BYTES): Uint8Array[] {
  const page: Uint8Array[] = []
  let size = 0
  for (const { bytes } of entries) {
    size += bytes.byteLength + ENTRY_PREFIX_BYTES
    if (page.length === MAX_ENTRIES_PER_MESSAGE || size > maxBytes) break
    page.push(bytes)
  }
  return page
}

export class MembershipService {
  readonly #components: ProtocolComponents
  readonly #init: MembershipServiceInit
  readonly #topic: Topic<Beat>
  readonly #asked = new Map<string, number>()
  readonly #asking = new Set<string>()
  /** Last problem with a peer. */
  readonly #told = new Map<string, { line: string, at: number }>()
  #timer: NodeJS.Timeout | undefined
  #stopServing: (() => Promise<void>) | undefined
  readonly #abort = new AbortController()

  constructor (components: ProtocolComponents, init: MembershipServiceInit) {
    this.#components = components
    this.#init = init
    this.#topic = new Topic(components, { name: membersTopic(init.consortium), maxBytes: MAX_GOSSIP_BYTES, encode: encodeBeat, decode: decodeBeat })
    this.#topic.onMessage((beat, from) => { void this.#receive(beat, from) })
  }

  async start (): Promise<void> {
    this.#stopServing = await respond(this.#components, PROTOCOL, {
      maxRequestBytes: MAX_SYNC_REQUEST_BYTES,
      maxResponseBytes: MAX_SYNC_BYTES,
      budget: BUDGETS.membership,
      many: true,
      busy: () => encodeSyncResponse({ code: 'ERR_BUSY', reason: 'too many sync requests at once' }),
      answer: async bytes => {
        try {
          return this.#page(bytes)
        } catch (err) {
          return encodeSyncResponse(wireError(err))
        }
      }
    })
    this.#topic.start()
    this.#goOn()
  }

  async stop (): Promise<void> {
    this.#abort.abort()
    clearTimeout(this.#timer)
    this.#topic.stop()
    await this.#stopServing?.()
  }

  /** Tells everybody where this member is, with the entries that are new. */
  beat (entries: readonly Entry[] = []): void {
    const { log, beat, now } = this.#init
    const pushed = pageOf(entries, MAX_PUSHED_BYTES)
    this.#topic.publish({ ...beat(), heads: log.heads, sentAt: now(), entries: pushed }).catch((err: unknown) => {
      this.#components.logger.forComponent('fmtl:membership')('beat: %e', err) // nobody is there yet: the next one comes soon
    })
  }

  /**
   * Asks a peer for what is missing here, page by page. What a page may repeat: of heads that the peer does not know it can
   * say nothing, and begins further back than it would have to.
   * @returns how many entries were new
   * @throws {ProtocolError} it cannot be reached, is of another consortium, or sends what is no part of the log
   */
  async pull (peer: string): Promise<number> {
    const { log } = this.#init
    const { id: consortium, heads } = log
    const seen = new Set<string>()
    let [found, skip] = [0, 0]
    for (let page = 0; page < MAX_SYNC_PAGES; page++) {
      const response = decodeSyncResponse(await request(this.#components, peer, PROTOCOL, encodeSyncRequest({ consortium, heads, skip }), {
        signal: AbortSignal.any([this.#abort.signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]), maxRequestBytes: MAX_SYNC_REQUEST_BYTES, maxResponseBytes: MAX_SYNC_BYTES
      }))
      if ('code' in response) throw new RefusedError(response.reason, { cause: response })
      const { entries, missing } = await log.add(response.entries)
      found += entries.length
      if (!response.more) return found
      const before = seen.size
      for (const bytes of response.entries) seen.add(sha256(bytes))
      if (seen.size === before) throw new ProtocolError(`${peer} sends the same entries again${missing.length > 0 ? `, ${missing.length} of those they cite are missing` : ''}`)
      skip += response.entries.length
      if (skip > MAX_ENTRIES) break
    }
    throw new ProtocolError(`${peer} has more entries than a member log holds`)
  }

  #goOn (): void {
    this.beat()
    this.#timer = setTimeout(() => { this.#goOn() }, this.#init.everyMs())
  }

  #page (bytes: Uint8Array): Uint8Array {
    const { log } = this.#init
    const { consortium, heads, skip } = decodeSyncRequest(bytes)
    if (consortium !== log.id) throw new ProtocolError(`this is a member of consortium ${log.id.slice(0, 12)}, not of ${consortium.slice(0, 12)}`, { code: 'ERR_CONSORTIUM' })
    const lacking = log.after(heads).slice(skip)
    const page = pageOf(lacking)
    return encodeSyncResponse({ entries: page, more: page.length < lacking.length, heads: log.heads })
  }

  async #receive (beat: Beat, from: string): Promise<void> {
    const { log, now, onBeat } = this.#init
    try {
      if (beat.entries.length > 0) await log.add(beat.entries)
      onBeat(beat, from)
      if (this.#asking.has(from) || beat.heads.every(head => log.has(head))) return
      if (now() - (this.#asked.get(from) ?? -Infinity) < ASK_AGAIN_MS) return
      this.#asked.set(from, now())
      this.#asking.add(from)
      await this.pull(from).finally(() => { this.#asking.delete(from) })
    } catch (err) {
      if (this.#abort.signal.aborted) return
      if (!(err instanceof FmtlError)) throw err
      this.#tell(from, `member log from ${from}: ${err.message}`)
    }
  }

  #tell (peer: string, line: string): void {
    const { now, onProblem } = this.#init
    const last = this.#told.get(peer)
    if (last?.line === line && now() - last.at < TELL_AGAIN_MS) return
    this.#told.set(peer, { line, at: now() })
    onProblem(line)
  }
}
