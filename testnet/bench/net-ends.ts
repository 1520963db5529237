/** The two ends of `bench net`: the node of this process, and those of its child processes. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { components } from '../../node/components.ts'
import { createNode } from '../../node/libp2p.ts'
import { createProtocols } from '../../protocols/index.ts'
import { ResourceError } from '../../src/errors.ts'
import { BENCH, UsageMeter } from './net-peer.ts'
import { plainNode } from './raw-streams.ts'
import { tuneHeap } from '../../src/compute/heap.ts'
import type { ChildProcess } from 'node:child_process'
import type { Libp2p } from '@libp2p/interface'
import type { Node } from '../../node/libp2p.ts'
import type { Protocols } from '../../protocols/index.ts'
import type { Frame, FrameChannel } from '../../src/backbone/frames.ts'
import type { PeerBlob, PeerOrder, PeerReady, Usage } from './net-peer.ts'

const PEER = fileURLToPath(new URL('./net-peer.ts', import.meta.url))

interface Peer {
  readonly child: ChildProcess
  readonly id: string
}

export class Ends {
  readonly node: Node
  /** js-libp2p as it comes, connected to the first peer's. */
  readonly plain: Libp2p
  readonly #protocols: Protocols
  readonly #peers: readonly Peer[]
  readonly #channel: FrameChannel
  readonly #answers: AsyncIterator<Frame>
  readonly #usage = new UsageMeter()
  #step = 0
  #seed = 0

  private constructor (nodes: { readonly node: Node, readonly plain: Libp2p }, protocols: Protocols, peers: readonly Peer[], channel: FrameChannel) {
    this.node = nodes.node
    this.plain = nodes.plain
    this.#protocols = protocols
    this.#peers = peers
    this.#channel = channel
    this.#answers = channel.frames[Symbol.asyncIterator]()
  }

  /**
   * Starts `count` processes, and a split-step channel to the first.
   * @param maxBlobBytes - what every node may hold
   */
  static async open (count: number, maxBlobBytes: number): Promise<Ends> {
    tuneHeap() // as a node does
    const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), profile: 'testnet' })
    const plain = await plainNode()
    const protocols = createProtocols(components(node), { ...BENCH, maxBlobBytes })
    await protocols.start()
    const peers: Peer[] = []
    for (let i = 0; i < count; i++) {
      const child = fork(PEER, [String(maxBlobBytes)])
      const { addresses, plain: plainAddresses, peer } = await answered<PeerReady>(child)
      await node.dial(addresses.map(address => multiaddr(address)))
      if (i === 0) await plain.dial(plainAddresses.map(address => multiaddr(address)))
      peers.push({ child, id: peer })
    }
    const host = peers[0]?.id ?? ''
    const admission = await protocols.attach(host, { client: node.peerId.toString(), name: 'bench', model: BENCH.model, tasks: [], cut: [1], samples: 1, batch: 1 })
    return new Ends({ node, plain }, protocols, peers, await protocols.openChannel(host, admission))
  }

  /** @returns seconds until the first peer had taken `count` frames with a tensor of `bytes` */
  async send (bytes: number, count: number): Promise<number> {
    const tensors = [{ name: 'bench', tensor: { shape: [bytes / 4], data: new Float32Array(bytes / 4).fill(7) } }]
    const startedAt = performance.now()
    for (let i = 0; i < count; i++) await this.#channel.send({ kind: 'share', step: this.#step, tensors })
    await this.#echo(1)
    return (performance.now() - startedAt) / 1000
  }

  /** Sends a tensor of `bytes` there and back, the next when the last is back. @returns ms of each */
  async echo (bytes: number, count: number): Promise<number[]> {
    const times: number[] = []
    for (let i = 0; i < count; i++) times.push(await this.#echo(bytes / 4))
    return times
  }

  /** @returns seconds to have a blob that so many peers provide, a new one each time */
  async fetch (bytes: number, providers: number): Promise<number> {
    const seed = this.#seed++
    const from = this.#peers.slice(0, providers)
    const blobs = await Promise.all(from.map(async ({ child }) => await ordered<PeerBlob>(child, { order: 'blob', bytes, seed })))
    await this.usage()
    const startedAt = performance.now()
    await this.#protocols.blobs.fetch(blobs[0]?.hash ?? '', bytes, from.map(({ id }) => id))
    return (performance.now() - startedAt) / 1000
  }

  /** Of every end since this was last asked, this process first. */
  async usage (): Promise<Usage[]> {
    return [this.#usage.read(), ...await Promise.all(this.#peers.map(async ({ child }) => await ordered<Usage>(child, { order: 'usage' })))]
  }

  async close (): Promise<void> {
    this.#usage.stop()
    await this.#channel.close()
    for (const { child } of this.#peers) child.disconnect()
    await this.#protocols.stop()
    await Promise.all([this.node.stop(), this.plain.stop()])
  }

  async #echo (floats: number): Promise<number> {
    const tensor = { shape: [floats], data: new Float32Array(floats).fill(7) }
    const startedAt = performance.now()
    await this.#channel.send({ kind: 'forward', step: this.#step++, tensors: [{ name: 'activations', tensor }] })
    const { done } = await this.#answers.next()
    if (done === true) throw new ResourceError('the other end closed the channel')
    return performance.now() - startedAt
  }
}

async function ordered<T> (child: ChildProcess, order: PeerOrder): Promise<T> {
  const answer = answered<T>(child)
  child.send(order)
  return await answer
}

/** @throws {ResourceError} the process ended instead */
async function answered<T> (child: ChildProcess): Promise<T> {
  const done = new AbortController()
  try {
    const [answer] = await Promise.race([
      once(child, 'message', { signal: done.signal }),
      once(child, 'exit', { signal: done.signal }).then(([code]) => { throw new ResourceError(`the other end ended with status ${code}`) })
    ]) as [T]
    return answer
  } finally {
    done.abort()
  }
}
