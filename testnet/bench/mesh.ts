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

export interface Member {
  readonly id: string
  readonly node: Node
  readonly protocols: Protocols
}

export class Mesh {
  readonly members: readonly Member[]
  /** Bytes that members received on streams of blobs, and of gossip. */
  readonly received = { blob: 0, gossip: 0 }

  private constructor (members: readonly Member[]) { this.members = members }

  /** @throws {DeadlineError} the meshes have not formed within two minutes */
  static async form (count: number): Promise<Mesh> {
    tuneHeap() // as a node does
    const members: Member[] = []
    const mesh = new Mesh(members)
    for (let i = 0; i < count; i++) {
      const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), profile: 'testnet' })
      const protocols = createProtocols(mesh.#counted(node), { consortium: CONSORTIUM, model: MODEL })
      await protocols.start()
      node.services.pubsub.subscribe(PLAIN_TOPIC)
      for (const { node: other } of members) await node.dial(other.getMultiaddrs())
      members.push({ id: node.peerId.toString(), node, protocols })
    }
    const deadline = performance.now() + FORM_MS
    while (!members.every(member => mesh.#settled(member))) {
      if (performance.now() > deadline) throw new DeadlineError(`${count} nodes have formed no mesh within ${FORM_MS / 1000} s`)
      await pause(100)
    }
    await pause(SETTLE_MS)
    mesh.#countGossip()
    return mesh
  }

  /** Until nothing has arrived for a while: late copies are part of what was sent before, and in the way of what comes next. */
  async quiet (): Promise<void> {
    for (let before = -1, now = 0; now !== before;) {
      before = now
      await pause(QUIET_MS)
      now = this.received.blob + this.received.gossip
    }
  }

  async stop (): Promise<void> {
    await Promise.all(this.members.map(async ({ node, protocols }) => {
      await protocols.stop()
      await node.stop()
    }))
  }

  #settled ({ node, protocols }: Member): boolean {
    const others = this.members.length - 1
    const router = node.services.pubsub as unknown as { getMeshPeers: (topic: string) => string[] }
    return protocols.delta.subscribers.length === others &&
      [deltaTopic(CONSORTIUM, MODEL), PLAIN_TOPIC].every(topic => router.getMeshPeers(topic).length >= Math.min(MESH_PEERS, others))
  }

  /** What the protocols take from a node; the streams of blobs that it opens are counted. */
  #counted (node: Node): ReturnType<typeof components> {
    const taken = components(node)
    const network = Object.assign(Object.create(node) as typeof taken.network, {
      dialProtocol: async (...args: Parameters<Node['dialProtocol']>) => {
        const stream = await node.dialProtocol(...args)
        if (stream.protocol.startsWith(BLOB_PROTOCOL)) stream.addEventListener('message', ({ data }) => { this.received.blob += data.byteLength })
        return stream
      }
    })
    return { ...taken, network }
  }

  /** Gossip has one stream in each direction of a connection, open since they met. */
  #countGossip (): void {
    for (const { node } of this.members) {
      for (const stream of node.getConnections().flatMap(connection => connection.streams)) {
        if (stream.direction === 'inbound' && stream.protocol.startsWith(GOSSIP_PROTOCOL)) stream.addEventListener('message', ({ data }) => { this.received.gossip += data.byteLength })
      }
    }
  }
}

/** Of a delta as a host of four clients announces it. */
export function manifestOf (host: string, round: number, bytes: number, hash: string): DeltaManifest {
  return { host, model: MODEL, round, base: { [host]: round }, codec: 'f16', bytes, hash, samples: 2560, clients: 4, losses: [{ task: 'bench', loss: 0.5, samples: 640 }], norm: 1 }
}

/**
 * Resolves when `arrive` was called once for every member but the sender.
 * @throws {DeadlineError} somebody has nothing after a minute
 */
export async function everybodyElse (mesh: Mesh, sender: Member, listen: (member: Member, arrive: () => void) => () => void): Promise<void> {
  const others = mesh.members.filter(member => member !== sender)
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
export async function plainGossip (mesh: Mesh, sender: Member, bytes: Uint8Array): Promise<number> {
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
