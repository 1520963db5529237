/**
 * Relays among members. A node that others can dial volunteers; one that can only dial out keeps a reservation at two of
 * them, so that the death of one leaves it reachable while another is found.
 */
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { start, stop } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { scopeOf } from './addresses.ts'
import type { CircuitRelayServerComponents, CircuitRelayService, CircuitRelayTransportComponents } from '@libp2p/circuit-relay-v2'
import type { Connection, PeerId, Transport } from '@libp2p/interface'
import type { TransportManager } from '@libp2p/interface-internal'

/** One to lose and one to go on with. */
const RELAYS = 2
/** Half of the 10 s in which a lost relay has to be replaced, for a relay that does not answer. */
const RESERVATION_MS = 5_000
const CHECK_MS = 1_000
/** Between two rounds of dialling members who might relay: twice within the 10 s, and no burden to who is gone. */
const SEARCH_MS = 4_000
/** A slot of a member that left is free again after this; renewed 5 minutes before, while it is there. */
const RESERVATION_TTL_MS = 30 * 60_000
/** Half of the connections that a node holds at most: the others are its own business. */
const MAX_RESERVATIONS = 128
/** Relayed connections of one member: one to each of the others. */
const MAX_STREAMS = 256
const HOP = '/libp2p/circuit/relay/0.2.0/hop'

interface Reservations {
  addRelay (peer: PeerId, type: 'discovered'): Promise<unknown>
  hasReservation (peer: PeerId): boolean
  reservationCount (): number
}

type Components = CircuitRelayServerComponents & CircuitRelayTransportComponents & { transportManager: TransportManager }

export interface RelayInit {
  /** Only members get a reservation, and theirs has no limit: a training day has no end and 100 GB. Otherwise the library's 2 minutes and 128 KiB. */
  readonly membersOnly: boolean
  readonly volunteer: boolean
}

export class Relays {
  readonly #init: RelayInit
  readonly #reserved: () => Reservations | undefined
  readonly #components: Components
  #server: CircuitRelayService | undefined
  #timer: NodeJS.Timeout | undefined
  #known: (() => readonly string[]) | undefined
  #searchedAt = -Infinity

  constructor (components: Components, init: RelayInit, reserved: () => Reservations | undefined) {
    this.#components = components
    this.#init = init
    this.#reserved = reserved
  }

  readonly [Symbol.toStringTag] = 'fmtl-relays'

  async start (): Promise<void> { if (this.#init.volunteer) await this.volunteer() }

  async stop (): Promise<void> {
    clearInterval(this.#timer)
    await this.withdraw()
  }

  get volunteers (): boolean { return this.#server !== undefined }

  /** Members that have a reservation here. */
  get served (): string[] { return [...this.#server?.reservations.keys() ?? []].map(String) }

  /** Where this node has a reservation. */
  get relays (): string[] {
    const store = this.#reserved()
    if (store === undefined) return []
    return this.#peers().filter(({ remotePeer }) => store.hasReservation(remotePeer)).map(({ remotePeer }) => remotePeer.toString())
  }

  async volunteer (): Promise<void> {
    if (this.#server !== undefined) return
    // a server that was stopped cannot be started again
    this.#server = circuitRelayServer({
      maxInboundHopStreams: MAX_STREAMS,
      maxOutboundStopStreams: MAX_STREAMS,
      reservations: { maxReservations: MAX_RESERVATIONS, reservationTtl: RESERVATION_TTL_MS, applyDefaultLimit: !this.#init.membersOnly }
    })(this.#components)
    await start(this.#server)
  }

  async withdraw (): Promise<void> {
    const server = this.#server
    this.#server = undefined
    await stop(server)
  }

  /**
   * From now on this node is reachable through two of the members that relay, as long as there are any.
   * @param known - addresses of members, to be dialled while those who are connected are not enough
   */
  async seek (known: () => readonly string[]): Promise<void> {
    const first = this.#known === undefined
    this.#known = known
    if (!first) return
    await this.#components.transportManager.listen(Array.from({ length: RELAYS }, () => multiaddr('/p2p-circuit')))
    // the library tries a relay once, when it first sees it
    const check = (): void => { this.#fill().catch(this.#log) }
    check()
    this.#timer = setInterval(check, CHECK_MS)
    this.#timer.unref()
  }

  async #fill (): Promise<void> {
    const store = this.#reserved()
    if (store === undefined || store.reservationCount() >= RELAYS) return
    for (const { remotePeer } of this.#peers()) {
      if (store.hasReservation(remotePeer)) continue
      const { protocols } = await this.#components.peerStore.get(remotePeer)
      if (protocols.includes(HOP)) await store.addRelay(remotePeer, 'discovered').catch(this.#log)
      if (store.reservationCount() >= RELAYS) return
    }
    if (performance.now() - this.#searchedAt < SEARCH_MS) return
    this.#searchedAt = performance.now()
    const connected = this.#peers().map(({ remoteAddr }) => remoteAddr.toString())
    for (const address of this.#known?.() ?? []) {
      if (scopeOf(address) === 'relay' || connected.some(other => other === address || other.startsWith(`${address}/`))) continue
      this.#components.connectionManager.openConnection(multiaddr(address), { signal: AbortSignal.timeout(RESERVATION_MS) }).catch(this.#log)
    }
  }

  readonly #log = (err: unknown): void => { this.#components.logger.forComponent('fmtl:relay')('%e', err) }

  #peers (): Connection[] {
    const seen = new Set<string>()
    return this.#components.connectionManager.getConnections().filter(({ remotePeer, direct, status }) => {
      const peer = remotePeer.toString()
      if (!direct || status !== 'open' || seen.has(peer)) return false
      seen.add(peer)
      return true
    })
  }
}

/** The transport for relayed connections, and the service that uses its reservations. */
export function relaying (init: RelayInit): { transport: (components: CircuitRelayTransportComponents) => Transport, service: (components: Components) => Relays } {
  const transport = circuitRelayTransport({ reservationCompletionTimeout: RESERVATION_MS, reservationConcurrency: RELAYS })
  let reservations: Reservations | undefined
  return {
    transport: components => {
      const circuit = transport(components)
      reservations = (circuit as Transport & { reservationStore: Reservations }).reservationStore
      return circuit
    },
    service: components => new Relays(components, init, () => reservations)
  }
}
