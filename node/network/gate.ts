/**
 * Who gets a connection. Asked for every dial, every handshake and everything that a relay is wanted for, so that a
 * stranger, or a member that was expelled, gets nothing from this node.
 */
import type { ConnectionGater, MultiaddrConnection, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

export interface ConnectionGate {
  allows (peer: string): boolean
  /** For people: why a peer is not allowed. Only asked of those. */
  whyNot (peer: string): string
}

/** A refusal: who, where from or where to, and why. */
export type OnRefused = (peer: string, address: string, why: string) => void

/** Address ranges that nobody else can mean for us: unspecified, link-local, multicast. */
const NEVER_DIALLED = [/^\/ip4\/(0|169\.254|22[4-9]|23\d)\./, /^\/ip6\/(::|fe[89ab][0-9a-f]:|ff[0-9a-f]{2}:)/i]
const DIALLED_ANYWAY = /^\/ip6\/::1\//
/** One peer's refusals for one reason are told once in this time: who is refused tries again at once. */
const TELL_AGAIN_MS = 60_000
/** Peers whose last refusal is remembered; ids cost an attacker nothing. */
const MAX_TOLD = 256
/** Refusals told in that time, of all peers together: many strangers are told of as a number. A line a second is read by nobody. */
const MAX_TELLINGS = 60

export function gater (gate: ConnectionGate | undefined, onRefused: OnRefused = () => {}, now: () => number = Date.now): ConnectionGater {
  if (gate === undefined) return { denyDialMultiaddr: forbidden }
  const told = new Map<string, { why: string, at: number }>()
  let span = { from: -Infinity, told: 0, untold: 0 }
  const tell = (peer: string, address: string, why: string): void => {
    const last = told.get(peer)
    if (last?.why === why && now() - last.at < TELL_AGAIN_MS) return
    const { untold } = span
    if (now() - span.from >= TELL_AGAIN_MS) span = { from: now(), told: 0, untold: 0 }
    if (span.told >= MAX_TELLINGS) {
      span.untold++
      return
    }
    span.told++
    told.delete(peer)
    told.set(peer, { why, at: now() })
    for (const [oldest] of told) if (told.size > MAX_TOLD) told.delete(oldest)
    onRefused(peer, address, span.told === 1 && untold > 0 ? `${why}; ${untold} more refusals before it were not told one by one` : why)
  }
  const refused = (peerId: PeerId, address: string): boolean => {
    const peer = peerId.toString()
    if (gate.allows(peer)) return false
    tell(peer, address, gate.whyNot(peer))
    return true
  }
  /** Connections that have not said yet who they are. */
  const nameless = new WeakSet<MultiaddrConnection>()
  return {
    denyDialMultiaddr: forbidden,
    denyDialPeer: peer => refused(peer, `/p2p/${peer.toString()}`),
    denyInboundConnection: connection => {
      const { remoteAddr } = connection
      // the relay, a member, has said who it is; its end may be a dial too many that was dropped
      if (remoteAddr.toString().includes('/p2p-circuit')) return false
      nameless.add(connection)
      connection.addEventListener('close', () => {
        // the library says nothing of a handshake that failed
        if (nameless.delete(connection)) tell(`a stranger at ${remoteAddr.getComponents()[0]?.value ?? 'an unknown address'}`, remoteAddr.toString(), 'it has not shown that it has the key of this private network')
      }, { once: true })
      return false
    },
    denyInboundEncryptedConnection: (peer, connection) => {
      nameless.delete(connection)
      return refused(peer, connection.remoteAddr.toString())
    },
    denyOutboundEncryptedConnection: (peer, { remoteAddr }) => refused(peer, remoteAddr.toString()),
    denyInboundRelayReservation: peer => refused(peer, `/p2p/${peer.toString()}/p2p-circuit`),
    denyOutboundRelayedConnection: (from, to) => refused(from, `/p2p-circuit/p2p/${to.toString()}`) || refused(to, `/p2p-circuit/p2p/${to.toString()}`),
    denyInboundRelayedConnection: (relay, peer) => refused(peer, `/p2p/${relay.toString()}/p2p-circuit`) || refused(relay, `/p2p/${relay.toString()}/p2p-circuit`)
  }
}

function forbidden (address: Multiaddr): boolean {
  const text = address.toString()
  return NEVER_DIALLED.some(range => range.test(text)) && !DIALLED_ANYWAY.test(text)
}
