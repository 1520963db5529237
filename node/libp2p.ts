/**
 * The one createLibp2p call: TCP, Noise, Yamux, identify, ping and gossipsub, with every limit in sight.
 *
 * A peer learns of others through the mesh: it dials the bootstrap addresses, hears host cards there, and dials hosts by
 * the addresses on their cards.
 */
import { dcutr } from '@libp2p/dcutr'
import { gossipsub, StrictSign } from '@libp2p/gossipsub'
import { identify, identifyPush } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { ResourceError } from '../src/errors.ts'
import { MAX_ADDRESSES, MAX_GOSSIP_RPC_BYTES, REQUEST_TIMEOUT_MS, STREAMS_PER_PEER, STREAM_WINDOW_BYTES } from '../protocols/limits.ts'
import { dialOrder } from './network/addresses.ts'
import { discoverers } from './network/discovery.ts'
import { encryption } from './network/encryption.ts'
import { gater } from './network/gate.ts'
import { parseAddress, reasons } from './network/bootstrap.ts'
import { privateNetwork } from './network/private-network.ts'
import { relaying } from './network/relay.ts'
import type { AddressManager, TransportManager } from '@libp2p/interface-internal'
import type { ConnectionGate, OnRefused } from './network/gate.ts'
import type { Discovery } from './network/discovery.ts'
import type { GossipSub } from '@libp2p/gossipsub'
import type { Identify } from '@libp2p/identify'
import type { Libp2p, PrivateKey } from '@libp2p/interface'
import type { Ping } from '@libp2p/ping'
import type { KadDHT } from '@libp2p/kad-dht'
import type { Relays } from './network/relay.ts'

export { dialBootstrap } from './network/bootstrap.ts'

export interface NodeServices extends Record<string, unknown> {
  pubsub: GossipSub
  identify: Identify
  ping: Ping
  relays: Relays
  /** What others are told of this node: the library asks for more proof than a consortium can give. */
  addresses: Pick<AddressManager, 'confirmObservedAddr' | 'removeObservedAddr'> & { listening: () => string[] }
  dht?: KadDHT
}
export type Node = Libp2p<NodeServices>

export interface CreateNodeInit {
  privateKey: PrivateKey
  /** Default: any free port on loopback in the testnet profile, any interface otherwise. */
  listen?: readonly string[]
  /** testnet: many nodes share 127.0.0.1, which otherwise looks like an attack. Default production. */
  profile?: 'testnet' | 'production'
  /** 32 bytes: the private network, of those who have it. */
  networkKey?: Uint8Array
  /** Who gets a connection, a reservation or a relayed connection. Default: everybody. */
  gate?: ConnectionGate
  /** Hears of those who were refused, of each once a minute at most. */
  onRefused?: OnRefused
  /** Volunteer as relay from the start; later, `services.relays` does it. Default false. */
  relay?: boolean
  discovery?: Discovery
  /** Addresses to tell others besides those that it listens on: names, forwarded ports. */
  announce?: readonly string[]
}

/** Larger than any of ours: cards every 10 s and deltas every round need no more control traffic than this. */
const DECODE_RPC_LIMITS = {
  maxSubscriptions: 64,
  maxMessages: 64,
  maxIhaveMessageIDs: 512,
  maxIwantMessageIDs: 64,
  maxIdontwantMessageIDs: 64,
  maxControlMessages: 64,
  maxPeerInfos: 16
}

/** Half of a dial: one address that leads nowhere leaves time for the next. */
const ADDRESS_DIAL_MS = REQUEST_TIMEOUT_MS / 2
/** With 5 s for the answer, a peer whose machine or line is gone is noticed within 9 s. */
const HEARTBEAT_MS = 4_000

/**
 * @throws {ResourceError} the port is taken
 * @throws {InvalidParametersError} a listen address that is none
 */
export async function createNode (init: CreateNodeInit): Promise<Node> {
  const testnet = init.profile === 'testnet'
  const listen = [...init.listen ?? [testnet ? '/ip4/127.0.0.1/tcp/0' : '/ip4/0.0.0.0/tcp/0']]
  for (const address of [...listen, ...init.announce ?? []]) parseAddress(address)
  const { networkKey, gate, onRefused, announce = [], discovery } = init
  const { transport: circuit, service: relays } = relaying({ membersOnly: gate !== undefined, volunteer: init.relay === true })
  const found = discovery === undefined ? { peerDiscovery: [] } : await discoverers(discovery)
  try {
    return await createLibp2p<NodeServices>({
      privateKey: init.privateKey,
      addresses: { listen, appendAnnounce: [...announce] },
      transports: [tcp(), circuit],
      ...networkKey === undefined ? {} : { connectionProtector: privateNetwork(networkKey) },
      peerDiscovery: found.peerDiscovery,
      connectionEncrypters: [encryption()],
      // streams that arrive while a fresh connection is still being set up; the default of 10 drops the whole connection
      streamMuxers: [yamux({ maxEarlyStreams: 128, streamOptions: { maxStreamWindowSize: STREAM_WINDOW_BYTES } })],
      connectionGater: gater(gate, onRefused),
      connectionMonitor: testnet ? {} : { pingInterval: HEARTBEAT_MS },
      connectionManager: {
        dialTimeout: REQUEST_TIMEOUT_MS,
        addressDialTimeout: ADDRESS_DIAL_MS,
        addressSorter: dialOrder(),
        maxPeerAddrsToDial: 2 * MAX_ADDRESSES,
        // 0.5 s, 1 s, ... 64 s: two minutes in all; after that a host's next card, or dialBootstrap, starts anew
        reconnectRetries: 8,
        reconnectRetryInterval: 500,
        reconnectBackoffFactor: 2,
        // the defaults of 5 new connections a second from one host, and 10 at once, stop a loopback network from forming
        ...(testnet ? { maxConnections: 1000, inboundConnectionThreshold: 1000, maxIncomingPendingConnections: 1000 } : {})
      },
      services: {
        identify: identify(),
        // a member that begins to relay, or has another address, says so to those who are connected already
        identifyPush: identifyPush(),
        // the watch over connections pings, too; one stream is all that the library gives both
        ping: ping({ maxInboundStreams: STREAMS_PER_PEER, maxOutboundStreams: STREAMS_PER_PEER }),
        relays,
        addresses: ({ addressManager, transportManager }: { addressManager: AddressManager, transportManager: TransportManager }) => ({
          confirmObservedAddr: addressManager.confirmObservedAddr.bind(addressManager),
          removeObservedAddr: addressManager.removeObservedAddr.bind(addressManager),
          listening: () => transportManager.getAddrs().map(String)
        }),
        ...testnet ? {} : { dcutr: dcutr() },
        ...found.dht === undefined ? {} : { dht: found.dht },
        pubsub: gossipsub({
          globalSignaturePolicy: StrictSign,
          emitSelf: false,
          // a relay may set limits; what gossip needs is far below them
          runOnLimitedConnection: true,
          allowPublishToZeroTopicPeers: true,
          floodPublish: true,
          maxInboundDataLength: MAX_GOSSIP_RPC_BYTES,
          decodeRpcLimits: DECODE_RPC_LIMITS,
          // from which on spam costs: suppressed, not published to, ignored; ten invalid messages at weight -20 are -2000
          scoreThresholds: { gossipThreshold: -100, publishThreshold: -200, graylistThreshold: -400, acceptPXThreshold: 10, opportunisticGraftThreshold: 5 },
          scoreParams: {
            behaviourPenaltyWeight: -10,
            behaviourPenaltyThreshold: 6,
            behaviourPenaltyDecay: 0.9,
            decayInterval: 1000,
            // members are known by their signatures; many behind one NAT or one relay are no attack
            ...gate === undefined ? {} : { IPColocationFactorWeight: 0 },
            IPColocationFactorWhitelist: new Set(testnet ? ['127.0.0.1'] : [])
          }
        })
      }
    })
  } catch (cause) {
    const text = reasons(cause)
    const address = /EADDRINUSE[^\n]*?([\d.:a-f]+:\d+)/.exec(text)?.[1]
    if (address != null) throw new ResourceError(`address ${address} is already in use`, { cause, next: 'choose another port, or stop the program that has it' })
    if (/EACCES|EADDRNOTAVAIL|UnsupportedListenAddresses/.test(text)) throw new ResourceError(`cannot listen on ${listen.join(', ')}`, { cause, next: 'choose an address of this machine and a port above 1024' })
    throw cause
  }
}
