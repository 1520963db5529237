/**
 * Announce: hosts tell the consortium what they offer, everybody keeps the cards that are fresh. Cards are aged by our own
 * clock from their arrival, so a host with a wrong clock is not lost. Wire format: ./README.md.
 */
import { acquaint, leadsTo } from '../acquaint.ts'
import { CARD_EXPIRY_MS, MAX_CARD_BYTES } from '../limits.ts'
import { Topic } from '../pubsub.ts'
import { hostsTopic } from './constants.ts'
import { decodeCard, encodeCard } from './messages.ts'
import type { HostCard } from '../../src/backbone/frames.ts'
import type { ProtocolComponents } from '../components.ts'
import type { Verdict } from '../pubsub.ts'

export { hostsTopic } from './constants.ts'
export { decodeCard, encodeCard } from './messages.ts'

export interface AnnounceInit {
  consortium: string
  /** Age at which a card is forgotten, ms. Default CARD_EXPIRY_MS. */
  expiryMs?: number
  /** Connect to a host when its first card arrives, so that the mesh outlives the bootstrap peer. Default true. */
  connect?: boolean
}

interface Entry {
  card: HostCard
  timer: NodeJS.Timeout
}

export class AnnounceService {
  readonly #components: ProtocolComponents
  readonly #init: AnnounceInit
  readonly #topic: Topic<HostCard>
  readonly #entries = new Map<string, Entry>()
  readonly #onCard = new Set<(card: HostCard) => void>()
  readonly #onExpired = new Set<(card: HostCard) => void>()

  constructor (components: ProtocolComponents, init: AnnounceInit) {
    this.#components = components
    this.#init = init
    this.#topic = new Topic(components, { name: hostsTopic(init.consortium), maxBytes: MAX_CARD_BYTES, encode: encodeCard, decode: decodeCard, check: judge })
    this.#topic.onMessage(card => { this.#receive(card) })
  }

  start (): void {
    this.#topic.start()
  }

  stop (): void {
    this.#topic.stop()
    for (const { timer } of this.#entries.values()) clearTimeout(timer)
    this.#entries.clear()
  }

  /** Cards of other hosts that are fresh. */
  get hosts (): HostCard[] {
    return [...this.#entries.values()].map(({ card }) => card)
  }

  /** Peers that listen to cards and that one reaches now. */
  get subscribers (): string[] {
    return this.#topic.subscribers
  }

  /** @returns how many peers it went to at once */
  async publish (card: HostCard): Promise<number> {
    return await this.#topic.publish(card)
  }

  /** Every card that is newer than the last of its host. Returns what removes the handler. */
  onCard (handler: (card: HostCard) => void): () => void {
    this.#onCard.add(handler)
    return () => { this.#onCard.delete(handler) }
  }

  onExpired (handler: (card: HostCard) => void): () => void {
    this.#onExpired.add(handler)
    return () => { this.#onExpired.delete(handler) }
  }

  #receive (card: HostCard): void {
    const known = this.#entries.get(card.host)
    if (known != null && known.card.sentAt >= card.sentAt) return
    clearTimeout(known?.timer)
    const timer = setTimeout(() => {
      this.#entries.delete(card.host)
      for (const handler of this.#onExpired) handler(card)
    }, this.#init.expiryMs ?? CARD_EXPIRY_MS)
    timer.unref()
    this.#entries.set(card.host, { card, timer })
    void this.#learn(card, known == null || known.card.addresses.join() !== card.addresses.join()).catch(err => {
      this.#components.logger.forComponent('fmtl:announce')('%s: %e', card.host, err)
    }).finally(() => { for (const handler of this.#onCard) handler(card) })
  }

  /** The host can be dialled by its id from now on. One that found a relay is dialled again, at the address that it has now. */
  async #learn (card: HostCard, moved: boolean): Promise<void> {
    await acquaint(this.#components, card.host, card.addresses, moved && this.#init.connect !== false ? 'host' : undefined)
  }
}

/** The host speaks for itself only, and its addresses lead to itself. */
function judge (card: HostCard, from: string): Verdict {
  if (card.host !== from) return 'reject'
  return card.addresses.every(address => leadsTo(address, from)) ? 'accept' : 'reject'
}
