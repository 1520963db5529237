/**
 * Affinity: before the tasks are split, every site tells what it measured, every host who was there to measure, and then
 * everybody which partition follows, and from which rows. Who was away hears it later: what a peer has to say it repeats, and a
 * row that is missing is fetched by its hash. Wire format: ./README.md.
 */
import { DecodeError, InvalidParametersError, ProtocolError } from '../../src/errors.ts'
import { sha256 } from '../blob/index.ts'
import { BUDGETS, MAX_AFFINITY_BYTES, MAX_BLOB_PROVIDERS, MAX_PEERS } from '../limits.ts'
import { PeerBudgets } from '../budget.ts'
import { Topic } from '../pubsub.ts'
import { affinityTopic } from './constants.ts'
import { decodeAffinity, decodeRow, encodeAffinity, encodeRow } from './messages.ts'
import type { AbortOptions } from '@libp2p/interface'
import type { AffinityMessage, AffinityRow, RowReference } from './messages.ts'
import type { BlobService } from '../blob/index.ts'
import type { ProtocolComponents } from '../components.ts'
import type { Verdict } from '../pubsub.ts'

export { affinityTopic } from './constants.ts'
export { decodeAffinity, decodeRow, encodeAffinity, encodeRow } from './messages.ts'
export type { AffinityClaim, AffinityMessage, AffinityRoll, AffinityRow, RowReference } from './messages.ts'

export interface AffinityInit {
  /** Hash of the charter that all tasks are trained under together. */
  readonly merge: string
  /** Its tasks: a row is about these, or some of them. */
  readonly tasks: readonly string[]
  /** ms, of a clock that never goes back. Default: the process's. */
  readonly now?: () => number
}

/** A second row of one site is passed on, so that everybody sees that it says two things; a third is not. */
const ROWS_PER_SITE = 2

export class AffinityService {
  readonly #components: ProtocolComponents
  readonly #blobs: BlobService
  readonly #init: AffinityInit
  readonly #topic: Topic<AffinityMessage>
  readonly #budgets: PeerBudgets
  /** site -> hashes of its rows. */
  readonly #rows = new Map<string, Set<string>>()

  constructor (components: ProtocolComponents, blobs: BlobService, init: AffinityInit) {
    this.#components = components
    this.#blobs = blobs
    this.#init = init
    this.#budgets = new PeerBudgets(BUDGETS.affinity, init.now)
    this.#topic = new Topic(components, {
      name: affinityTopic(init.merge),
      maxBytes: MAX_AFFINITY_BYTES,
      encode: encodeAffinity,
      decode: decodeAffinity,
      check: (message, from) => this.#judge(message, from)
    })
  }

  start (): void { this.#topic.start() }

  stop (): void { this.#topic.stop() }

  /** Peers that listen and that one reaches now. */
  get subscribers (): string[] { return this.#topic.subscribers }

  /**
   * Says it, and provides the row where it is one.
   * @returns how many peers it went to at once
   * @throws {InvalidParametersError} it is of another charter, of another site, or too large
   */
  async publish (message: AffinityMessage): Promise<number> {
    const problem = this.#problem(message, this.#components.peerId.toString())
    if (problem !== undefined) throw new InvalidParametersError(`not published: ${problem}`)
    if ('row' in message) this.provide(message.row)
    return await this.#topic.publish(message)
  }

  /** Everything that was checked, repetitions too. Returns what removes the handler. */
  onMessage (handler: (message: AffinityMessage, from: string) => void): () => void { return this.#topic.onMessage(handler) }

  /** Others may ask for this row from now on. @returns how a claim names it */
  provide (row: AffinityRow): RowReference {
    const bytes = encodeRow(row)
    const hash = sha256(bytes)
    this.#blobs.add(hash, bytes)
    return { site: row.site, hash, bytes: bytes.byteLength }
  }

  /**
   * A row that somebody names and nobody brought here, from those who have it.
   * @throws {ProtocolError} nobody gives it
   * @throws {DecodeError} it is none, or of another site or charter
   */
  async fetch ({ site, hash, bytes }: RowReference, providers: readonly string[], options: AbortOptions = {}): Promise<AffinityRow> {
    const own = this.#components.peerId.toString()
    const others = providers.filter(peer => peer !== own).slice(0, MAX_BLOB_PROVIDERS)
    if (others.length === 0) throw new ProtocolError(`nobody to ask for the row of ${site}`, { code: 'ERR_UNREACHABLE' })
    const row = decodeRow(await this.#blobs.fetch(hash, bytes, others, options))
    const problem = this.#problem({ row }, site)
    if (problem !== undefined) throw new DecodeError(`row ${hash.slice(0, 12)}: ${problem}`)
    return row
  }

  #judge (message: AffinityMessage, from: string): Verdict {
    if (this.#problem(message, from) !== undefined) return 'reject'
    // repetitions are for those who come late; too many of them are nobody's fault who forwards them
    if (!this.#budgets.take(from)) return 'ignore'
    this.#budgets.spend(from, encodeAffinity(message).byteLength)
    return 'row' in message && !this.#knows(message.row) ? 'ignore' : 'accept'
  }

  /** Why nobody may say this, if so. */
  #problem (message: AffinityMessage, from: string): string | undefined {
    const { merge, tasks } = this.#init
    const { charter } = 'row' in message ? message.row : 'roll' in message ? message.roll : message.claim
    if (charter !== merge) return `it is about charter ${charter.slice(0, 12)}, not ${merge.slice(0, 12)}`
    if (!('row' in message)) return undefined
    if (message.row.site !== from) return `it is a row of ${message.row.site}, not of ${from}`
    const places = message.row.tasks.map(task => tasks.indexOf(task))
    return places.every((place, i) => place > (places[i - 1] ?? -1)) ? undefined : 'its tasks are not the charter\'s, in their order'
  }

  /** Provides it from now on, unless its site has said enough. */
  #knows (row: AffinityRow): boolean {
    const hash = sha256(encodeRow(row))
    const rows = this.#rows.get(row.site) ?? new Set<string>()
    if (!rows.has(hash)) {
      if (rows.size === ROWS_PER_SITE || (rows.size === 0 && this.#rows.size === MAX_PEERS)) return false
      this.#rows.set(row.site, rows.add(hash))
    }
    this.provide(row)
    return true
  }
}
