/**
 * Fetches the models that a peer's cards offer, a few at a time, and hands each to whoever judges it. Of a model only the newest
 * version is fetched. What cannot be had is tried again when its card is repeated, a few times, ever later; then it is left alone.
 * Nobody waits for it but whoever asks to.
 */
import { BackendError, FmtlError } from '../../src/errors.ts'
import { Waiters } from '../waiters.ts'
import type { Considered } from '../../src/bench/peer-trainer.ts'
import type { ModelCard } from '../../src/bench/card.ts'

export interface PullsInit {
  /** By the card alone: whether it is worth fetching. */
  readonly wanted: (card: ModelCard) => Promise<{ readonly wanted: boolean, readonly reason: string }>
  /** As many bytes as the card says, with the hash that it says. */
  readonly fetch: (card: ModelCard, signal: AbortSignal) => Promise<Uint8Array>
  readonly consider: (card: ModelCard, weights: Float32Array) => Promise<Considered>
  readonly onConsidered: (card: ModelCard, considered: Considered) => void
  /** It was not looked at: by its card it is not wanted, or its weights did not come. */
  readonly onRefused: (card: ModelCard, reason: string) => void
  /** ms, of a clock that never goes back. */
  readonly now: () => number
  readonly signal: AbortSignal
  /** What is on the bench already, from before a restart. */
  readonly held: readonly Held[]
}

/** Peer, model and version. */
export type Held = readonly [peer: string, modelId: string, version: number]

export interface PullFigures {
  readonly kept: number
  readonly refused: number
  /** Under way, or next. */
  readonly pending: number
  /** Given up, or waiting for another try. */
  readonly failed: number
}

type State = 'next' | 'pulling' | 'kept' | 'refused' | 'failed'

interface Pull {
  /** Undefined until the card of what is held is heard again. */
  card: ModelCard | undefined
  version: number
  state: State
  /** Of this version. */
  tries: number
  /** Of a failed one, when it may be tried again. */
  retryAt: number
}

/** Two transfers hide each other's round trips; more would only share the line. */
const AT_ONCE = 2
/** A peer that gives something else than it announced three times does so a fourth time. */
const TRIES = 3
const RETRY_MS = 2_000
/** Dial, open and three answers that are late; and from then on at the pace below which a stream is reset. */
const PULL_MS = 30_000
const BYTES_PER_MS = 16

export class Pulls {
  readonly #init: PullsInit
  /** peer and model -> its newest card, and how far it is. */
  readonly #pulls = new Map<string, Pull>()
  readonly #waiters = new Waiters()
  #active = 0

  constructor (init: PullsInit) {
    this.#init = init
    for (const [peer, modelId, version] of init.held) this.#pulls.set(keyOf({ peer, modelId }), { card: undefined, version, state: 'kept', tries: 0, retryAt: 0 })
  }

  get figures (): PullFigures {
    const count = (...states: State[]): number => [...this.#pulls.values()].filter(({ state }) => states.includes(state)).length
    return { kept: count('kept'), refused: count('refused'), pending: count('next', 'pulling'), failed: count('failed') }
  }

  /** Cards of models that are under way, or next. */
  get pending (): readonly ModelCard[] { return [...this.#pulls.values()].flatMap(({ state, card }) => card !== undefined && (state === 'next' || state === 'pulling') ? [card] : []) }

  /** Models that were kept. */
  get held (): readonly Held[] { return [...this.#pulls].flatMap(([key, { state, version }]) => state === 'kept' ? [[...key.split(' ') as [string, string], version] as const] : []) }

  /** A card has come in, for the first time or again. */
  offer (card: ModelCard): void {
    if (this.#init.signal.aborted) return
    const known = this.#pulls.get(keyOf(card))
    const newer = known === undefined || card.version > known.version
    if (!newer && !(card.version === known.version && known.state === 'failed' && known.tries < TRIES && this.#init.now() >= known.retryAt)) return
    this.#pulls.set(keyOf(card), { card, version: card.version, state: 'next', tries: newer ? 0 : known.tries, retryAt: 0 })
    this.#pump()
  }

  /** Resolves when nothing is under way. @throws the signal's reason */
  async idle (signal: AbortSignal): Promise<void> { await this.#waiters.until(() => this.#active === 0 && this.pending.length === 0, signal) }

  #pump (): void {
    for (const pull of this.#pulls.values()) {
      if (this.#active === AT_ONCE) return
      if (pull.state !== 'next' || pull.card === undefined) continue
      this.#active++
      pull.state = 'pulling'
      void this.#pull(pull, pull.card).finally(() => {
        this.#active--
        this.#pump()
        this.#waiters.wake()
      })
    }
  }

  async #pull (pull: Pull, card: ModelCard): Promise<void> {
    const { wanted, fetch, consider, onConsidered, onRefused, now, signal } = this.#init
    try {
      const wish = await wanted(card)
      if (!wish.wanted) {
        pull.state = 'refused'
        return onRefused(card, wish.reason)
      }
      const late = AbortSignal.timeout(timeFor(card))
      const bytes = await fetch(card, AbortSignal.any([signal, late]))
      // a copy: the store goes on giving the bytes to others
      const considered = await consider(card, new Float32Array(bytes.slice().buffer))
      pull.state = considered.kept ? 'kept' : 'refused'
      onConsidered(card, considered)
    } catch (error) {
      pull.state = 'failed'
      if (signal.aborted) return
      pull.tries++
      pull.retryAt = now() + RETRY_MS * 2 ** pull.tries
      if (error instanceof BackendError) pull.tries-- // not this model's fault: whoever computes next is asked again
      else onRefused(card, `${reasonOf(error, card)}; ${pull.tries < TRIES ? `try ${pull.tries} of ${TRIES}` : `given up after ${TRIES} tries`}`)
    }
  }
}

/** Neither peer ids nor the names of models have spaces. */
function keyOf ({ peer, modelId }: Pick<ModelCard, 'peer' | 'modelId'>): string { return `${peer} ${modelId}` }

/** ms */
function timeFor ({ bytes }: ModelCard): number { return PULL_MS + Math.ceil(bytes / BYTES_PER_MS) }

function reasonOf (error: unknown, card: ModelCard): string {
  if (error instanceof FmtlError) return error.message
  if (error instanceof DOMException && error.name === 'TimeoutError') return `${card.bytes} bytes did not come within ${Math.round(timeFor(card) / 1000)} s`
  throw error
}
