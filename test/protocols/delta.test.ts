import test from 'ava'
import { BlobService, sha256 } from '../../protocols/blob/index.ts'
import { DeltaService, decodeDelta, deltaTopic, encodeDelta } from '../../protocols/delta/index.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { startNodes, until } from './nodes.ts'
import type { FetchPayload } from '../../protocols/delta/index.ts'
import type { DeltaManifest } from '../../src/backbone/frames.ts'
import type { ExecutionContext } from 'ava'
import type { TestNode } from './nodes.ts'

const MODEL = 'ab'.repeat(32)

interface Member {
  node: TestNode
  delta: DeltaService
}

async function members (t: ExecutionContext, count: number): Promise<Member[]> {
  const nodes = await startNodes(t, count)
  const made: Member[] = []
  for (const node of nodes) {
    const blobs = new BlobService(node.components, { maxBytes: 2 ** 24 })
    await blobs.start()
    const delta = new DeltaService(node.components, blobs, { consortium: 'c', model: MODEL })
    delta.start()
    made.push({ node, delta })
  }
  await until(() => (made[0]?.delta.subscribers.length ?? 0) === count - 1)
  return made
}

function manifest (host: string, round: number, payload: Uint8Array): DeltaManifest {
  return {
    host,
    model: MODEL,
    round,
    base: { [host]: round - 1, 'host-2': 4 },
    codec: 'f16',
    bytes: payload.length,
    hash: sha256(payload),
    samples: 640,
    clients: 3,
    losses: [{ task: 'digits-parity', loss: 0.25, samples: 320 }],
    norm: 1.5
  }
}

async function heard (delta: DeltaService): Promise<{ got: DeltaManifest, fetchPayload: FetchPayload }> {
  const { promise, resolve } = Promise.withResolvers<{ got: DeltaManifest, fetchPayload: FetchPayload }>()
  delta.onDelta((got, fetchPayload) => { resolve({ got, fetchPayload }) })
  return await promise
}

for (const { id, size } of [{ id: 'a small payload rides along', size: 4000 }, { id: 'a large payload is fetched by its hash', size: 3_000_000 }]) {
  test(id, async t => {
    const all = await members(t, 3)
    const host = all[0]
    if (host == null) return t.fail()
    const payload = Uint8Array.from({ length: size }, (_, i) => i * i)
    const sent = manifest(host.node.id, 1, payload)
    const waiting = all.slice(1).map(async ({ delta }) => await heard(delta))
    await host.delta.publish(sent, payload)
    for (const { got, fetchPayload } of await Promise.all(waiting)) {
      t.deepEqual(got, sent)
      t.is(sha256(await fetchPayload({ signal: AbortSignal.timeout(5000) })), sent.hash)
    }
  })
}

test('a manifest says what its host holds as agreed on, or leaves that out; what is no hash is refused', t => {
  const right = manifest('host-1', 1, Uint8Array.of(1))
  const history = 'ab'.repeat(32)
  t.deepEqual(decodeDelta(encodeDelta({ manifest: { ...right, history } })).manifest, { ...right, history })
  t.false('history' in decodeDelta(encodeDelta({ manifest: right })).manifest)
  t.throws(() => encodeDelta({ manifest: { ...right, history: 'none' } }), { instanceOf: InvalidParametersError })
})

test('a manifest that does not fit its payload, its host or its model is not published', async t => {
  const [host] = await members(t, 1)
  if (host == null) return t.fail()
  const payload = new Uint8Array(100)
  const right = manifest(host.node.id, 1, payload)
  for (const wrong of [{ bytes: 99 }, { hash: 'f'.repeat(64) }, { host: 'somebody' }, { model: 'm' }]) {
    await t.throwsAsync(host.delta.publish({ ...right, ...wrong }, payload), { instanceOf: InvalidParametersError }, JSON.stringify(wrong))
  }
  await t.throwsAsync(host.delta.publish({ ...right, norm: NaN }, payload), { instanceOf: InvalidParametersError })
})

test('a second delta for the same round is reported and not used, a repeated one is ignored', async t => {
  const [host, peer] = await members(t, 2)
  if (host == null || peer == null) return t.fail()
  const [first, second] = [Uint8Array.of(1), Uint8Array.of(2)]
  const got: Array<[number, string]> = []
  peer.delta.onDelta(({ round, hash }) => { got.push([round, hash]) })
  const { promise, resolve } = Promise.withResolvers<unknown>()
  peer.delta.onEquivocation(resolve)
  await host.delta.publish(manifest(host.node.id, 5, first), first)
  await host.delta.publish(manifest(host.node.id, 5, first), first)
  await host.delta.publish(manifest(host.node.id, 5, second), second)
  t.deepEqual(await promise, { host: host.node.id, round: 5, hashes: [sha256(first), sha256(second)] })
  t.deepEqual(got, [[5, sha256(first)]])
})

test('deltas in another name, far ahead or with another payload are not passed on', async t => {
  const [host, peer] = await members(t, 2)
  if (host == null || peer == null) return t.fail()
  const payload = Uint8Array.of(1)
  const got: number[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  peer.delta.onDelta(({ round }) => {
    got.push(round)
    if (round === 2) resolve()
  })
  const topic = deltaTopic('c', MODEL)
  const { pubsub } = host.node.node.services
  await host.delta.publish(manifest(host.node.id, 1, payload), payload)
  await pubsub.publish(topic, encodeDelta({ manifest: manifest(peer.node.id, 7, payload), payload }))
  await pubsub.publish(topic, encodeDelta({ manifest: manifest(host.node.id, 1500, payload), payload }))
  await pubsub.publish(topic, encodeDelta({ manifest: manifest(host.node.id, 8, payload), payload: Uint8Array.of(2) }))
  await host.delta.publish(manifest(host.node.id, 2, payload), payload)
  await promise
  t.deepEqual(got, [1, 2])
})
