/**
 * Many nodes in this process, each connected to each over loopback TCP, in the state that a consortium is in most of the
 * time: everybody subscribed, every gossip mesh formed. Part of `bench gossip` and `bench delta`.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { components } from '../../node/components.ts'
import { createNode } from '../../node/libp2p.ts'
import { createProtocols } from '../../protocols/index.ts'
import { deltaTopic } from '../../protocols/delta/index.ts'
import { DeadlineError } from '../../src/errors.ts'
import { tuneHeap } from '../../src/compute/heap.ts'
import { plainGossiper } from './raw-streams.ts'
import type { GossipNode } from './raw-streams.ts'
import type { Node } from '../../node/libp2p.ts'
import type { Protocols } from '../../protocols/index.ts'
import type { DeltaManifest } from '../../src/backbone/frames.ts'

export const MODEL = '0'.repeat(64)
/** A topic of gossipsub alone, with neither validator nor codec of ours. */
export const PLAIN_TOPIC = 'fmtl-bench/plain'
const CONSORTIUM = 'bench'
const BLOB_PROTOCOL = '/fmtl/blob/'
const GOSSIP_PROTOCOL = '/meshsub/'
/** Gossipsub lets a mesh be that has its Dlo of 4, or everybody in it. */
const MESH_PEERS = 4
const FORM_MS = 120_000
/** Heartbeats come every second: after two without a change nothing moves. */
const SETTLE_MS = 2_500
const QUIET_MS = 300

/** A node of some kind with gossip. */
export interface Gossiper {
  readonly node: GossipNode
  /** Ends what runs on the node. */
  stop? (): Promise<void>
}

export interface Member extends Gossiper {
  readonly id: string
  readonly node: Node
  readonly protocols: Protocols
}

interface Received { bytes: number }

export class Mesh<M extends Gossiper = Gossiper> {
  readonly members: readonly M[]
  /** What members received on streams of blobs and of gossip. */
  readonly received: Received

  private constructor (members: readonly M[], received: Received) {
    this.members = members
    this.received = received
  }

  /** Nodes of ours. @throws {DeadlineError} the meshes have not formed within two minutes */
  static async form (count: number): Promise<Mesh<Member>> {
    tuneHeap() // as a node does
    const received = { bytes: 0 }
    const members = await connected(count, async () => {
      const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), profile: 'testnet' })
      const protocols = createProtocols(counted(node, received), { consortium: CONSORTIUM, model: MODEL })
      await protocols.start()
      return { id: node.peerId.toString(), node, protocols, stop: async () => { await protocols.stop() } }
    })
    const topics = [deltaTopic(CONSORTIUM, MODEL), PLAIN_TOPIC]
    await settle(members, ({ node, protocols }) => protocols.delta.subscribers.length === count - 1 && isIn(node, topics, count))
    return new Mesh(members, countGossip(members, received))
  }

  /** Nodes of js-libp2p as it comes. @throws {DeadlineError} as above */
  static async plain (count: number): Promise<Mesh> {
    const members = await connected(count, async () => ({ node: await plainGossiper() }))
    await settle(members, ({ node }) => isIn(node, [PLAIN_TOPIC], count))
    return new Mesh(members, countGossip(members, { bytes: 0 }))
  }

  /** Until nothing has arrived for a while: late copies are part of what was sent before, and in the way of what comes next. */
  async quiet (): Promise<void> {
    for (let before = -1, now = 0; now !== before;) {
      before = now
      await pause(QUIET_MS)
      now = this.received.bytes
    }
  }

  async stop (): Promise<void> {
    await Promise.all(this.members.map(async ({ node, stop }) => {
      await stop?.()
      await node.stop()
    }))
  }
}

/** Makes them one after the other; each dials all before it. */
async function connected<M extends Gossiper> (count: number, make: () => Promise<M>): Promise<M[]> {
  const members: M[] = []
  for (let i = 0; i < count; i++) {
    const member = await make()
    member.node.services.pubsub.subscribe(PLAIN_TOPIC)
    for (const { node: other } of members) await member.node.dial(other.getMultiaddrs())
    members.push(member)
  }
  return members
}

async function settle<M> (members: readonly M[], isSettled: (member: M) => boolean): Promise<void> {
  const deadline = performance.now() + FORM_MS
  while (!members.every(isSettled)) {
    if (performance.now() > deadline) throw new DeadlineError(`${members.length} nodes have formed no mesh within ${FORM_MS / 1000} s`)
    await pause(100)
  }
  await pause(SETTLE_MS)
}

function isIn ({ services }: GossipNode, topics: readonly string[], count: number): boolean {
  const router = services.pubsub as unknown as { getMeshPeers: (topic: string) => string[] }
  return topics.every(topic => router.getMeshPeers(topic).length >= Math.min(MESH_PEERS, count - 1))
}

/** What the protocols take from a node; the streams of blobs that it opens are counted. */
function counted (node: Node, received: Received): ReturnType<typeof components> {
  const taken = components(node)
  const network = Object.assign(Object.create(node) as typeof taken.network, {
    dialProtocol: async (...args: Parameters<Node['dialProtocol']>) => {
      const stream = await node.dialProtocol(...args)
      if (stream.protocol.startsWith(BLOB_PROTOCOL)) stream.addEventListener('message', ({ data }) => { received.bytes += data.byteLength })
      return stream
    }
  })
  return { ...taken, network }
}

/** Gossip has one stream in each direction of a connection, open since they met. */
function countGossip (members: readonly Gossiper[], received: Received): Received {
  for (const stream of members.flatMap(({ node }) => node.getConnections()).flatMap(({ streams }) => streams)) {
    if (stream.direction === 'inbound' && stream.protocol.startsWith(GOSSIP_PROTOCOL)) stream.addEventListener('message', ({ data }) => { received.bytes += data.byteLength })
  }
  return received
}

/** Of a delta as a host of four clients announces it. */
export function manifestOf (host: string, round: number, bytes: number, hash: string): DeltaManifest {
  return { host, model: MODEL, round, base: { [host]: round }, codec: 'f16', bytes, hash, samples: 2560, clients: 4, losses: [{ task: 'bench', loss: 0.5, samples: 640 }], norm: 1 }
}

/**
 * Resolves when `arrive` was called once for every member but the sender.
 * @throws {DeadlineError} somebody has nothing after a minute
 */
export async function everybodyElse<M extends Gossiper> ({ members }: Mesh<M>, sender: M, listen: (member: M, arrive: () => void) => () => void): Promise<void> {
  const others = members.filter(member => member !== sender)
  const ends: Array<() => void> = []
  let missing = others.length
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(() => { reject(new DeadlineError(`${missing} of ${others.length} nodes have nothing after a minute`)) }, 60_000)
  for (const member of others) ends.push(listen(member, () => { if (--missing === 0) resolve() }))
  try {
    await promise
  } finally {
    clearTimeout(timer)
    for (const end of ends) end()
  }
}

/** Sends a message on the plain topic. @returns ms until the last member had it */
export async function plainGossip<M extends Gossiper> (mesh: Mesh<M>, sender: M, bytes: Uint8Array): Promise<number> {
  const arrived = everybodyElse(mesh, sender, ({ node }, arrive) => {
    const onMessage = ({ detail }: { detail: { topic: string } }): void => { if (detail.topic === PLAIN_TOPIC) arrive() }
    const { pubsub } = node.services
    pubsub.addEventListener('message', onMessage as never)
    return () => { pubsub.removeEventListener('message', onMessage as never) }
  })
  const startedAt = performance.now()
  await Promise.all([arrived, sender.node.services.pubsub.publish(PLAIN_TOPIC, bytes)])
  return performance.now() - startedAt
}
