/**
 * The one createLibp2p call: TCP, Noise, Yamux, identify, ping and gossipsub, with every limit in sight.
 *
 * A peer learns of others through the mesh: it dials the bootstrap addresses, hears host cards there, and dials hosts by
 * the addresses on their cards.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { gossipsub, StrictSign } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { KEEP_ALIVE } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { InvalidParametersError, ResourceError } from '../src/errors.ts'
import { MAX_ADDRESSES, MAX_GOSSIP_RPC_BYTES, REQUEST_TIMEOUT_MS, STREAM_WINDOW_BYTES } from '../protocols/limits.ts'
import { privateNetwork } from './private-network.ts'
import type { GossipSub } from '@libp2p/gossipsub'
import type { Identify } from '@libp2p/identify'
import type { ConnectionGater, Libp2p, PrivateKey } from '@libp2p/interface'
import type { Ping } from '@libp2p/ping'
import type { Multiaddr } from '@multiformats/multiaddr'

export interface NodeServices extends Record<string, unknown> {
  pubsub: GossipSub
  identify: Identify
  ping: Ping
}
export type Node = Libp2p<NodeServices>

/** Who may be connected to. */
export interface ConnectionGate {
  allows (peer: string): boolean
  /** For the log. */
  whyNot (peer: string): string
}

export interface CreateNodeInit {
  privateKey: PrivateKey
  /** Key of the private network, 32 bytes: without it nobody understands a word. */
  networkKey?: Uint8Array
  gate?: ConnectionGate
  /** Hears of every peer that was not let in. */
  onRefused?: (peer: string, address: string, why: string) => void
  /** Default: any free port on loopback in the testnet profile, any interface otherwise. */
  listen?: readonly string[]
  /** testnet: many nodes share 127.0.0.1, which otherwise looks like an attack. Default production. */
  profile?: 'testnet' | 'production'
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

/** Address ranges that nobody else can mean for us: unspecified, link-local, multicast. */
const NEVER_DIALLED = [/^\/ip4\/(0|169\.254|22[4-9]|23\d)\./, /^\/ip6\/(::|fe[89ab][0-9a-f]:|ff[0-9a-f]{2}:)/i]
const DIALLED_ANYWAY = /^\/ip6\/::1\//

/**
 * @throws {ResourceError} the port is taken
 * @throws {InvalidParametersError} a listen address that is none
 */
export async function createNode (init: CreateNodeInit): Promise<Node> {
  const testnet = init.profile === 'testnet'
  const { gate } = init
  const listen = [...init.listen ?? [testnet ? '/ip4/127.0.0.1/tcp/0' : '/ip4/0.0.0.0/tcp/0']]
  for (const address of listen) parse(address)
  try {
    return await createLibp2p<NodeServices>({
      privateKey: init.privateKey,
      addresses: { listen },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      // streams that arrive while a fresh connection is still being set up; the default of 10 drops the whole connection
      streamMuxers: [yamux({ maxEarlyStreams: 128, streamOptions: { maxStreamWindowSize: STREAM_WINDOW_BYTES } })],
      ...init.networkKey === undefined ? {} : { connectionProtector: privateNetwork(init.networkKey) },
      connectionGater: { denyDialMultiaddr: forbidden, ...gate === undefined ? {} : gater(gate, init.onRefused) },
      connectionManager: {
        dialTimeout: REQUEST_TIMEOUT_MS,
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
        ping: ping(),
        pubsub: gossipsub({
          globalSignaturePolicy: StrictSign,
          emitSelf: false,
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

export interface BootstrapOptions {
  signal?: AbortSignal
  /** Longest pause between two rounds of attempts, ms. Default 5000; the first pause is 250 ms. */
  maxDelayMs?: number
  /** Hears why an attempt failed, in one line. */
  onRetry?: (address: string, reason: string, delayMs: number) => void
}

/**
 * Connects to at least one of the addresses, trying again until that worked or the signal aborts. A connection that is
 * lost later is opened again.
 * @returns the addresses that answered
 */
export async function dialBootstrap (node: Pick<Libp2p, 'dial' | 'peerStore'>, addresses: readonly string[], options: BootstrapOptions = {}): Promise<string[]> {
  const { signal, maxDelayMs = 5000, onRetry } = options
  if (addresses.length === 0) return []
  const targets = addresses.map(address => ({ address, target: parse(address) }))
  for (let delayMs = 250; ; delayMs = Math.min(2 * delayMs, maxDelayMs)) {
    signal?.throwIfAborted()
    const answered: string[] = []
    await Promise.all(targets.map(async ({ address, target }) => {
      try {
        const { remotePeer } = await node.dial(target, signal == null ? {} : { signal })
        await node.peerStore.merge(remotePeer, { tags: { [`${KEEP_ALIVE}-fmtl-bootstrap`]: {} } })
        answered.push(address)
      } catch (err) {
        onRetry?.(address, reasons(err).split('\n')[0] ?? '', delayMs)
      }
    }))
    if (answered.length > 0) return answered
    // an abort ends the pause, and the loop says so
    await pause(delayMs, undefined, signal == null ? {} : { signal }).catch(() => {})
  }
}

function gater (gate: ConnectionGate, onRefused: CreateNodeInit['onRefused']): ConnectionGater {
  /** Addresses whose connection has not said yet who it is. */
  const nameless = new Set<string>()
  return {
    denyDialPeer: peer => !gate.allows(peer.toString()),
    denyInboundConnection: connection => {
      const address = connection.remoteAddr.toString()
      nameless.add(address)
      connection.addEventListener('close', () => {
        // the library says nothing of a handshake that failed
        if (nameless.delete(address)) onRefused?.('a stranger', address, 'it does not have the key of this private network')
      })
      return false
    },
    denyInboundEncryptedConnection: (peer, { remoteAddr }) => {
      nameless.delete(remoteAddr.toString())
      const from = peer.toString()
      if (gate.allows(from)) return false
      onRefused?.(from, remoteAddr.toString(), gate.whyNot(from))
      return true
    }
  }
}

function parse (address: string): Multiaddr {
  try {
    return multiaddr(address)
  } catch (cause) {
    throw new InvalidParametersError(`'${address}' is no multiaddr`, { cause, next: 'write it as /ip4/<address>/tcp/<port>' })
  }
}

function forbidden (address: Multiaddr): boolean {
  const text = address.toString()
  return NEVER_DIALLED.some(range => range.test(text)) && !DIALLED_ANYWAY.test(text)
}

/** The messages of an error, what it wraps and what it gathers. */
function reasons (err: unknown): string {
  if (!(err instanceof Error)) return String(err)
  const inner = err instanceof AggregateError ? err.errors : err.cause == null ? [] : [err.cause]
  return [err.message, ...inner.map(reasons)].join('\n')
}
