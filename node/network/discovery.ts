/** Finding members without being told an address: on the same network by multicast, anywhere by a DHT of the members' own. */
import { createHash } from 'node:crypto'
import type { KadDHT, KadDHTComponents } from '@libp2p/kad-dht'
import type { Libp2p, PeerDiscovery, PeerInfo } from '@libp2p/interface'
import type { MulticastDNSComponents } from '@libp2p/mdns'

export interface Discovery {
  /** Its id: only its own members are found. */
  readonly consortium: string
  readonly mdns: boolean
  readonly dht: boolean
}

/** Members to whom a connection is opened because they were found; beyond that, who is needed is dialled when needed. */
const MAX_FOUND = 32

/** Of a hash: the name of a consortium is not for everybody in the building. A DNS label has at most 63 bytes. */
export function serviceTag (consortium: string): string {
  return `_fmtl-${createHash('sha256').update(consortium).digest('hex').slice(0, 32)}._udp.local`
}

export function dhtProtocol (consortium: string): string { return `/fmtl/${consortium}/kad/1.0.0` }

/** Loaded when wanted: together they are a fifth of the time to load libp2p. */
export async function discoverers ({ consortium, mdns, dht }: Discovery): Promise<{ peerDiscovery: Array<(components: MulticastDNSComponents) => PeerDiscovery>, dht?: (components: KadDHTComponents) => KadDHT }> {
  const [multicast, kad] = await Promise.all([mdns ? import('@libp2p/mdns') : undefined, dht ? import('@libp2p/kad-dht') : undefined])
  return {
    peerDiscovery: multicast === undefined ? [] : [multicast.mdns({ serviceTag: serviceTag(consortium) })],
    // a consortium inside one institution has private addresses only
    ...kad === undefined ? {} : { dht: kad.kadDHT({ protocol: dhtProtocol(consortium), peerInfoMapper: kad.passthroughMapper }) }
  }
}

/** Opens a connection to who is found. Who may not have one, the gate knows. Returns what ends that. */
export function meetFound (node: Libp2p): () => void {
  const onFound = ({ detail: { id } }: CustomEvent<PeerInfo>): void => {
    if (node.getConnections(id).length > 0 || node.getPeers().length >= MAX_FOUND) return
    node.dial(id).catch(err => { node.logger.forComponent('fmtl:discovery')('%p: %e', id, err) })
  }
  node.addEventListener('peer:discovery', onFound)
  return () => { node.removeEventListener('peer:discovery', onFound) }
}
