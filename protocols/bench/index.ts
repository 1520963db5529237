/**
 * Bench: peers offer the models that they have trained. A card is gossiped and repeated for those who come late; the weights
 * are fetched by their hash, from the author and from whoever has them already. Nobody waits for anybody. Wire format: ./README.md.
 */
import { DecodeError, InvalidParametersError } from '../../src/errors.ts'
import { acquaint, leadsTo } from '../acquaint.ts'
import { sha256 } from '../blob/index.ts'
import { PeerBudgets } from '../budget.ts'
import { BENCH_REFUSALS, BUDGETS, MAX_BENCH_CARD_BYTES, MAX_BLOB_PROVIDERS, MAX_PEERS } from '../limits.ts'
import { Topic } from '../pubsub.ts'
import { benchTopic } from './constants.ts'
import { decodeBenchCard, encodeBenchCard } from './messages.ts'
import type { AbortOptions } from '@libp2p/interface'
import type { BenchCard } from './messages.ts'
import type { BlobService } from '../blob/index.ts'
import type { ModelCard } from '../../src/bench/card.ts'
import type { ProtocolComponents } from '../components.ts'
import type { Verdict } from '../pubsub.ts'

export { benchTopic } from './constants.ts'
export { decodeBenchCard, encodeBenchCard } from './messages.ts'
export type { BenchCard } from './messages.ts'

export interface BenchInit {
  readonly consortium: string
  /** Hash of the charter that the models are trained under. */
  readonly charter: string
  /** Its tasks: a model answers these, or some of them. */
  readonly tasks: readonly string[]
  /** Models that one peer may offer: as many as the charter has architectures. */
  readonly modelsPerPeer: number
  /** Largest weights that are fetched. */
  readonly maxBytes: number
  /** What this peer is called. */
  readonly name: string
  /** Where it can be dialled now. */
  readonly addresses: () => readonly string[]
  /** Time between two repetitions of its cards, ms. */
  readonly everyMs: number
  /** ms, of a clock that never goes back. Default: the process's. */
  readonly now?: () => number
}

/** A card, or what should have been one, that is not used; in one line. */
export interface CardRefusal {
  /** Who signed it. */
  readonly peer: string
  /** Undefined where it could not be read. */
  readonly modelId?: string
  readonly reason: string
}

export class BenchService {
  readonly #components: ProtocolComponents
  readonly #blobs: BlobService
  readonly #init: BenchInit
  readonly #topic: Topic<BenchCard>
  readonly #budgets: PeerBudgets
  /** A peer whose cards are refused again and again is not told of for ever. */
  readonly #lines: PeerBudgets
  /** peer -> model -> its newest card. */
  readonly #known = new Map<string, Map<string, BenchCard>>()
  /** model -> its newest card of this peer, and the weights. */
  readonly #own = new Map<string, { readonly card: ModelCard, readonly weights: Uint8Array }>()
  /** peer -> addresses that it told, and when they are kept; of peers with a known card, so at most MAX_PEERS. */
  readonly #told = new Map<string, { readonly addresses: string, readonly kept: Promise<void> }>()
  readonly #onRefused = new Set<(refusal: CardRefusal) => void>()
  #timer: NodeJS.Timeout | undefined

  constructor (components: ProtocolComponents, blobs: BlobService, init: BenchInit) {
    this.#components = components
    this.#blobs = blobs
    this.#init = init
    this.#budgets = new PeerBudgets(BUDGETS.bench, init.now)
    this.#lines = new PeerBudgets(BENCH_REFUSALS, init.now)
    this.#topic = new Topic(components, {
      name: benchTopic(init.consortium, init.charter),
      maxBytes: MAX_BENCH_CARD_BYTES,
      encode: encodeBenchCard,
      decode: decodeBenchCard,
      check: (offer, from) => this.#judge(offer, from),
      onUnreadable: (reason, from) => { this.#refuse({ peer: from, reason }) }
    })
    this.#topic.onMessage(({ card: { peer }, addresses }) => { this.#learn(peer, addresses) })
  }

  start (): void {
    this.#topic.start()
    this.#timer ??= setInterval(() => { void this.#repeat() }, this.#init.everyMs).unref()
  }

  stop (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#topic.stop()
  }

  /** Peers that listen and that one reaches now. */
  get subscribers (): string[] { return this.#topic.subscribers }

  /** The newest card of every model that others offer. */
  get cards (): BenchCard[] { return [...this.#known.values()].flatMap(models => [...models.values()]) }

  /**
   * Offers a model, from now on and to those who come late: its card is repeated, its weights are provided.
   * @returns how many peers the card went to at once
   * @throws {InvalidParametersError} the card is not of these weights, not of this peer or charter, or of an older version
   */
  async publish (card: ModelCard, weights: Uint8Array): Promise<number> {
    const offer = this.#offer(card)
    const problem = this.#problem(offer, this.#components.peerId.toString())
    if (problem !== undefined) throw new InvalidParametersError(`not published: ${problem}`)
    if (card.bytes !== weights.byteLength || card.sha256 !== sha256(weights)) throw new InvalidParametersError(`not published: the card of ${card.modelId} describes other weights`)
    const before = this.#own.get(card.modelId)
    if (before !== undefined && before.card.version >= card.version) throw new InvalidParametersError(`not published: version ${card.version} of ${card.modelId} after version ${before.card.version}`)
    if (before === undefined && this.#own.size === this.#init.modelsPerPeer) throw new InvalidParametersError(`not published: ${card.modelId} would be more than ${this.#init.modelsPerPeer} models of one peer`)
    this.#own.set(card.modelId, { card, weights })
    this.#blobs.add(card.sha256, weights)
    return await this.#topic.publish(offer)
  }

  /** Every card that was checked, repetitions too. Returns what removes the handler. */
  onCard (handler: (offer: BenchCard) => void): () => void { return this.#topic.onMessage(handler) }

  /** Cards that are not used. Returns what removes the handler. */
  onRefused (handler: (refusal: CardRefusal) => void): () => void {
    this.#onRefused.add(handler)
    return () => { this.#onRefused.delete(handler) }
  }

  /**
   * The weights of a card: as many bytes as it says, with the hash that it says.
   * @throws {ProtocolError} nobody gives them; the message says why for each
   */
  async fetch ({ peer, sha256: hash, bytes, modelId }: ModelCard, options: AbortOptions = {}): Promise<Uint8Array> {
    if (bytes > this.#init.maxBytes) throw new DecodeError(`${modelId} of ${peer}: ${bytes} bytes, at most ${this.#init.maxBytes}`)
    await this.#told.get(peer)?.kept // or it could not be dialled yet
    const others = this.#topic.subscribers.filter(other => other !== peer)
    return await this.#blobs.fetch(hash, bytes, [peer, ...others].slice(0, MAX_BLOB_PROVIDERS), options)
  }

  #offer (card: ModelCard): BenchCard {
    const { name, charter, addresses } = this.#init
    return { card, name, charter, addresses: addresses() }
  }

  /** Weights that nobody asked for lately may have left the store, which others' have filled. */
  async #repeat (): Promise<void> {
    for (const { card, weights } of this.#own.values()) {
      this.#blobs.add(card.sha256, weights)
      await this.#topic.publish(this.#offer(card)).catch((err: unknown) => {
        this.#components.logger.forComponent('fmtl:bench').error('card of %s not repeated - %e', card.modelId, err as Error)
      })
    }
  }

  #judge (offer: BenchCard, from: string): Verdict {
    const { card } = offer
    const { peer, modelId } = card
    const refuse = (verdict: Verdict, reason: string): Verdict => {
      this.#refuse({ peer: from, modelId, reason })
      return verdict
    }
    const problem = this.#problem(offer, from)
    if (problem !== undefined) return refuse('reject', problem)
    // repetitions are for those who come late; too many of them are nobody's fault who forwards them
    if (!this.#budgets.take(from)) return refuse('ignore', `more than ${BUDGETS.bench.requestsPerMinute} cards a minute`)
    const models = this.#known.get(peer) ?? new Map<string, BenchCard>()
    const known = models.get(modelId)?.card
    // an old message may be played again by anybody who forwards
    if (known !== undefined && card.version < known.version) return refuse('ignore', `version ${card.version} of ${modelId}, version ${known.version} is known`)
    if (known?.version === card.version && card.sha256 !== known.sha256) return refuse('ignore', `two different models are version ${card.version} of ${modelId}`)
    if (known === undefined && models.size === this.#init.modelsPerPeer) return refuse('ignore', `${modelId} would be more than ${this.#init.modelsPerPeer} models of one peer`)
    if (models.size === 0 && this.#known.size === MAX_PEERS) return refuse('ignore', `cards of more than ${MAX_PEERS} peers`)
    this.#known.set(peer, models.set(modelId, offer))
    return 'accept'
  }

  /** Why nobody may say this, if so. */
  #problem ({ card, charter, addresses }: BenchCard, from: string): string | undefined {
    const { charter: own, tasks, maxBytes } = this.#init
    const { peer, modelId, bytes } = card
    if (peer !== from) return `${modelId} is a model of ${peer}, not of ${from}`
    if (charter !== own) return `${modelId} is of charter ${charter.slice(0, 12)}, not ${own.slice(0, 12)}`
    if (bytes > maxBytes) return `${modelId} has ${bytes} bytes, at most ${maxBytes}`
    const places = card.tasks.map(({ id }) => tasks.indexOf(id))
    if (!places.every((place, i) => place > (places[i - 1] ?? -1))) return `the tasks of ${modelId} are not the charter's, in their order`
    return addresses.every(address => leadsTo(address, from)) ? undefined : `${modelId} comes with an address of somebody else`
  }

  #refuse (refusal: CardRefusal): void {
    if (!this.#lines.take(refusal.peer)) return
    for (const handler of this.#onRefused) handler(refusal)
  }

  #learn (peer: string, addresses: readonly string[]): void {
    if (addresses.length === 0 || this.#told.get(peer)?.addresses === addresses.join()) return
    const kept = acquaint(this.#components, peer, addresses, 'bench').catch((err: unknown) => {
      this.#components.logger.forComponent('fmtl:bench')('%s: %e', peer, err as Error)
    })
    this.#told.set(peer, { addresses: addresses.join(), kept })
  }
}
