/** The control socket: who may open it, what it refuses, and how its client says that nobody is there. */
import { mkdtemp, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { ControlServer, MAX_BODY_BYTES } from '../../node/control/server.ts'
import { DeadlineError, FmtlError, InvalidParametersError, ResourceError } from '../../src/errors.ts'
import { NoNodeError, request } from '../../node/control/client.ts'
import { controlPath } from '../../node/control/path.ts'
import { folderOf } from '../helpers/files.ts'
import type { ExecutionContext } from 'ava'
import type { Route } from '../../node/control/server.ts'

const echo: Route = { method: 'POST', path: '/echo', handle: body => ({ body }) }
const pid: Route = { method: 'GET', path: '/pid', handle: () => ({ pid: 7 }) }

async function serve (t: ExecutionContext, routes: readonly Route[], init: { deadlineMs?: number, home?: string } = {}): Promise<string> {
  const home = init.home ?? await folderOf(t, {})
  const server = new ControlServer({ at: controlPath(home), routes, ...init })
  await server.start()
  t.teardown(async () => { await server.stop() })
  return home
}

/** Bytes as a stranger might write them. */
async function raw (home: string, sent: string): Promise<{ status: number, answer: Record<string, unknown> }> {
  const socket = connect(controlPath(home).path)
  socket.on('error', () => {}) // an answer that comes before all is sent closes the rest
  socket.write(sent)
  const received = await text(socket)
  return { status: Number(received.split(' ')[1]), answer: JSON.parse(received.slice(received.indexOf('\r\n\r\n'))) as Record<string, unknown> }
}

test('a request goes out and comes back', async t => {
  const home = await serve(t, [echo, pid])
  t.deepEqual(await request(home, 'GET', '/pid'), { pid: 7 })
  t.deepEqual(await request(home, 'POST', '/echo', { name: 'Klinik Süd' }), { body: { name: 'Klinik Süd' } })
  t.deepEqual(await request(home, 'POST', '/echo'), {})
})

test('only its owner may open the socket', async t => {
  const home = await serve(t, [pid])
  t.is((await stat(join(home, 'control.sock'))).mode & 0o777, 0o600)
})

test('a home with a long path gets its socket in a folder of its own', async t => {
  const base = await mkdtemp(join(tmpdir(), 'fmtl-long-'))
  t.teardown(async () => { await rm(base, { recursive: true, force: true }) })
  const home = join(base, 'h'.repeat(100))
  await mkdir(home)
  const { path, folder } = controlPath(home)
  if (folder === undefined) return t.fail('no folder')
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  t.true(Buffer.byteLength(path) <= 100, path)
  await serve(t, [pid], { home })
  t.is((await stat(folder)).mode & 0o777, 0o700)
  t.is((await stat(path)).mode & 0o777, 0o600)
  t.deepEqual(await request(home, 'GET', '/pid'), { pid: 7 })
  t.not(controlPath(`${home}2`).path, path)
})

test('a folder for the socket that others may write is refused', async t => {
  const base = await folderOf(t, {})
  const folder = join(base, 'open')
  await mkdir(folder)
  const server = new ControlServer({ at: { path: join(folder, 'control.sock'), folder }, routes: [] })
  await t.throwsAsync(server.start(), { instanceOf: ResourceError, message: /is not this user's alone/ })
})

test('making a socket changes nothing for what else the process makes meanwhile, and leaves nothing beside it', async t => {
  const home = await folderOf(t, {})
  const [before, others] = [process.umask(), join(home, 'others')]
  await mkdir(others)
  const folders = Array.from({ length: 200 }, (_, i) => join(others, String(i)))
  const server = new ControlServer({ at: controlPath(home), routes: [pid] })
  await Promise.all([server.start(), ...folders.map(async folder => { await mkdir(folder, { mode: 0o700 }) })])
  for (const folder of folders) t.is((await stat(folder)).mode & 0o777, 0o700)
  t.is(process.umask(), before)
  t.deepEqual((await readdir(home)).sort(), ['control.sock', 'others'])
  t.deepEqual(await request(home, 'GET', '/pid'), { pid: 7 })
  await server.stop()
  t.deepEqual(await readdir(home), ['others'])
})

test('on Windows it is a named pipe', t => {
  t.regex(controlPath('C:\\Users\\a\\.fmtl', 'win32').path, /^\\\\\.\\pipe\\fmtl-[0-9a-f]{16}$/)
})

test('a socket that a dead process left is replaced', async t => {
  const home = await folderOf(t, { 'control.sock': '' })
  await serve(t, [pid], { home })
  t.deepEqual(await request(home, 'GET', '/pid'), { pid: 7 })
})

const long = 'x'.repeat(MAX_BODY_BYTES + 1)
const refused: ReadonlyArray<{ id: string, sent: string, status: number, code: string, message: RegExp }> = [
  { id: 'an unknown path', sent: 'GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n', status: 404, code: 'ERR_INVALID_PARAMETERS', message: /no \/nothing/ },
  { id: 'a GET of what changes something', sent: 'GET /echo HTTP/1.1\r\nHost: x\r\n\r\n', status: 405, code: 'ERR_INVALID_PARAMETERS', message: /takes POST, not GET/ },
  { id: 'another method', sent: 'DELETE /pid HTTP/1.1\r\nHost: x\r\n\r\n', status: 405, code: 'ERR_INVALID_PARAMETERS', message: /takes GET, not DELETE/ },
  { id: 'a path that climbs', sent: 'GET /../pid HTTP/1.1\r\nHost: x\r\n\r\n', status: 404, code: 'ERR_INVALID_PARAMETERS', message: /no \/\.\.\/pid/ },
  { id: 'a body that is said to be too long, before it comes', sent: `POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: ${MAX_BODY_BYTES + 1}\r\n\r\n`, status: 413, code: 'ERR_INVALID_PARAMETERS', message: /larger than 65536 bytes/ },
  { id: 'a body in pieces that grows too long', sent: `POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${long.length.toString(16)}\r\n${long}\r\n`, status: 413, code: 'ERR_INVALID_PARAMETERS', message: /larger than 65536 bytes/ },
  { id: 'a body that is no JSON', sent: 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{a}', status: 400, code: 'ERR_INVALID_PARAMETERS', message: /no JSON/ },
  { id: 'a body that does not end', sent: 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{', status: 400, code: 'ERR_DEADLINE', message: /not done within 0\.3 s/ }
]

for (const { id, sent, status, code, message } of refused) {
  test(`is refused: ${id}`, async t => {
    const home = await serve(t, [echo, pid], { deadlineMs: 300 })
    const found = await raw(home, sent)
    t.is(found.status, status)
    t.is(found.answer.success, false)
    t.is(found.answer.code, code)
    t.regex(String(found.answer.message), message)
    t.deepEqual(await request(home, 'GET', '/pid'), { pid: 7 }, 'and it serves on')
  })
}

test('a handler that takes too long is given up, and told so', async t => {
  const told = Promise.withResolvers<unknown>()
  const home = await serve(t, [{ method: 'POST', path: '/slow', handle: async (_, signal) => await new Promise<object>(() => { signal.addEventListener('abort', () => { told.resolve(signal.reason) }) }) }], { deadlineMs: 100 })
  await t.throwsAsync(request(home, 'POST', '/slow', {}), { code: 'ERR_DEADLINE', message: 'not done within 0.1 s' })
  t.true(await told.promise instanceof DeadlineError)
})

test('an error crosses with its code and its next step', async t => {
  const home = await serve(t, [{ method: 'POST', path: '/no', handle: () => { throw new InvalidParametersError('not so', { next: 'do this' }) } }])
  const error = await t.throwsAsync(request(home, 'POST', '/no', {}), { instanceOf: FmtlError, code: 'ERR_INVALID_PARAMETERS', message: 'not so' })
  t.is((error as FmtlError).next, 'do this')
})

test('two routes of the same name are a mistake', t => {
  t.throws(() => new ControlServer({ at: { path: 'x' }, routes: [pid, pid] }), { instanceOf: InvalidParametersError })
})

test('where nobody is, the client says so: no home, no socket, a socket nobody listens on', async t => {
  for (const home of [join(tmpdir(), 'fmtl-no-such-home'), await folderOf(t, {}), await folderOf(t, { 'control.sock': '' })]) {
    const error = await t.throwsAsync(request(home, 'GET', '/status'), { instanceOf: NoNodeError, message: `no node runs in ${home}` })
    t.is((error as FmtlError).next, 'fmtl-node up')
  }
})

test('a node that does not answer is named with its process', async t => {
  const home = await serve(t, [{ method: 'GET', path: '/status', handle: async () => await new Promise<object>(() => {}) }])
  await writeFile(join(home, 'lock'), `${process.pid} \n`)
  await t.throwsAsync(request(home, 'GET', '/status', undefined, { timeoutMs: 100 }), { instanceOf: DeadlineError, message: `the node in ${home} (process ${process.pid}) does not answer within 0.1 s` })
})

test('a request can be cancelled', async t => {
  const home = await serve(t, [{ method: 'GET', path: '/status', handle: async () => await new Promise<object>(() => {}) }])
  await t.throwsAsync(request(home, 'GET', '/status', undefined, { signal: AbortSignal.timeout(50) }), { name: 'AbortError' })
})
