/** Real nodes over loopback TCP, stopped when the test ends. */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { components } from '../../node/components.ts'
import { createNode } from '../../node/libp2p.ts'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import type { ExecutionContext } from 'ava'
import type { Node } from '../../node/libp2p.ts'
import type { ProtocolComponents } from '../../protocols/components.ts'
import type { AttachRequest, Frame, RoundReport } from '../../src/backbone/frames.ts'

export interface TestNode {
  node: Node
  id: string
  components: ProtocolComponents
}

/** Nodes that all know the first one. @param keyOf - by place; default: a new key each */
export async function startNodes (t: ExecutionContext, count: number, keyOf: (i: number) => Promise<Ed25519PrivateKey> = async () => await generateKeyPair('Ed25519')): Promise<TestNode[]> {
  const nodes: TestNode[] = []
  for (let i = 0; i < count; i++) {
    const node = await createNode({ privateKey: await keyOf(i), profile: 'testnet' })
    t.teardown(async () => { await node.stop() })
    nodes.push({ node, id: node.peerId.toString(), components: components(node) })
    if (nodes[0] != null && i > 0) await node.dial(nodes[0].node.getMultiaddrs())
  }
  return nodes
}

export async function pair (t: ExecutionContext): Promise<[host: TestNode, client: TestNode]> {
  const [host, client] = await startNodes(t, 2)
  if (host == null || client == null) throw new Error('two nodes')
  return [host, client]
}

/** Calls `ready` at once and then at every tick of a short timer, until it holds. */
export async function until (ready: () => boolean, timeoutMs = 10_000): Promise<void> {
  const start = performance.now()
  while (!ready()) {
    if (performance.now() - start > timeoutMs) throw new Error('condition not reached')
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** How many peers a node passes a topic's messages on to. A message that comes before a peer is among them misses it. */
export function meshSize ({ node }: TestNode, topic: string): number {
  return (node.services.pubsub as unknown as { getMeshPeers: (topic: string) => string[] }).getMeshPeers(topic).length
}

/** A message in one piece, at offset 0 of its buffer, as it arrives. */
export function joined (parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts))
}

export function attachRequest (client: string): AttachRequest {
  return { client, name: 'site a', model: 'm'.repeat(64), tasks: ['digits-parity', 'digits-loop'], cut: [16, 64], samples: 1200, batch: 32 }
}

export const report: RoundReport = {
  host: 'host-1',
  round: 3,
  steps: 20,
  seconds: 1.25,
  contributors: ['client-1', 'client-2'],
  missing: ['client-3: no gradient within 5000 ms'],
  pairs: 380,
  conflictPairs: 41,
  meanCosine: 0.25,
  minCosine: -0.75,
  removedShare: 0.125,
  minDirectionCosine: 0.0625,
  minUpdateCosine: -0.03125,
  merged: ['host-2'],
  mergeReason: 'better than own by 1.5 standard errors',
  bytesUp: 2 ** 33,
  bytesDown: 12_345,
  final: false
}

function tensor (shape: number[], seed: number): { shape: number[], data: Float32Array } {
  const data = new Float32Array(shape.reduce((n, dim) => n * dim, 1))
  for (let i = 0; i < data.length; i++) data[i] = Math.sin(seed + i) * 3
  return { shape, data }
}

/** One frame of every kind, with everything that such a frame may carry. */
export const clientFrames: Frame[] = [
  { kind: 'forward', step: 0, tensors: [{ name: 'activations', tensor: tensor([4, 3, 5], 1) }] },
  { kind: 'grads', step: 0, tensors: [{ name: 'task/digits-parity', tensor: tensor([4, 7], 2) }, { name: 'task/digits-loop', tensor: tensor([4, 7], 3) }], losses: [{ task: 'digits-parity', loss: 0.5, samples: 4 }, { task: 'digits-loop', loss: Infinity, samples: 4 }] },
  { kind: 'share', step: 0, tensors: [{ name: 'embed/image', tensor: tensor([9], 4) }] },
  { kind: 'eval-forward', step: 0, candidate: 'merged', tensors: [{ name: 'activations', tensor: tensor([2, 3, 5], 5) }] },
  { kind: 'eval-result', step: 1, round: 3, tensors: [], scores: [{ candidate: 'host-2@3', loss: 0.75, samples: 40, difference: -0.125, standardError: 0.0625 }] },
  { kind: 'leave', step: 1, tensors: [], code: 'ERR_DONE', reason: 'no more data' }
]
export const hostFrames: Frame[] = [
  { kind: 'features', step: 0, tensors: [{ name: 'features', tensor: tensor([4, 7], 6) }] },
  { kind: 'emb-grad', step: 0, tensors: [{ name: 'activations', tensor: tensor([4, 3, 5], 7) }] },
  { kind: 'step', step: 1, tensors: [{ name: 'embed/image', tensor: tensor([9], 8) }], code: 'late', reason: 'step 0 closed without you' },
  { kind: 'eval', step: 1, round: 3, candidate: 'host-2@3', tensors: [{ name: 'trunk', tensor: tensor([33], 9) }] },
  { kind: 'eval-features', step: 0, candidate: 'merged', tensors: [{ name: 'features', tensor: tensor([2, 7], 10) }] },
  { kind: 'round', step: 1, round: 3, tensors: [], report },
  { kind: 'pause', step: 1, tensors: [], code: 'DISK_FULL', reason: 'no space left' },
  { kind: 'refused', step: 1, tensors: [], code: 'ERR_BATCH', reason: 'batch of 64, at most 32' }
]
