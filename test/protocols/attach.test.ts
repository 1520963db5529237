import test from 'ava'
import { attach, serveAttach, SessionTable } from '../../protocols/attach/index.ts'
import { ProtocolError, RefusedError, ResourceError } from '../../src/errors.ts'
import { attachRequest, pair } from './nodes.ts'
import type { Admission } from '../../src/backbone/frames.ts'

const admission: Admission = { session: 's-1', step: 7, version: 2, credits: 4, maxBatch: 64 }

test('a client is admitted, and the host remembers whom it gave the session to', async t => {
  const [host, client] = await pair(t)
  const sessions = new SessionTable()
  t.teardown(() => { sessions.clear() })
  const request = { ...attachRequest(client.id), resume: 'token' }
  await serveAttach(host.components, sessions, async (got, from) => {
    t.deepEqual(got, request)
    t.is(from, client.id)
    return admission
  })
  t.deepEqual(await attach(client.components, host.id, request), admission)
  t.is(sessions.take('s-1', 'somebody else'), undefined)
  t.is(sessions.take('s-1', client.id)?.peer, client.id)
  t.is(sessions.take('s-1', client.id), undefined)
})

test('a refusal reaches the client with its code and reason', async t => {
  const [host, client] = await pair(t)
  await serveAttach(host.components, new SessionTable(), async () => ({ code: 'ERR_FULL', reason: 'all 4 slots are taken' }))
  const err = await t.throwsAsync(attach(client.components, host.id, attachRequest(client.id)), { instanceOf: RefusedError, message: 'all 4 slots are taken' })
  t.like(err?.cause, { code: 'ERR_FULL' })
})

test('what admit throws refuses: a known error with its text, a bug without', async t => {
  const [host, client] = await pair(t)
  let thrown: Error = new ResourceError('no memory left')
  await serveAttach(host.components, new SessionTable(), async () => { throw thrown })
  await t.throwsAsync(attach(client.components, host.id, attachRequest(client.id)), { instanceOf: RefusedError, message: 'no memory left' })
  thrown = new TypeError('undefined is not a function')
  await t.throwsAsync(attach(client.components, host.id, attachRequest(client.id)), { instanceOf: RefusedError, message: 'internal error' })
})

test('a request in another name is refused', async t => {
  const [host, client] = await pair(t)
  await serveAttach(host.components, new SessionTable(), async () => admission)
  const err = await t.throwsAsync(attach(client.components, host.id, attachRequest(host.id)), { instanceOf: RefusedError })
  t.like(err?.cause, { code: 'ERR_IDENTITY' })
})

test('a peer that is no host is named', async t => {
  const [host, client] = await pair(t)
  await t.throwsAsync(attach(client.components, host.id, attachRequest(client.id)), { instanceOf: ProtocolError, code: 'ERR_UNSUPPORTED' })
})

test('a host with too many requests from one peer says so instead of cutting it off', async t => {
  const [host, client] = await pair(t)
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  await serveAttach(host.components, new SessionTable(), async () => {
    await gate
    return { code: 'ERR_FULL', reason: 'full' }
  })
  let busy = 0
  const codes = await Promise.all(Array.from({ length: 12 }, async () => {
    const err = await t.throwsAsync(attach(client.components, host.id, attachRequest(client.id)), { instanceOf: RefusedError })
    const { code } = err?.cause as { code: string }
    if (code === 'ERR_BUSY' && ++busy === 4) open()
    return code
  }))
  t.deepEqual(codes.toSorted(), [...new Array<string>(4).fill('ERR_BUSY'), ...new Array<string>(8).fill('ERR_FULL')])
})
