/**
 * js-libp2p alone, for comparison: the jobs of `bench net`, which are bytes sent one way, fetched one way, and echoed, with
 * neither framing nor checks (a writer waits whenever the library says that it should), and nodes that gossip.
 */
import { createLibp2p } from 'libp2p'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { DataError } from '../../src/errors.ts'
import { STREAM_WINDOW_BYTES } from '../../protocols/limits.ts'
import type { GossipSub } from '@libp2p/gossipsub'
import type { Libp2p, Stream } from '@libp2p/interface'

/** What a job needs of a node that is connected to one peer. */
export type RawNode = Pick<Libp2p, 'handle' | 'getPeers' | 'dialProtocol'>

const SINK = '/fmtl-bench/sink/1.0.0'
const SOURCE = '/fmtl-bench/source/1.0.0'
const ECHO = '/fmtl-bench/echo/1.0.0'
/** What a client says first: bytes in all, and bytes of one write; two u32, little endian. */
const ORDER_BYTES = 8
const DONE = Uint8Array.of(1)

export type GossipNode = Libp2p<{ pubsub: GossipSub }>

/** The library as it comes, but for a window as wide as ours. */
const PLAIN = {
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: STREAM_WINDOW_BYTES } })]
}

export async function plainNode (): Promise<Libp2p> { return await createLibp2p(PLAIN) }

/** With gossipsub as it comes, but for what would stop many nodes at one address from meeting. */
export async function plainGossiper (): Promise<GossipNode> {
  return await createLibp2p({
    ...PLAIN,
    connectionManager: { maxConnections: 1000, inboundConnectionThreshold: 1000, maxIncomingPendingConnections: 1000 },
    services: { identify: identify(), pubsub: gossipsub({ scoreParams: { IPColocationFactorWhitelist: new Set(['127.0.0.1']) } }) }
  })
}

export async function serveRaw (node: RawNode): Promise<void> {
  await node.handle(SINK, async stream => {
    const arrived = new Arrivals(stream)
    const { total } = await arrived.order()
    await arrived.bytes(total)
    stream.send(DONE)
    await stream.close()
  })
  await node.handle(SOURCE, async stream => {
    const { total, block } = await new Arrivals(stream).order()
    await sendAll(stream, total, block)
    await stream.close()
  })
  await node.handle(ECHO, async stream => {
    const arrived = new Arrivals(stream)
    const { total, block } = await arrived.order()
    for (let left = total; left > 0; left -= block) {
      await arrived.bytes(block)
      await sendAll(stream, block, block)
    }
    await stream.close()
  })
}

/** Sends `total` bytes in writes of `block`. @returns seconds until the other end said that it has them all */
export async function rawSend (node: RawNode, total: number, block: number): Promise<number> {
  const stream = await open(node, SINK, total, block)
  const arrived = new Arrivals(stream)
  const startedAt = performance.now()
  await sendAll(stream, total, block)
  await arrived.bytes(1)
  const seconds = (performance.now() - startedAt) / 1000
  await stream.close()
  return seconds
}

/** @returns seconds from asking for `total` bytes to having them */
export async function rawFetch (node: RawNode, total: number, block: number): Promise<number> {
  const startedAt = performance.now()
  const stream = await open(node, SOURCE, total, block)
  await new Arrivals(stream).bytes(total)
  const seconds = (performance.now() - startedAt) / 1000
  await stream.close()
  return seconds
}

/** Sends `bytes` there and back `count` times on one stream, the next when the last is back. @returns ms of each */
export async function rawEcho (node: RawNode, bytes: number, count: number): Promise<number[]> {
  const stream = await open(node, ECHO, bytes * count, bytes)
  const arrived = new Arrivals(stream)
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    const startedAt = performance.now()
    await sendAll(stream, bytes, bytes)
    await arrived.bytes(bytes)
    times.push(performance.now() - startedAt)
  }
  await stream.close()
  return times
}

/** To the one peer that the node is connected to. */
async function open (node: RawNode, protocol: string, total: number, block: number): Promise<Stream> {
  const [peer] = node.getPeers()
  if (peer === undefined) throw new DataError('no peer to measure with')
  const stream = await node.dialProtocol(peer, protocol)
  stream.send(new Uint8Array(Uint32Array.of(total, block).buffer))
  return stream
}

async function sendAll (stream: Stream, total: number, block: number): Promise<void> {
  const bytes = new Uint8Array(block).fill(7)
  for (let left = total; left > 0; left -= block) {
    if (!stream.send(bytes.subarray(0, Math.min(block, left)))) await stream.onDrain()
  }
}

/** Counts what arrives; only the order at the beginning is kept. */
class Arrivals {
  #count = 0
  #order: number[] = []
  #wake: () => void = () => {}

  constructor (stream: Stream) {
    stream.addEventListener('message', ({ data }) => {
      this.#count += data.byteLength
      if (this.#order.length < ORDER_BYTES) this.#order.push(...data.subarray(0, Math.min(ORDER_BYTES - this.#order.length, data.byteLength)))
      this.#wake()
    })
  }

  async order (): Promise<{ total: number, block: number }> {
    await this.bytes(ORDER_BYTES)
    const [total = 0, block = 0] = new Uint32Array(Uint8Array.from(this.#order).buffer)
    return { total, block }
  }

  /** Until `count` more bytes are there. */
  async bytes (count: number): Promise<void> {
    while (this.#count < count) await new Promise<void>(resolve => { this.#wake = resolve })
    this.#count -= count
  }
}
