/**
 * Delta: a host tells the consortium what one round changed. A payload up to MAX_INLINE_BYTES rides along, a larger one is
 * fetched by its hash from the host and from whoever has it already. Wire format: ./README.md.
 */
import { InvalidParametersError, ProtocolError } from '../../src/errors.ts'
import { sha256 } from '../blob/index.ts'
import { MAX_BLOB_PROVIDERS, MAX_GOSSIP_BYTES, MAX_INLINE_BYTES, MAX_ROUND_LEAP, ROUND_MEMORY } from '../limits.ts'
import { Topic } from '../pubsub.ts'
import { deltaTopic } from './constants.ts'
import { decodeDelta, encodeDelta } from './messages.ts'
import type { DeltaManifest } from '../../src/backbone/frames.ts'
import type { BlobService } from '../blob/index.ts'
import type { ProtocolComponents } from '../components.ts'
import type { Verdict } from '../pubsub.ts'
import type { DeltaAnnouncement } from './messages.ts'
import type { AbortOptions } from '@libp2p/interface'

export { deltaTopic } from './constants.ts'
export { decodeDelta, encodeDelta } from './messages.ts'
export type { DeltaAnnouncement } from './messages.ts'

export interface DeltaInit {
  consortium: string
  model: string
}

/** Two different deltas of one host for one round, both signed by it. */
export interface Equivocation {
  readonly host: string
  readonly round: number
  readonly hashes: readonly [string, string]
}

/** Bytes that have the manifest's size and hash. */
export type FetchPayload = (options?: AbortOptions) => Promise<Uint8Array>

export class DeltaService {
  readonly #components: ProtocolComponents
  readonly #blobs: BlobService
  readonly #init: DeltaInit
  readonly #topic: Topic<DeltaAnnouncement>
  /** host -> round -> the first hash seen, then at most one other. */
  readonly #seen = new Map<string, Map<number, string[]>>()
  readonly #onDelta = new Set<(manifest: DeltaManifest, fetchPayload: FetchPayload) => void>()
  readonly #onEquivocation = new Set<(found: Equivocation) => void>()

  constructor (components: ProtocolComponents, blobs: BlobService, init: DeltaInit) {
    this.#components = components
    this.#blobs = blobs
    this.#init = init
    this.#topic = new Topic(components, {
      name: deltaTopic(init.consortium, init.model),
      maxBytes: MAX_GOSSIP_BYTES,
      encode: encodeDelta,
      decode: decodeDelta,
      check: (announcement, from) => this.#judge(announcement, from)
    })
    this.#topic.onMessage(announcement => { this.#receive(announcement) })
  }

  start (): void {
    this.#topic.start()
  }

  stop (): void {
    this.#topic.stop()
  }

  /** Peers that listen to deltas of this model and that one reaches now. */
  get subscribers (): string[] {
    return this.#topic.subscribers
  }

  /**
   * @returns how many peers the manifest went to at once
   * @throws {InvalidParametersError} manifest and payload do not belong together
   */
  async publish (manifest: DeltaManifest, payload: Uint8Array): Promise<number> {
    if (manifest.host !== this.#components.peerId.toString()) throw new InvalidParametersError('a delta is published by its own host')
    if (manifest.model !== this.#init.model) throw new InvalidParametersError(`delta of model ${manifest.model} on the topic of ${this.#init.model}`)
    if (manifest.bytes !== payload.byteLength || manifest.hash !== sha256(payload)) throw new InvalidParametersError('the manifest describes another payload')
    if (payload.byteLength <= MAX_INLINE_BYTES) return await this.#topic.publish({ manifest, payload })
    this.#blobs.add(manifest.hash, payload)
    return await this.#topic.publish({ manifest })
  }

  /** Returns what removes the handler. */
  onDelta (handler: (manifest: DeltaManifest, fetchPayload: FetchPayload) => void): () => void {
    this.#onDelta.add(handler)
    return () => { this.#onDelta.delete(handler) }
  }

  onEquivocation (handler: (found: Equivocation) => void): () => void {
    this.#onEquivocation.add(handler)
    return () => { this.#onEquivocation.delete(handler) }
  }

  #judge ({ manifest, payload }: DeltaAnnouncement, from: string): Verdict {
    const { host, round, hash, model } = manifest
    if (host !== from || model !== this.#init.model) return 'reject'
    if (payload != null && sha256(payload) !== hash) return 'reject'
    const rounds = this.#seen.get(host) ?? new Map<number, string[]>()
    const newest = Math.max(...rounds.keys(), -1)
    if (newest >= 0 && (round > newest + MAX_ROUND_LEAP || round < newest - ROUND_MEMORY)) return 'ignore'
    const hashes = rounds.get(round) ?? []
    // a second hash is passed on once, so that everybody sees both
    if (hashes.includes(hash) || hashes.length === 2) return 'ignore'
    rounds.set(round, [...hashes, hash])
    for (const old of rounds.keys()) if (old < round - ROUND_MEMORY) rounds.delete(old)
    this.#seen.set(host, rounds)
    return 'accept'
  }

  #receive ({ manifest, payload }: DeltaAnnouncement): void {
    const { host, round, hash } = manifest
    const first = this.#seen.get(host)?.get(round)?.[0] ?? hash
    if (first !== hash) {
      for (const handler of this.#onEquivocation) handler({ host, round, hashes: [first, hash] })
      return
    }
    const fetchPayload: FetchPayload = async (options = {}) => payload ?? await this.#fetch(manifest, options)
    for (const handler of this.#onDelta) handler(manifest, fetchPayload)
  }

  async #fetch (manifest: DeltaManifest, options: AbortOptions): Promise<Uint8Array> {
    const own = this.#components.peerId.toString()
    const others = this.#topic.subscribers.filter(peer => peer !== manifest.host && peer !== own)
    const bytes = await this.#blobs.fetch(manifest.hash, manifest.bytes, [manifest.host, ...others].slice(0, MAX_BLOB_PROVIDERS), options)
    if (bytes.byteLength !== manifest.bytes) throw new ProtocolError(`delta of ${manifest.host}: ${bytes.byteLength} bytes, announced were ${manifest.bytes}`)
    return bytes
  }
}
