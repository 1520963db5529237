/**
 * What one peer may ask of one protocol: a bucket of requests and one of bytes. Each holds a minute's worth and fills at that
 * pace, so that an honest burst passes at full speed and a flood is cut to the pace.
 */
import { MAX_BUDGET_PEERS } from './limits.ts'

export interface Budget {
  readonly requestsPerMinute: number
  /** Of requests and answers together. */
  readonly bytesPerMinute: number
}

interface Buckets { requests: number, bytes: number, at: number }

const MINUTE_MS = 60_000

export class PeerBudgets {
  readonly #budget: Budget
  readonly #now: () => number
  /** In order of last use; who is not in it has all of its budget. */
  readonly #peers = new Map<string, Buckets>()

  /** @param now - ms, of a clock that never goes back */
  constructor (budget: Budget, now: () => number = () => performance.now()) {
    this.#budget = budget
    this.#now = now
  }

  /** Peers that are remembered. */
  get size (): number { return this.#peers.size }

  /** Whether a request of this peer is answered now. Then it counts. */
  take (peer: string): boolean {
    const buckets = this.#of(peer)
    if (buckets.requests < 1 || buckets.bytes <= 0) return false
    buckets.requests--
    return true
  }

  /** What a request and its answer came to. It may be more than was left: then the peer waits for longer. */
  spend (peer: string, bytes: number): void { this.#of(peer).bytes -= bytes }

  #of (peer: string): Buckets {
    const { requestsPerMinute, bytesPerMinute } = this.#budget
    const now = this.#now()
    const old = this.#peers.get(peer) ?? { requests: requestsPerMinute, bytes: bytesPerMinute, at: now }
    const minutes = (now - old.at) / MINUTE_MS
    const buckets = {
      requests: Math.min(requestsPerMinute, old.requests + minutes * requestsPerMinute),
      bytes: Math.min(bytesPerMinute, old.bytes + minutes * bytesPerMinute),
      at: now
    }
    this.#peers.delete(peer)
    this.#peers.set(peer, buckets)
    for (const longestAgo of this.#peers.keys()) {
      if (this.#peers.size <= MAX_BUDGET_PEERS) break
      this.#peers.delete(longestAgo)
    }
    return buckets
  }
}
