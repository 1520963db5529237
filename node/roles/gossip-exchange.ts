/** The hosts' delta exchange over gossip and blobs: manifests reach everybody, payloads are fetched, verified and kept per round. */
import { Waiters } from '../waiters.ts'
import { packUnits, unpackUnits } from '../../src/compression/index.ts'
import { sha256InPieces } from '../../src/hashing.ts'
import type { Collected, DeltaExchange, PackedDelta, RoundDelta } from '../../src/federation/exchange.ts'
import type { DeltaManifest } from '../../src/backbone/frames.ts'
import type { FetchPayload, Protocols } from '../../protocols/index.ts'

export interface GossipExchangeInit {
  readonly self: string
  readonly model: string
  readonly codec: DeltaManifest['codec']
  /** Floats per unit that a delta of this backbone has. */
  readonly unitSizes: Readonly<Record<string, number>>
  readonly onProblem: (line: string) => void
}

/** Rounds of a peer that are kept: it may be a little ahead of us. */
const KEPT_ROUNDS = 4
/** A payload that has not come by then counts as lost; the next round brings another. */
const FETCH_TIMEOUT_MS = 30_000

export class GossipExchange implements DeltaExchange {
  readonly #protocols: Protocols
  readonly #init: GossipExchangeInit
  readonly #deltas = new Map<string, Map<number, RoundDelta>>()
  readonly #gone = new Set<string>()
  readonly #waiters = new Waiters()
  readonly #ends: ReadonlyArray<() => void>
  readonly #merged: Record<string, number> = {}

  constructor (protocols: Protocols, init: GossipExchangeInit) {
    this.#protocols = protocols
    this.#init = init
    this.#ends = [
      protocols.delta.onDelta((manifest, fetchPayload) => {
        this.#take(manifest, fetchPayload).catch((error: Error) => { init.onProblem(`delta of ${manifest.host} for round ${manifest.round} left out: ${error.message}`) })
      }),
      protocols.delta.onEquivocation(({ host, round }) => { init.onProblem(`${host} signed two different deltas for round ${round}; the first one counts`) }),
      protocols.announce.onCard(card => {
        this.#gone.delete(card.host)
        this.#waiters.wake()
      }),
      protocols.announce.onExpired(() => { this.#waiters.wake() })
    ]
  }

  /** Other hosts of this backbone that are announced and connected. */
  get peers (): readonly string[] {
    return this.#protocols.announce.hosts
      .filter(card => card.model === this.#init.model && card.host !== this.#init.self && !this.#gone.has(card.host))
      .map(card => card.host)
      .sort()
  }

  /** The connection to a peer ended: it is not waited for until its next card. */
  lost (peer: string): void {
    this.#gone.add(peer)
    this.#waiters.wake()
  }

  async ready (peers: number, { signal }: { signal: AbortSignal }): Promise<void> {
    await this.#waiters.until(() => this.peers.length >= peers, signal)
  }

  async publish (delta: RoundDelta, { signal }: { signal: AbortSignal }): Promise<PackedDelta> {
    signal.throwIfAborted()
    const { self, model, codec } = this.#init
    const payload = packUnits(delta.units, codec)
    const cid = await sha256InPieces(payload)
    await this.#protocols.delta.publish({
      host: self,
      model,
      round: delta.round,
      base: { ...this.#merged },
      codec,
      bytes: payload.byteLength,
      hash: cid,
      samples: delta.samples,
      clients: delta.clients,
      losses: delta.losses,
      norm: delta.norm,
      ...delta.history === undefined ? {} : { history: delta.history }
    }, payload)
    return { cid, codec, payload }
  }

  async collect (round: number, { deadlineMs, signal }: { deadlineMs: number, signal: AbortSignal }): Promise<Collected> {
    const late = (): readonly string[] => this.peers.filter(peer => !this.#has(peer, round) && this.#idle(peer, round) === undefined)
    await this.#waiters.until(() => late().length === 0, AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)])).catch(() => { signal.throwIfAborted() })
    const deltas = [...this.#deltas].sort(([a], [b]) => a < b ? -1 : 1).flatMap(([, rounds]) => {
      // The delta of this very round, else the newest there is, unless it has been merged before.
      const newest = rounds.get(round) ?? rounds.get(Math.max(...rounds.keys()))
      return newest === undefined || newest.round <= (this.#merged[newest.host] ?? -1) ? [] : [newest]
    })
    for (const delta of deltas) this.#merged[delta.host] = delta.round
    const idle = this.peers.flatMap(peer => {
      const why = this.#has(peer, round) ? undefined : this.#idle(peer, round)
      return why === undefined ? [] : [`host ${peer}: ${why}`]
    })
    return { deltas, missing: [...late().map(peer => `host ${peer}: no delta of round ${round} within ${deadlineMs} ms`), ...idle] }
  }

  stop (): void {
    for (const end of this.#ends) end()
    this.#waiters.wake()
  }

  #has (peer: string, round: number): boolean {
    const rounds = this.#deltas.get(peer)
    return rounds !== undefined && Math.max(...rounds.keys()) >= round
  }

  /**
   * Why a host that is there need not be waited for; undefined where it must. One that came back from a checkpoint may
   * serve nobody yet, or be rounds behind: what it has done counts, by its age, when it comes.
   */
  #idle (peer: string, round: number): string | undefined {
    const card = this.#protocols.announce.hosts.find(({ host }) => host === peer)
    if (card === undefined) return undefined
    if (card.attached === 0 && card.step > 0) return 'serves no client, not waited for'
    // Cards come once in a while; a delta says more about where a host is.
    const reached = Math.max(card.round, ...[...this.#deltas.get(peer)?.keys() ?? []].map(last => last + 1))
    return reached < round - 1 ? `${round - reached} rounds behind, not waited for` : undefined
  }

  async #take (manifest: DeltaManifest, fetchPayload: FetchPayload): Promise<void> {
    if (manifest.host === this.#init.self) return
    const payload = await fetchPayload({ signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) })
    const { host, round, clients, samples, losses, norm, codec, hash, history } = manifest
    const rounds = this.#deltas.get(host) ?? new Map<number, RoundDelta>()
    const packed = { cid: hash, codec, payload }
    rounds.set(round, { host, round, clients, samples, losses, norm, units: unpackUnits(payload, this.#init.unitSizes, codec), packed, ...history === undefined ? {} : { history } })
    for (const old of rounds.keys()) if (old <= round - KEPT_ROUNDS) rounds.delete(old)
    this.#deltas.set(host, rounds)
    this.#waiters.wake()
  }
}
