/**
 * The network section of `doctor`: where this node listens, and what members that are asked say of it. Nobody outside the
 * consortium is contacted, so without a member to ask, whether others can dial this node stays unknown.
 */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { FmtlError, ResourceError } from '../../src/errors.ts'
import { REACH_PROTOCOL, askReach } from '../../protocols/reach/index.ts'
import { components } from '../components.ts'
import { createNode } from '../libp2p.ts'
import { defaultRouteAddress, portOf, scopeOf } from '../network/addresses.ts'
import { parseAddress, whyNotDialled } from '../network/bootstrap.ts'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import type { Node } from '../libp2p.ts'
import type { Scope } from '../network/addresses.ts'

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

/** A dial to the other side of the world, and its answers. */
const ASK_MS = 10_000

export async function examineNetwork (init: NetworkExamination): Promise<NetworkReport> {
  const defaultRoute = await defaultRouteAddress() ?? null
  let problem: string | null = null
  let node: Node | undefined
  try {
    node = await create(init, init.listen).catch(async err => {
      if (!(err instanceof ResourceError)) throw err
      problem = `${err.message}${err.next === undefined ? '' : `; ${err.next}`}`
      return await create(init, [])
    })
    const listen = node.services.addresses.listening().map(address => ({ address, scope: scopeOf(address) }))
    const ports = [...new Set([...listen.filter(({ scope }) => scope !== 'loopback').map(({ address }) => address), ...init.announce].flatMap(address => portOf(address) ?? []))]
    const peers: PeerReport[] = []
    for (const address of init.peers) peers.push(await askPeer(node, address, ports))
    return { listen, defaultRoute, peers, ...judge(peers, listen.length), problem }
  } finally {
    await node?.stop()
  }
}

async function create ({ membership, announce }: NetworkExamination, listen: readonly string[]): Promise<Node> {
  const { privateKey = await generateKeyPair('Ed25519'), networkKey } = membership ?? {}
  return await createNode({ privateKey, listen, announce, ...networkKey === undefined ? {} : { networkKey } })
}

async function askPeer (node: Node, address: string, ports: readonly number[]): Promise<PeerReport> {
  const signal = AbortSignal.timeout(ASK_MS)
  try {
    const identified = new Promise<string | null>(resolve => {
      node.addEventListener('peer:identify', ({ detail }) => { resolve(detail.observedAddr?.toString() ?? null) }, { once: true })
      signal.addEventListener('abort', () => { resolve(null) })
    })
    const { remotePeer } = await node.dial(parseAddress(address), { signal })
    const seenAs = await identified
    const roundTripMs = Math.round(100 * await node.services.ping.ping(remotePeer, { signal })) / 100
    const report = { address, roundTripMs, seenAs }
    if (ports.length === 0) return { ...report, reached: null, problem: 'this node listens nowhere that others could dial' }
    try {
      const { host, ports: met } = await askReach(components(node), remotePeer.toString(), ports.slice(0, 8), { signal })
      return { ...report, reached: met.map(port => `${host}/tcp/${port}`), problem: null }
    } catch (err) {
      if (!(err instanceof FmtlError)) throw err
      return { ...report, reached: null, problem: err.code === 'ERR_UNSUPPORTED' ? `it does not answer ${REACH_PROTOCOL}` : err.message }
    }
  } catch (err) {
    return { address, roundTripMs: null, seenAs: null, reached: null, problem: signal.aborted ? `no answer within ${ASK_MS / 1000} s` : whyNotDialled(err) }
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
