import test from 'ava'
import { BlobFetcher, BlobService, BlobStore, serveBlobs, sha256 } from '../../protocols/blob/index.ts'
import { BLOB_CHUNK_BYTES } from '../../protocols/limits.ts'
import { DecodeError, ProtocolError, ResourceError } from '../../src/errors.ts'
import { startNodes } from './nodes.ts'
import type { TestNode } from './nodes.ts'
import type { ExecutionContext } from 'ava'

function blob (size: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(size)
  for (let i = 0, x = seed; i < size; i++) bytes[i] = (x = (x * 1103515245 + 12345) >>> 0) >>> 24
  return bytes
}

const CONTENT = blob(3 * BLOB_CHUNK_BYTES + 17)
const HASH = sha256(CONTENT)

/** A provider of CONTENT that may change what it gives. */
async function provide (node: TestNode, asked: number[], change: Partial<Pick<BlobStore, 'manifest' | 'chunk'>> = {}): Promise<void> {
  const store = new BlobStore(2 ** 24)
  store.put(CONTENT)
  await serveBlobs(node.components, {
    manifest: hash => change.manifest == null ? store.manifest(hash) : change.manifest(hash),
    chunk: (hash, index) => {
      asked.push(index)
      return change.chunk == null ? store.chunk(hash, index) : change.chunk(hash, index)
    }
  })
}

async function three (t: ExecutionContext): Promise<[TestNode, TestNode, TestNode]> {
  const [a, b, c] = await startNodes(t, 3)
  if (a == null || b == null || c == null) throw new Error('three nodes')
  await c.node.dial(b.node.getMultiaddrs())
  return [a, b, c]
}

test('a blob comes from several providers at once', async t => {
  const [a, b, c] = await three(t)
  const [fromA, fromB]: [number[], number[]] = [[], []]
  await provide(a, fromA)
  await provide(b, fromB)
  const got = await new BlobFetcher(c.components).fetch(HASH, CONTENT.length, [a.id, b.id])
  t.is(sha256(got), HASH)
  t.true(fromA.length > 0 && fromB.length > 0)
  t.deepEqual([...fromA, ...fromB].sort(), [0, 1, 2, 3])
})

test('a provider that lies about a chunk is dropped, and the chunk asked for elsewhere', async t => {
  const [liar, honest, c] = await three(t)
  const [fromLiar, fromHonest]: [number[], number[]] = [[], []]
  await provide(liar, fromLiar, { chunk: () => blob(BLOB_CHUNK_BYTES, 2) })
  await provide(honest, fromHonest)
  t.is(sha256(await new BlobFetcher(c.components).fetch(HASH, CONTENT.length, [liar.id, honest.id])), HASH)
  t.true(fromLiar.length <= 2, `${fromLiar.length} requests`)
  t.deepEqual([...new Set(fromHonest)].sort(), [0, 1, 2, 3])
})

test('a provider with another blob under the same hash convinces nobody', async t => {
  const [liar, honest, c] = await three(t)
  const other = new BlobStore(2 ** 24)
  const otherHash = other.put(blob(CONTENT.length, 3))
  await provide(liar, [], { manifest: () => other.manifest(otherHash), chunk: (_hash, index) => other.chunk(otherHash, index) })
  await provide(honest, [])
  t.is(sha256(await new BlobFetcher(c.components).fetch(HASH, CONTENT.length, [liar.id, honest.id])), HASH)
  const err = await t.throwsAsync(new BlobFetcher(c.components).fetch(HASH, CONTENT.length, [liar.id]), { instanceOf: ProtocolError, code: 'ERR_BLOB' })
  t.regex(err?.message ?? '', /manifest of another blob/)
})

test('a second try goes on where the first ended', async t => {
  const [a, b, c] = await three(t)
  const [fromA, fromB]: [number[], number[]] = [[], []]
  await provide(a, fromA, { chunk: (_hash, index) => index < 2 ? CONTENT.subarray(index * BLOB_CHUNK_BYTES, (index + 1) * BLOB_CHUNK_BYTES) : undefined })
  await provide(b, fromB)
  const fetcher = new BlobFetcher(c.components)
  await t.throwsAsync(fetcher.fetch(HASH, CONTENT.length, [a.id]), { code: 'ERR_BLOB', message: /no such blob here/ })
  t.is(sha256(await fetcher.fetch(HASH, CONTENT.length, [b.id])), HASH)
  t.deepEqual(fromB.sort(), [2, 3])
})

test('a small blob needs no manifest, and what was fetched is provided further', async t => {
  const [a, b, c] = await three(t)
  const services = [a, b, c].map(({ components }) => new BlobService(components, { maxBytes: 2 ** 20 }))
  const [first, second, third] = services
  if (first == null || second == null || third == null) return t.fail()
  for (const service of services) await service.start()
  const hash = first.put(blob(1000))
  t.deepEqual(await second.fetch(hash, 1000, [a.id]), blob(1000))
  await first.stop()
  t.deepEqual(await third.fetch(hash, 1000, [a.id, b.id]), blob(1000))
  for (const service of services) await service.stop()
})

test('sizes are checked before anything is asked or kept', async t => {
  const [node] = await startNodes(t, 1)
  if (node == null) return t.fail()
  const fetcher = new BlobFetcher(node.components)
  await t.throwsAsync(fetcher.fetch(HASH, 2 ** 40, [node.id]), { instanceOf: DecodeError })
  await t.throwsAsync(fetcher.fetch('abc', 10, [node.id]), { instanceOf: DecodeError })
  t.throws(() => new BlobStore(10).put(blob(11)), { instanceOf: ResourceError })
})

test('the store drops what was used longest ago', t => {
  const store = new BlobStore(30)
  const [a, b, c] = [store.put(blob(10, 1)), store.put(blob(10, 2)), store.put(blob(10, 3))]
  store.get(a)
  const d = store.put(blob(10, 4))
  t.deepEqual([a, b, c, d].map(hash => store.get(hash) != null), [true, false, true, true])
  t.is(store.bytes, 30)
})
