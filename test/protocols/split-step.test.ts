import test from 'ava'
import * as compression from '../../src/compression/index.ts'
import { attach, serveAttach, SessionTable } from '../../protocols/attach/index.ts'
import { openFrames } from '../../protocols/request.ts'
import { decodeMessage, encodeControl, encodeFrame, openChannel, serveSplitStep, SPLIT_STEP_PROTOCOL } from '../../protocols/split-step/index.ts'
import { DataError, DecodeError, InvalidParametersError, PrivacyError, ProtocolError, RefusedError } from '../../src/errors.ts'
import { attachRequest, clientFrames, hostFrames, joined, pair, until } from './nodes.ts'
import type { ServeSplitStepInit, OpenChannelInit, WireChannel } from '../../protocols/split-step/index.ts'
import type { Frame, FrameChannel } from '../../src/backbone/frames.ts'
import type { ExecutionContext } from 'ava'
import type { TestNode } from './nodes.ts'

interface Ends {
  host: TestNode
  client: TestNode
  near: WireChannel
  far: FrameChannel
  /** All that the host accepted; `far` is the first. */
  channels: readonly FrameChannel[]
}

async function connect (t: ExecutionContext, options: { credits?: number, client?: Partial<OpenChannelInit>, host?: Partial<ServeSplitStepInit> } = {}): Promise<Ends> {
  const [host, client] = await pair(t)
  const sessions = new SessionTable()
  t.teardown(() => { sessions.clear() })
  const { promise, resolve } = Promise.withResolvers<FrameChannel>()
  const channels: FrameChannel[] = []
  await serveAttach(host.components, sessions, async () => ({ session: `s-${channels.length}`, step: 0, version: 0, credits: options.credits ?? 8, maxBatch: 64 }))
  const stop = await serveSplitStep(host.components, sessions, {
    tensors: compression,
    ...options.host,
    onChannel: (session, channel) => {
      t.is(session.peer, client.id)
      t.is(session.request.name, 'site a')
      channels.push(channel)
      resolve(channel)
    }
  })
  t.teardown(stop)
  const admission = await attach(client.components, host.id, attachRequest(client.id))
  const near = await openChannel(client.components, host.id, admission, { tensors: compression, ...options.client })
  return { host, client, near, far: await promise, channels }
}

async function next (channel: FrameChannel): Promise<Frame> {
  const { done, value } = await channel.frames[Symbol.asyncIterator]().next()
  if (done === true) throw new Error('no more frames')
  return value
}

function forward (step: number, rows = 2): Frame {
  return { kind: 'forward', step, tensors: [{ name: 'activations', tensor: { shape: [rows, 4], data: new Float32Array(rows * 4).fill(step) } }] }
}

test('every kind of frame arrives bit for bit in f32', async t => {
  const { near, far } = await connect(t)
  for (const frame of clientFrames) {
    await near.send(frame)
    t.deepEqual(await next(far), frame)
  }
  for (const frame of hostFrames) {
    await far.send(frame)
    t.deepEqual(await next(near), frame)
  }
  t.is(near.bytes.sent, far.bytes.received)
  t.is(near.bytes.received, far.bytes.sent)
})

test('f16 halves the tensors in both directions', async t => {
  const sizes: number[] = []
  const { near, far } = await connect(t, { client: { codec: 'f16' }, host: { onFrame: (_direction, _frame, bytes) => { sizes.push(bytes) } } })
  const data = Float32Array.from({ length: 1000 }, (_, i) => Math.fround(Math.sin(i)))
  const rounded = new Float32Array(new Float16Array(data))
  await near.send({ kind: 'forward', step: 0, tensors: [{ name: 'a', tensor: { shape: [1000], data } }] })
  t.deepEqual((await next(far)).tensors[0]?.tensor.data, rounded)
  await far.send({ kind: 'features', step: 0, tensors: [{ name: 'a', tensor: { shape: [1000], data } }] })
  t.deepEqual((await next(near)).tensors[0]?.tensor.data, rounded)
  t.is(sizes.length, 2)
  t.true(sizes.every(size => size > 2000 && size < 2100), sizes.join())
})

test('a frame with a codec of its own travels in it, whatever the channel has', async t => {
  const { near, far } = await connect(t, { client: { codec: 'int8' } })
  const tensor = { shape: [300], data: Float32Array.from({ length: 300 }, (_, i) => Math.fround(Math.sin(i))) }
  await far.send({ kind: 'step', step: 1, tensors: [{ name: 'trunk', tensor }], codec: 'f32' })
  const exact = await next(near)
  t.deepEqual(exact.tensors[0]?.tensor.data, tensor.data)
  t.false('codec' in exact)
  await far.send({ kind: 'step', step: 2, tensors: [{ name: 'trunk', tensor }], code: 'change' })
  t.deepEqual((await next(near)).tensors[0]?.tensor.data, compression.decode('int8', compression.encode('int8', tensor.data), 300))
})

test('1000 frames go there and back in order', async t => {
  const { near, far } = await connect(t)
  const echo = (async () => {
    for await (const frame of far.frames) await far.send({ ...frame, kind: 'features' })
  })()
  const sender = (async () => {
    for (let step = 0; step < 1000; step++) await near.send(forward(step))
  })()
  let step = 0
  for await (const frame of near.frames) {
    if (frame.step !== step || frame.tensors[0]?.tensor.data[0] !== step) t.fail(`frame ${frame.step} at ${step}`)
    if (++step === 1000) break
  }
  await sender
  await near.close()
  await echo
  t.is(step, 1000)
})

test('frames of 8 MiB pass, and a frame above the limit is refused before it is sent', async t => {
  const { near, far } = await connect(t)
  const data = Float32Array.from({ length: 2 ** 21 }, (_, i) => i)
  await near.send({ kind: 'forward', step: 0, tensors: [{ name: 'a', tensor: { shape: [2 ** 21], data } }] })
  const frame = await next(far)
  t.true(frame.tensors[0]?.tensor.data.every((value, i) => value === data[i]))
  t.is((frame.tensors[0]?.tensor.data.byteOffset ?? 1) % 4, 0)
  const large = new Float32Array(2 ** 22 + 1)
  await t.throwsAsync(near.send({ kind: 'forward', step: 1, tensors: [{ name: 'a', tensor: { shape: [large.length], data: large } }] }), { instanceOf: InvalidParametersError })
  await near.send(forward(2))
  t.is((await next(far)).step, 2)
})

test('a float32 tensor is sent from where it stands', t => {
  const data = Float32Array.from({ length: 4096 }, (_, i) => i)
  const parts = encodeFrame({ kind: 'features', step: 0, tensors: [{ name: 'a', tensor: { shape: [4096], data } }] }, 'f32', compression)
  t.true(parts.some(part => part.buffer === data.buffer && part.byteLength === data.byteLength))
})

for (const length of [1, 15, 16, 17, 100]) {
  test(`a value that is no number is found among ${length}, wherever it stands`, t => {
    for (const value of [NaN, Infinity, -Infinity]) {
      for (let i = 0; i < length; i++) {
        const data = new Float32Array(length).fill(3.4e38).with(i, value)
        const bytes = joined(encodeFrame({ kind: 'features', step: 0, tensors: [{ name: 'a', tensor: { shape: [length], data } }] }, 'f32', compression))
        t.throws(() => decodeMessage(bytes, { tensors: compression }), { instanceOf: DecodeError, message: new RegExp(`${value} at element ${i}$`) })
      }
    }
  })
}

test('a frame announced as too large ends the channel before its bytes are kept', async t => {
  const { host, client, far } = await connect(t)
  const hostile = await openFrames(client.components, host.id, SPLIT_STEP_PROTOCOL, 2 ** 27)
  await hostile.write(new Uint8Array(2 ** 26)).catch(() => {})
  await hostile.ended
  await far.send({ kind: 'pause', step: 0, tensors: [] })
  await t.notThrowsAsync(client.node.services.ping.ping(host.node.peerId))
})

test('a client waits while its credits are used up, and leaving does not wait', async t => {
  const { near, far } = await connect(t, { credits: 2 })
  await near.send(forward(0))
  await near.send(forward(1))
  let third = false
  const sending = near.send(forward(2)).then(() => { third = true })
  t.is((await next(far)).step, 0)
  t.is((await next(far)).step, 1)
  await near.send({ kind: 'leave', step: 2, tensors: [] })
  t.is((await next(far)).kind, 'leave')
  t.false(third)
  t.is(near.unanswered, 2)
  await far.send({ kind: 'features', step: 1, tensors: [] })
  await sending
  t.is((await next(far)).step, 2)
  // a step that went past both gives both back
  await far.send({ kind: 'step', step: 3, tensors: [], code: 'late' })
  await until(() => near.unanswered === 0)
  t.pass()
})

test('waiting for a credit ends with the signal, and when the channel ends', async t => {
  const { near, far } = await connect(t, { credits: 1 })
  await near.send(forward(0))
  await t.throwsAsync(near.send(forward(1), { signal: AbortSignal.timeout(20) }), { name: 'TimeoutError' })
  const waiting = near.send(forward(1))
  await far.close(new DataError('host is going down'))
  await t.throwsAsync(waiting, { instanceOf: ProtocolError, code: 'ERR_DATA', message: 'host is going down' })
})

test('a client that ignores its credits is cut off', async t => {
  const { host, client, channels } = await connect(t, { credits: 2 })
  const { session } = await attach(client.components, host.id, attachRequest(client.id))
  const greedy = await openFrames(client.components, host.id, SPLIT_STEP_PROTOCOL, 1000)
  await greedy.write(encodeControl({ control: 'open', session, codec: 'f32' }))
  await greedy.read()
  for (let step = 0; step < 3; step++) await greedy.write(encodeFrame(forward(step), 'f32', compression))
  const far = channels[1]
  if (far == null) return t.fail('no second channel')
  await t.throwsAsync(async () => { for await (const frame of far.frames) t.true(frame.step < 2) }, { code: 'ERR_CREDITS' })
  await greedy.ended
})

test('closing in order ends both iterables without an error', async t => {
  const { near, far } = await connect(t)
  await near.send(forward(0))
  await near.close()
  const seen: number[] = []
  for await (const frame of far.frames) seen.push(frame.step)
  t.deepEqual(seen, [0])
  for await (const frame of near.frames) t.fail(frame.kind)
  await t.throwsAsync(far.send({ kind: 'pause', step: 0, tensors: [] }), { instanceOf: ProtocolError })
})

test('closing with a reason tells it to the other end', async t => {
  const { near, far } = await connect(t)
  await far.close(new DataError('your labels are constant'))
  await t.throwsAsync(next(near), { instanceOf: ProtocolError, code: 'ERR_DATA', message: 'your labels are constant' })
})

test('a peer that dies is noticed at once', async t => {
  const { near, far, client } = await connect(t)
  const waiting = next(far)
  const start = performance.now()
  await client.node.stop()
  await t.throwsAsync(waiting, { instanceOf: ProtocolError, message: `connection to ${client.id} closed` })
  t.true(performance.now() - start < 2000)
  await t.throwsAsync(next(near), { instanceOf: ProtocolError })
})

test('a reset surfaces at once', async t => {
  const { near, far, client } = await connect(t)
  near.abort(new Error('gone'))
  await t.throwsAsync(next(far), { instanceOf: ProtocolError, message: `connection to ${client.id} closed` })
})

test('a guard refuses a frame, and nothing of it leaves', async t => {
  const { near, far } = await connect(t, { client: { beforeSend: frame => { if (frame.kind === 'share') throw new PrivacyError('embed is personal') } } })
  const sent = near.bytes.sent
  await t.throwsAsync(near.send({ kind: 'share', step: 0, tensors: [] }), { instanceOf: PrivacyError })
  t.is(near.bytes.sent, sent)
  await near.send(forward(0))
  t.is((await next(far)).kind, 'forward')
})

test('a tensor with a NaN ends the channel with DecodeError', async t => {
  const { near, far } = await connect(t)
  await near.send({ kind: 'forward', step: 0, tensors: [{ name: 'a', tensor: { shape: [2], data: Float32Array.of(1, NaN) } }] })
  await t.throwsAsync(next(far), { instanceOf: ProtocolError, code: 'ERR_DECODE' })
})

test('a session opens once, and only for the peer it was given to', async t => {
  const { host, client } = await connect(t)
  await t.throwsAsync(openChannel(client.components, host.id, { session: 's-0', credits: 8 }, { tensors: compression }), { instanceOf: RefusedError })
})

test('a slow reader holds the sender back, and loses nothing', async t => {
  const { near, far } = await connect(t)
  const data = new Float32Array(2 ** 20)
  let sent = 0
  const sending = (async () => {
    for (let step = 0; step < 24; step++) {
      await near.send({ kind: 'share', step, tensors: [{ name: 'a', tensor: { shape: [data.length], data } }] })
      sent++
    }
  })()
  await until(() => far.bytes.received > 28 * 2 ** 20)
  t.true(sent < 24, `${sent} frames of 4 MiB sent`)
  for (let step = 0; step < 24; step++) t.is((await next(far)).step, step)
  await sending
})
