/**
 * The network section of `doctor`: where this node listens, and what members that are asked say of it. Nobody outside the
 * consortium is contacted, so without a member to ask, whether others can dial this node stays unknown.
 */
import { once } from 'node:events'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { FmtlError, ResourceError } from '../../src/errors.ts'
import { MAX_ADDRESSES } from '../../protocols/limits.ts'
import { REACH_PROTOCOL, askReach } from '../../protocols/reach/index.ts'
import { components } from '../components.ts'
import { createNode } from '../libp2p.ts'
import { addressesToMeet, defaultRouteAddress, portOf, scopeOf } from './addresses.ts'
import { parseAddress, whyNotDialled } from './bootstrap.ts'
import type { Ed25519PrivateKey, IdentifyResult, PeerId } from '@libp2p/interface'
import type { Node } from '../libp2p.ts'
import type { Scope } from './addresses.ts'

export interface NetworkExamination {
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  /** Multiaddrs of members. */
  readonly peers: readonly string[]
  /** As whom to ask; default: as a stranger without a network key. */
  readonly membership?: { readonly privateKey: Ed25519PrivateKey, readonly networkKey: Uint8Array }
}

export interface PeerReport {
  readonly address: string
  readonly roundTripMs: number | null
  /** As whom that peer sees this node, ip and port of this one connection. */
  readonly seenAs: string | null
  /** At which it could dial this node; null where it could not be asked. */
  readonly reached: readonly string[] | null
  /** Why there is no answer, or null. */
  readonly problem: string | null
}

export interface NetworkReport {
  readonly listen: ReadonlyArray<{ readonly address: string, readonly scope: Scope }>
  /** The address that packets to the rest of the world leave from, or null without a default route. */
  readonly defaultRoute: string | null
  readonly peers: readonly PeerReport[]
  /** Whether others can dial this node; null where nobody could be asked. */
  readonly reachable: boolean | null
  /** The same in words. */
  readonly verdict: string
  readonly problem: string | null
}

/** A dial to the other side of the world, and its answers; less than a command waits for a running node's answer. */
const ASK_MS = 8_000
/** Members whose word is enough. */
const MAX_ASKED = 8

/** In the place of a node that does not run, or is in no home yet. */
export async function examineNetwork (init: NetworkExamination): Promise<NetworkReport> {
  let problem: string | null = null
  let node: Node | undefined
  try {
    node = await create(init, init.listen).catch(async err => {
      if (!(err instanceof ResourceError)) throw err
      problem = `${err.message}${err.next === undefined ? '' : `; ${err.next}`}`
      return await create(init, [])
    })
    return { ...await examineRunning(node, init), problem }
  } finally {
    await node?.stop()
  }
}

/** As a node that runs: its connections are used, and left as they are. */
export async function examineRunning (node: Node, { announce, peers: all }: Pick<NetworkExamination, 'announce' | 'peers'>): Promise<NetworkReport> {
  const listen = node.services.addresses.listening().map(address => ({ address, scope: scopeOf(address) })).filter(({ scope }) => scope !== 'relay')
  const ports = [...new Set([...listen.filter(({ scope }) => scope !== 'loopback').map(({ address }) => address), ...announce].flatMap(address => portOf(address) ?? []))]
  const peers = await Promise.all(all.slice(0, MAX_ASKED).map(async address => await askPeer(node, address, ports)))
  return { listen, defaultRoute: await defaultRouteAddress() ?? null, peers, ...judge(peers, listen.length), problem: null }
}

/** Of each member the address to ask at. */
export function addressesToAsk (known: Iterable<readonly string[]>): string[] {
  return [...known].flatMap(addresses => addressesToMeet(addresses, 1))
}

async function create ({ membership, announce }: NetworkExamination, listen: readonly string[]): Promise<Node> {
  const { privateKey = await generateKeyPair('Ed25519'), networkKey } = membership ?? {}
  return await createNode({ privateKey, listen, announce, ...networkKey === undefined ? {} : { networkKey } })
}

async function askPeer (node: Node, address: string, ports: readonly number[]): Promise<PeerReport> {
  const signal = AbortSignal.timeout(ASK_MS)
  try {
    const { remotePeer, seenAs } = await meet(node, address, signal)
    const roundTripMs = Math.round(100 * await node.services.ping.ping(remotePeer, { signal })) / 100
    const report = { address, roundTripMs, seenAs }
    if (ports.length === 0) return { ...report, reached: null, problem: 'this node listens nowhere that others could dial' }
    try {
      const { host, ports: met } = await askReach(components(node), remotePeer.toString(), ports.slice(0, MAX_ADDRESSES), { signal })
      return { ...report, reached: met.map(port => `${host}/tcp/${port}`), problem: null }
    } catch (err) {
      if (!(err instanceof FmtlError)) throw err
      return { ...report, reached: null, problem: err.code === 'ERR_UNSUPPORTED' ? `it does not answer ${REACH_PROTOCOL}` : err.message }
    }
  } catch (err) {
    return { address, roundTripMs: null, seenAs: null, reached: null, problem: signal.aborted ? `no answer within ${ASK_MS / 1000} s` : whyNotDialled(err) }
  }
}

/** A fresh connection hears by itself as whom it is seen; one that was there asks again. */
async function meet (node: Node, address: string, signal: AbortSignal): Promise<{ remotePeer: PeerId, seenAs: string | null }> {
  const before = new Set(node.getConnections().map(({ id }) => id))
  const heard = new Map<string, string | null>()
  const hears = new EventTarget()
  const onIdentify = ({ detail: { connection, observedAddr } }: CustomEvent<IdentifyResult>): void => {
    heard.set(connection.id, observedAddr?.toString() ?? null)
    hears.dispatchEvent(new Event('heard'))
  }
  node.addEventListener('peer:identify', onIdentify)
  try {
    const connection = await node.dial(parseAddress(address), { signal })
    const { id, remotePeer } = connection
    if (before.has(id)) return { remotePeer, seenAs: await node.services.identify.identify(connection, { signal }).then(({ observedAddr }) => observedAddr?.toString() ?? null, () => null) }
    while (!heard.has(id) && !signal.aborted) await once(hears, 'heard', { signal }).catch(() => undefined)
    return { remotePeer, seenAs: heard.get(id) ?? null }
  } finally {
    node.removeEventListener('peer:identify', onIdentify)
  }
}

function judge (peers: readonly PeerReport[], listening: number): Pick<NetworkReport, 'reachable' | 'verdict'> {
  const answers = peers.flatMap(({ reached }) => reached === null ? [] : [reached])
  if (answers.length === 0) {
    const why = listening === 0 ? 'this node listens nowhere' : peers.length === 0 ? 'no member was asked' : 'no member could say'
    return { reachable: null, verdict: `whether others can dial this node is not known: ${why}` }
  }
  const met = [...new Set(answers.flat())]
  if (met.length === 0) return { reachable: false, verdict: 'others cannot dial this node; it takes part through a relay' }
  const some = answers.some(reached => reached.length === 0) ? '; not all of them, so it also keeps a relay' : ''
  return { reachable: true, verdict: `others can reach this node at ${met.join(', ')}${some}` }
}

/** Of a node that could have said. */
export function notSaid (problem: string): NetworkReport {
  return { listen: [], defaultRoute: null, peers: [], reachable: null, verdict: 'whether others can dial this node is not known: nobody was asked', problem }
}

/** For a terminal. */
export function networkLines ({ listen, defaultRoute, peers, verdict, problem }: NetworkReport): string[] {
  return [
    ...listen.length === 0 ? ['listens nowhere'] : listen.map(({ address, scope }) => `listens on ${address} (${scope})`),
    defaultRoute === null ? 'no default route: only machines of the same network can be dialled' : `leaves for other networks from ${defaultRoute} (${scopeOf(`/ip4/${defaultRoute}`)})`,
    ...peers.map(({ address, roundTripMs, seenAs, problem }) =>
      `${address}: ${[...roundTripMs === null ? [] : [`answers in ${roundTripMs} ms, sees this node as ${seenAs ?? 'nothing it would tell'}`], ...problem === null ? [] : [problem]].join('; ')}`),
    ...problem === null ? [] : [`problem: ${problem}`],
    verdict
  ]
}
