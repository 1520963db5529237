import test from 'ava'
import { frames } from '../../protocols/stream.ts'
import { DecodeError, InvalidParametersError, ProtocolError } from '../../src/errors.ts'
import { pair } from './nodes.ts'
import type { Frames, FramesInit, Stream } from '../../protocols/stream.ts'
import type { ExecutionContext } from 'ava'

/** One raw stream, and messages over its other end. */
async function connect (t: ExecutionContext, init: Partial<FramesInit> = {}): Promise<{ raw: Stream, reader: Frames }> {
  const [host, client] = await pair(t)
  const { promise, resolve } = Promise.withResolvers<Frames>()
  await host.node.handle('/test', stream => { resolve(frames(stream, { maxFrameBytes: 1000, peer: 'client', ...init })) })
  const raw = await client.node.dialProtocol(host.node.peerId, '/test')
  return { raw, reader: await promise }
}

test('messages come out whole however they were cut', async t => {
  const { raw, reader } = await connect(t)
  const bytes = Uint8Array.of(3, 1, 2, 3, 130, 1, ...new Uint8Array(130).fill(7), 1, 9)
  for (const byte of bytes) raw.send(Uint8Array.of(byte))
  t.deepEqual(await reader.read(), Uint8Array.of(1, 2, 3))
  const second = await reader.read()
  t.deepEqual(second, new Uint8Array(130).fill(7))
  t.is(second.byteOffset, 0)
  t.is(second.buffer.byteLength, 130)
  t.deepEqual(await reader.read(), Uint8Array.of(9))
  t.is(reader.bytes.received, bytes.length)
})

test('many messages in one chunk come out one by one', async t => {
  const { raw, reader } = await connect(t)
  raw.send(Uint8Array.of(1, 5, 2, 6, 7))
  raw.send(Uint8Array.from({ length: 4000 }, (_, i) => i % 2 === 0 ? 1 : 8))
  t.deepEqual(await reader.read(), Uint8Array.of(5))
  t.deepEqual(await reader.read(), Uint8Array.of(6, 7))
  for (let i = 0; i < 2000; i++) if ((await reader.read())[0] !== 8) t.fail(String(i))
})

test('large messages and small ones alternate, cut anywhere', async t => {
  const { raw, reader } = await connect(t, { maxFrameBytes: 2 ** 24 })
  const sizes = [1, 3_000_000, 2, 70_000, 5_000_000, 1, 1, 1_048_576]
  const bytes = Buffer.concat(sizes.flatMap((size, i) => [varint(size), Buffer.alloc(size, i + 1)]))
  const sending = (async () => {
    for (let at = 0, cut = 1; at < bytes.length; at += cut, cut = cut * 7 % 65_521) {
      if (!raw.send(bytes.subarray(at, at + cut))) await raw.onDrain()
    }
  })()
  for (const [i, size] of sizes.entries()) {
    const message = await reader.read()
    t.is(message.byteLength, size)
    t.is(message.buffer.byteLength, size)
    t.true(message.every(byte => byte === i + 1))
  }
  await sending
  t.is(reader.bytes.received, bytes.length)
})

test('a claim alone takes no memory: a large message gets its buffer when a quarter of it is there', async t => {
  const { raw, reader } = await connect(t, { maxFrameBytes: 2 ** 27 })
  const before = process.memoryUsage().arrayBuffers
  raw.send(Buffer.concat([varint(2 ** 27), Buffer.alloc(1000)]))
  await t.throwsAsync(reader.read({ signal: AbortSignal.timeout(100) }), { name: 'TimeoutError' })
  t.true(process.memoryUsage().arrayBuffers - before < 2 ** 23)
})

const hostile = [
  { id: 'no length', bytes: [0] },
  { id: 'above the limit', bytes: [233, 7] },
  { id: 'more than four bytes of length', bytes: [255, 255, 255, 255, 1] },
  { id: 'ten bytes of length', bytes: [255, 255, 255, 255, 255, 255, 255, 255, 255, 1] },
  { id: 'a length written longer than needed', bytes: [133, 0] }
]
for (const { id, bytes } of hostile) {
  test(`a message with ${id} is refused and resets the stream`, async t => {
    const { raw, reader } = await connect(t)
    const { promise: reset, resolve } = Promise.withResolvers<void>()
    raw.addEventListener('close', () => { resolve() })
    raw.send(Uint8Array.from(bytes))
    await t.throwsAsync(reader.read(), { instanceOf: DecodeError })
    await reset
    await t.throwsAsync(reader.write(Uint8Array.of(1)), { instanceOf: DecodeError })
  })
}

test('a message that stops half-way ends the stream at its deadline', async t => {
  const { raw, reader } = await connect(t, { stallMs: 30 })
  raw.send(Uint8Array.of(3, 1))
  await t.throwsAsync(reader.read(), { instanceOf: ProtocolError, code: 'ERR_STALLED' })
})

test('an aborted read loses nothing', async t => {
  const { raw, reader } = await connect(t)
  raw.send(Uint8Array.of(3, 1))
  await t.throwsAsync(reader.read({ signal: AbortSignal.timeout(20) }), { name: 'TimeoutError' })
  raw.send(Uint8Array.of(2, 3))
  t.deepEqual(await reader.read(), Uint8Array.of(1, 2, 3))
})

test('a clean end, an end inside a message and a reset are told apart', async t => {
  const clean = await connect(t)
  clean.raw.send(Uint8Array.of(1, 4))
  await clean.raw.close()
  t.deepEqual(await clean.reader.read(), Uint8Array.of(4))
  await t.throwsAsync(clean.reader.read(), { code: 'ERR_ENDED' })
  const cut = await connect(t)
  cut.raw.send(Uint8Array.of(3, 4))
  await cut.raw.close()
  await t.throwsAsync(cut.reader.read(), { code: 'ERR_CLOSED', message: 'connection to client closed' })
  const reset = await connect(t)
  reset.raw.abort(new Error('no'))
  await t.throwsAsync(reset.reader.read(), { code: 'ERR_CLOSED' })
})

test('a message that may not be sent is refused before a byte leaves', async t => {
  const { reader } = await connect(t)
  await t.throwsAsync(reader.write(new Uint8Array(1001)), { instanceOf: InvalidParametersError })
  await t.throwsAsync(reader.write(new Uint8Array(0)), { instanceOf: InvalidParametersError })
  t.is(reader.bytes.sent, 0)
})

test('writing waits while nobody reads, and ends with its signal', async t => {
  const { raw, reader } = await connect(t, { maxFrameBytes: 2 ** 24 })
  raw.pause()
  await t.throwsAsync(async () => {
    const signal = AbortSignal.timeout(300)
    for (let i = 0; i < 100; i++) await reader.write(new Uint8Array(2 ** 20), { signal })
  }, { name: 'TimeoutError' })
  t.true(reader.bytes.sent < 16 * 2 ** 20, `${reader.bytes.sent} bytes sent`)
  raw.abort(new Error('done'))
})

function varint (value: number): Uint8Array {
  const bytes: number[] = []
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value & 127) | 128)
  return Uint8Array.from([...bytes, value])
}
