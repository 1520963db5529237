/**
 * A process of its own with one node, and beside it one of js-libp2p alone: the other end of `bench net`. It is told what to
 * do over the process channel, and ends with it.
 */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { components } from '../../node/components.ts'
import { createNode } from '../../node/libp2p.ts'
import { Gauges } from '../../node/telemetry/gauges.ts'
import { createProtocols } from '../../protocols/index.ts'
import { plainNode, serveRaw } from './raw-streams.ts'
import { tuneHeap } from '../../src/compute/heap.ts'
import type { FrameChannel } from '../../src/backbone/frames.ts'

/** `blob`: provide that many bytes that differ by `seed`; `usage`: of this thread since that was last asked. */
export type PeerOrder = { readonly order: 'blob', readonly bytes: number, readonly seed: number } | { readonly order: 'usage' }
/** `plain`: addresses of a second node, of js-libp2p as it comes. */
export interface PeerReady { readonly addresses: readonly string[], readonly plain: readonly string[], readonly peer: string }
export interface PeerBlob { readonly hash: string }
export interface Usage { readonly cpuMs: number, readonly loopLagP99Ms: number, readonly loopLagMaxMs: number }

/** Name and model by which the two ends of the bench know each other. */
export const BENCH = { consortium: 'bench', model: '0'.repeat(64) }

/** Bytes that no two seeds have in common, made quickly: the network does not care what they are. */
export function blobOf (bytes: number, seed: number): Uint8Array {
  const blob = new Uint8Array(bytes)
  new DataView(blob.buffer).setUint32(0, seed)
  return blob
}

/** What this process's main thread, the one that runs libp2p, used since the last call. */
export class UsageMeter {
  readonly #gauges = new Gauges()
  #cpuMs = threadMs()

  constructor () { this.#gauges.start() }

  read (): Usage {
    const { loopLagP99Ms, loopLagMaxMs } = this.#gauges.sample()
    const [before, now] = [this.#cpuMs, threadMs()]
    this.#gauges.reset()
    this.#cpuMs = now
    return { cpuMs: now - before, loopLagP99Ms, loopLagMaxMs }
  }

  stop (): void { this.#gauges.stop() }
}

function threadMs (): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** Answers every forward frame with its tensors, and takes share frames silently. */
async function answer (channel: FrameChannel): Promise<void> {
  for await (const frame of channel.frames) {
    if (frame.kind === 'forward') await channel.send({ kind: 'features', step: frame.step, tensors: frame.tensors })
  }
}

async function serve (maxBlobBytes: number): Promise<void> {
  tuneHeap()
  const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), profile: 'testnet' })
  const protocols = createProtocols(components(node), { ...BENCH, maxBlobBytes })
  await protocols.start()
  await protocols.serve({
    admit: async request => ({ session: `session of ${request.client}`, step: 0, version: 0, credits: 1, maxBatch: 1 }),
    onChannel: (_session, channel) => { answer(channel).catch(() => undefined) } // the bench sees its own end of it
  })
  const plain = await plainNode()
  await Promise.all([serveRaw(node), serveRaw(plain)])
  const usage = new UsageMeter()
  process.on('message', (message: PeerOrder) => {
    if (message.order === 'usage') process.send?.(usage.read())
    else process.send?.({ hash: protocols.blobs.put(blobOf(message.bytes, message.seed)) } satisfies PeerBlob)
  })
  process.once('disconnect', () => { process.exit(0) })
  process.send?.({ addresses: node.getMultiaddrs().map(String), plain: plain.getMultiaddrs().map(String), peer: node.peerId.toString() } satisfies PeerReady)
}

if (process.send !== undefined && process.argv[2] !== undefined) await serve(Number(process.argv[2]))
