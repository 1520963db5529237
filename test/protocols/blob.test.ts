import test from 'ava'
import { BLOB_PROTOCOL, BlobFetcher, BlobService, BlobStore, serveBlobs, sha256 } from '../../protocols/blob/index.ts'
import { BlobResponse } from '../../protocols/blob/messages.generated.ts'
import { decodeRequest, decodeResponse, encodeResponse } from '../../protocols/blob/messages.ts'
import { BLOB_CHUNK_BYTES, BUDGETS, MAX_BLOB_MESSAGE_BYTES } from '../../protocols/limits.ts'
import { respond } from '../../protocols/request.ts'
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
    manifest: async hash => await (change.manifest == null ? store.manifest(hash) : change.manifest(hash)),
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

test('a provider that lies about chunks is found out by the whole, its chunks are asked for elsewhere, and later ones are looked at as they come', async t => {
  const [liar, honest, c] = await three(t)
  const [fromLiar, fromHonest, manifests]: [number[], number[], string[]] = [[], [], []]
  const store = new BlobStore(2 ** 24)
  store.put(CONTENT)
  await provide(liar, fromLiar, { chunk: () => blob(BLOB_CHUNK_BYTES, 2) })
  await provide(honest, fromHonest, { manifest: async hash => { manifests.push(hash); return await store.manifest(hash) } })
  const fetcher = new BlobFetcher(c.components)
  for (const { try: nth, most } of [{ try: 1, most: 3 }, { try: 2, most: 2 }]) {
    fromLiar.length = fromHonest.length = 0
    t.is(sha256(await fetcher.fetch(HASH, CONTENT.length, [liar.id, honest.id])), HASH)
    t.true(fromLiar.length <= most, `try ${nth}: ${fromLiar.length} requests`)
    t.deepEqual(fromHonest.toSorted(), [0, 1, 2, 3], `try ${nth}: each chunk once`)
    t.is(manifests.length, nth)
  }
})

test('where all give what they should, no manifest is asked for', async t => {
  const [a, b, c] = await three(t)
  const never = (): never => { throw new Error('a manifest was asked for') }
  await provide(a, [], { manifest: never })
  await provide(b, [], { manifest: never })
  t.is(sha256(await new BlobFetcher(c.components).fetch(HASH, CONTENT.length, [a.id, b.id])), HASH)
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

test('a single provider that lies about a chunk is found out at the end, and only that chunk is fetched again', async t => {
  const [liar, honest, c] = await three(t)
  const fromHonest: number[] = []
  await provide(liar, [], { chunk: (_hash, index) => index === 1 ? blob(BLOB_CHUNK_BYTES, 2) : CONTENT.subarray(index * BLOB_CHUNK_BYTES, (index + 1) * BLOB_CHUNK_BYTES) })
  await provide(honest, fromHonest)
  const fetcher = new BlobFetcher(c.components)
  await t.throwsAsync(fetcher.fetch(HASH, CONTENT.length, [liar.id]), { code: 'ERR_BLOB', message: /chunk 1 is not what its hash says/ })
  t.is(sha256(await fetcher.fetch(HASH, CONTENT.length, [honest.id])), HASH)
  t.deepEqual(fromHonest, [1])
})

test('all chunks of a provider come on one stream', async t => {
  const [a, , c] = await three(t)
  await provide(a, [])
  const { network } = c.components
  let opened = 0
  const counting = {
    network: Object.assign(Object.create(network) as typeof network, {
      dialProtocol: async (...args: Parameters<typeof network.dialProtocol>) => {
        opened++
        return await network.dialProtocol(...args)
      }
    })
  }
  t.is(sha256(await new BlobFetcher(counting).fetch(HASH, CONTENT.length, [a.id])), HASH)
  t.is(opened, 1)
})

test('a provider that answers once a stream serves as well', async t => {
  const [a, , c] = await three(t)
  const store = new BlobStore(2 ** 24)
  store.put(CONTENT)
  await respond(a.components, BLOB_PROTOCOL, {
    maxRequestBytes: MAX_BLOB_MESSAGE_BYTES,
    maxResponseBytes: MAX_BLOB_MESSAGE_BYTES,
    budget: BUDGETS.blob,
    busy: () => new Uint8Array(1),
    answer: async bytes => {
      const { hash, chunk } = decodeRequest(bytes)
      const manifest = await store.manifest(hash)
      return encodeResponse(chunk == null && manifest != null ? { manifest } : { data: [store.chunk(hash, chunk ?? 0) ?? new Uint8Array(0)] })
    }
  })
  t.is(sha256(await new BlobFetcher(c.components).fetch(HASH, CONTENT.length, [a.id])), HASH)
})

test('an aborted fetch ends at once, and the next one goes on where it was', async t => {
  const [a, b, c] = await three(t)
  const fromB: number[] = []
  const abort = new AbortController()
  await provide(a, [], {
    chunk: (_hash, index) => {
      if (index === 2) abort.abort(new Error('enough'))
      return CONTENT.subarray(index * BLOB_CHUNK_BYTES, (index + 1) * BLOB_CHUNK_BYTES)
    }
  })
  await provide(b, fromB)
  const fetcher = new BlobFetcher(c.components)
  await t.throwsAsync(fetcher.fetch(HASH, CONTENT.length, [a.id], { signal: abort.signal }), { message: 'enough' })
  t.is(sha256(await fetcher.fetch(HASH, CONTENT.length, [b.id])), HASH)
  t.true(fromB.length < 4 && !fromB.includes(0), fromB.join())
})

test('two fetches of one blob at once do not disturb each other', async t => {
  const [a, b, c] = await three(t)
  await provide(a, [])
  await provide(b, [])
  const fetcher = new BlobFetcher(c.components)
  const got = await Promise.all([fetcher.fetch(HASH, CONTENT.length, [a.id]), fetcher.fetch(HASH, CONTENT.length, [a.id, b.id])])
  t.deepEqual(got.map(sha256), [HASH, HASH])
})

test('a chunk is the same in whatever pieces its message comes', t => {
  for (const bytes of [1, 127, 128, 16_383, 16_384, BLOB_CHUNK_BYTES]) {
    const data = blob(bytes)
    const message = Buffer.concat(encodeResponse({ data: [data] }))
    t.deepEqual(message, Buffer.from(BlobResponse.encode({ data })))
    for (const cut of [0, 1, 2, 3, 4, 5, message.length >> 1]) {
      const response = decodeResponse([message.subarray(0, cut), message.subarray(cut)].filter(piece => piece.byteLength > 0))
      t.true('data' in response && Buffer.concat(response.data).equals(data), `${bytes} cut at ${cut}`)
    }
  }
  const tooLarge = Buffer.from(BlobResponse.encode({ data: new Uint8Array(BLOB_CHUNK_BYTES + 1) }))
  t.throws(() => decodeResponse([tooLarge]), { instanceOf: DecodeError })
})

test('a large blob is hashed by a thread of its own, and a wrong one found out', async t => {
  const [a, b, c] = await three(t)
  const large = new Uint8Array(33 * BLOB_CHUNK_BYTES + 5).fill(3)
  const services = [a, b, c].map(({ components }) => new BlobService(components, { maxBytes: 2 ** 27 }))
  const [right, wrong, reader] = services
  if (right == null || wrong == null || reader == null) return t.fail()
  for (const service of services) await service.start()
  const hash = right.put(large)
  wrong.add(hash, large.with(32 * BLOB_CHUNK_BYTES, 4))
  await t.throwsAsync(reader.fetch(hash, large.length, [b.id]), { code: 'ERR_BLOB', message: /manifest of another blob/ })
  t.is(sha256(await reader.fetch(hash, large.length, [a.id])), hash)
  for (const service of services) await service.stop()
})

test('a blob that the store could not hold is not asked for', async t => {
  const [a, , c] = await three(t)
  const asked: number[] = []
  await provide(a, asked)
  const service = new BlobService(c.components, { maxBytes: 2 ** 20 })
  await t.throwsAsync(service.fetch(HASH, CONTENT.length, [a.id]), { instanceOf: ResourceError })
  t.deepEqual(asked, [])
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
