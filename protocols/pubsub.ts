/**
 * A typed gossip topic: what is published fits, what arrives was checked before it is passed on. The only file that
 * knows gossipsub's types.
 *
 * A message above the receiver's limit would cut the pair silently and for good, so a too large one is refused here.
 */
import { TopicValidatorResult } from '@libp2p/gossipsub'
import { DecodeError, FmtlError, InvalidParametersError } from '../src/errors.ts'
import { MAX_GOSSIP_BYTES } from './limits.ts'
import type { GossipSub, Message } from '@libp2p/gossipsub'
import type { ComponentLogger } from '@libp2p/interface'

export type PubSub = GossipSub

/** accept: deliver and forward; ignore: neither; reject: neither, and lower the score of who forwarded it. */
export type Verdict = 'accept' | 'ignore' | 'reject'

export interface TopicInit<T> {
  name: string
  /** At most MAX_GOSSIP_BYTES. */
  maxBytes: number
  encode: (value: T) => Uint8Array
  /** Throws DecodeError. */
  decode: (bytes: Uint8Array) => T
  /** `from` is the peer that signed the message. Default: accept. */
  check?: (value: T, from: string) => Verdict
  /** Hears in one line why a message of this peer could not even be read. */
  onUnreadable?: (reason: string, from: string) => void
}

export interface TopicComponents {
  pubsub: PubSub
  logger: ComponentLogger
  /** Whether what this peer publishes is listened to. Default: everybody's. */
  hears?: (peer: string) => boolean
}

const VERDICTS = { accept: TopicValidatorResult.Accept, ignore: TopicValidatorResult.Ignore, reject: TopicValidatorResult.Reject }

/**
 * Without these a spammer keeps its place in every mesh; with them it is out after 3 heartbeats of 10 invalid messages.
 * Delivery penalties are off: hosts speak every 10 s, and a quiet peer is no bad peer.
 */
export const TOPIC_SCORE = {
  topicWeight: 1,
  timeInMeshWeight: 0.01,
  timeInMeshQuantum: 1000,
  timeInMeshCap: 300,
  firstMessageDeliveriesWeight: 1,
  firstMessageDeliveriesDecay: 0.9,
  firstMessageDeliveriesCap: 10,
  meshMessageDeliveriesWeight: 0,
  meshMessageDeliveriesDecay: 0.9,
  meshMessageDeliveriesCap: 10,
  meshMessageDeliveriesThreshold: 1,
  meshMessageDeliveriesWindow: 10,
  meshMessageDeliveriesActivation: 60_000,
  meshFailurePenaltyWeight: 0,
  meshFailurePenaltyDecay: 0.9,
  invalidMessageDeliveriesWeight: -20,
  invalidMessageDeliveriesDecay: 0.97
}

export class Topic<T> {
  readonly name: string
  readonly #components: TopicComponents
  readonly #init: TopicInit<T>
  readonly #handlers = new Set<(value: T, from: string) => void>()
  /** What the validator decoded, for the delivery that follows it. */
  readonly #decoded = new WeakMap<Message, T>()
  #started = false

  constructor (components: TopicComponents, init: TopicInit<T>) {
    if (init.maxBytes > MAX_GOSSIP_BYTES) throw new InvalidParametersError(`topic ${init.name}: at most ${MAX_GOSSIP_BYTES} bytes a message`)
    this.#components = components
    this.#init = init
    this.name = init.name
  }

  start (): void {
    if (this.#started) return
    this.#started = true
    const { pubsub } = this.#components
    scoreTopic(pubsub, this.name)
    pubsub.topicValidators.set(this.name, (_propagator, message) => VERDICTS[this.#judge(message)])
    pubsub.addEventListener('message', this.#onMessage)
    pubsub.subscribe(this.name)
  }

  stop (): void {
    if (!this.#started) return
    this.#started = false
    const { pubsub } = this.#components
    pubsub.removeEventListener('message', this.#onMessage)
    pubsub.unsubscribe(this.name)
    pubsub.topicValidators.delete(this.name)
  }

  /** Peers that listen and that a message reaches now. */
  get subscribers (): string[] {
    return reachable(this.#components.pubsub, this.name)
  }

  /**
   * @returns how many peers it went to at once; 0 is no error, nobody may be there yet
   * @throws {InvalidParametersError} the message is too large or breaks the topic's own rules
   */
  async publish (value: T): Promise<number> {
    const bytes = this.#init.encode(value)
    if (bytes.byteLength > this.#init.maxBytes) {
      throw new InvalidParametersError(`topic ${this.name}: message of ${bytes.byteLength} bytes, at most ${this.#init.maxBytes}`)
    }
    const { recipients } = await this.#components.pubsub.publish(this.name, bytes)
    return recipients.length
  }

  /** Returns what removes the handler. */
  onMessage (handler: (value: T, from: string) => void): () => void {
    this.#handlers.add(handler)
    return () => { this.#handlers.delete(handler) }
  }

  #judge (message: Message): Verdict {
    if (message.type !== 'signed') return 'reject'
    try {
      if (message.data.byteLength > this.#init.maxBytes) throw new DecodeError(`message of ${message.data.byteLength} bytes, at most ${this.#init.maxBytes}`)
      // not the forwarder's fault: it may know a member that we have not heard of yet
      if (this.#components.hears?.(message.from.toString()) === false) return 'ignore'
      const value = this.#init.decode(message.data)
      const verdict = this.#init.check?.(value, message.from.toString()) ?? 'accept'
      if (verdict === 'accept') this.#decoded.set(message, value)
      return verdict
    } catch (err) {
      if (err instanceof FmtlError) {
        this.#init.onUnreadable?.(err.message, message.from.toString())
        return 'reject'
      }
      this.#components.logger.forComponent('fmtl:pubsub').error('%s: validator failed - %e', this.name, err)
      return 'ignore'
    }
  }

  readonly #onMessage = (event: CustomEvent<Message>): void => {
    const message = event.detail
    if (message.topic !== this.name || message.type !== 'signed') return
    const value = this.#decoded.get(message)
    if (value === undefined) return
    for (const handler of this.#handlers) handler(value, message.from.toString())
  }
}

/**
 * Subscribers of a topic to whom our stream is open. The library knows a subscriber a moment earlier, and drops what is
 * published to it in that moment without a word.
 */
export function reachable (pubsub: PubSub, name: string): string[] {
  const router = pubsub as PubSub & { streamsOutbound?: ReadonlyMap<string, unknown> }
  return pubsub.getSubscribers(name).map(peer => peer.toString()).filter(peer => router.streamsOutbound?.has(peer) ?? true)
}

/** Topics are known only once a consortium and its models are, so their score parameters are added to the running router. */
function scoreTopic (pubsub: PubSub, name: string): void {
  const router = pubsub as PubSub & { score?: { params: { topics: Record<string, typeof TOPIC_SCORE> } } }
  if (router.score != null) router.score.params.topics[name] = TOPIC_SCORE
}
