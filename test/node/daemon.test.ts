/** A node as a daemon, over loopback in a home of its own: from the command line to the control socket and back. */
import { createServer } from 'node:net'
import { join } from 'node:path'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { NoNodeError, request } from '../../node/control/client.ts'
import { folderOf } from '../helpers/files.ts'
import { holderOf, isAlive } from '../../node/store/lock.ts'
import { stopNode } from '../../node/cli/down.ts'
import type { AddressInfo } from 'node:net'
import type { ExecutionContext } from 'ava'
import type { NodeEvent } from '../../node/events.ts'
import type { PeersAnswer, StatusAnswer } from '../../node/control/residence.ts'

const COMMAND = fileURLToPath(new URL('../../scripts/fmtl-node.mjs', import.meta.url))
const CLIENT = ['--data', 'scenes', '--client', 'camera-0', '--role', 'client', '--profile', 'testnet', '--backend', 'cpu']

interface Ended { readonly status: number | null, readonly stdout: string, readonly stderr: string }

async function run (args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ['ignore', 'pipe', 'pipe'], timeout: 90_000 })
  const closed = once(child, 'close') as Promise<[number | null]>
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { status, stdout, stderr }
}

/** A home whose node, if one is left, is ended with the test. */
async function homeOf (t: ExecutionContext, files: Readonly<Record<string, string>> = {}): Promise<string> {
  const home = join(await folderOf(t, files), 'home')
  t.teardown(() => {
    const holder = holderOf(home)
    if (holder !== undefined) process.kill(holder.pid, 'SIGKILL')
  })
  return home
}

function fails (t: ExecutionContext, { status, stderr }: Ended, names: RegExp): void {
  t.true(status !== null && status >= 2 && status < 60, stderr)
  t.is(stderr.trimEnd().split('\n').length, 1, stderr)
  t.regex(stderr, names)
}

async function until (holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(resolve => { setTimeout(resolve, 20) })
}

test.serial('a daemon comes up, says why it waits, refuses a second one, survives a kill, and goes down', async t => {
  const home = await homeOf(t)
  const at = ['--home', home]
  const up = await run(['up', ...at, ...CLIENT, '--name', 'clinic', '--detach', '--format', 'json'])
  t.is(up.status, 0, up.stderr)
  const started = JSON.parse(up.stdout) as { success: boolean, name: string, peer: string, addresses: string[], pid: number }
  t.true(started.success)
  t.is(started.name, 'clinic')
  t.regex(started.addresses[0] ?? '', /^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3KooW/)
  t.is(holderOf(home)?.pid, started.pid)

  const status = await request<StatusAnswer>(home, 'GET', '/status')
  t.deepEqual(status.waiting.map(({ code }) => code), ['NO_PEERS', 'NO_HOST'])
  t.true(status.joined.yes)
  t.false(status.ready.yes)
  t.false(status.contributing.yes)
  t.is(status.peer, started.peer)
  t.deepEqual((await request<PeersAnswer>(home, 'GET', '/peers')).peers, [])
  const [shown, second, secondDetached] = await Promise.all([run(['status', ...at]), run(['up', ...at, ...CLIENT]), run(['up', ...at, ...CLIENT, '--detach', '--format', 'json'])])
  t.is(shown.status, 0, shown.stderr)
  t.regex(shown.stdout, /^NO_HOST {2}no host has announced itself; next: /m)
  t.regex(shown.stdout, /^contributing no /m)

  fails(t, second, new RegExp(`a node runs in \\S+ already \\(process ${started.pid}\\); next: fmtl-node status, or fmtl-node down`))
  t.is(secondDetached.status, 25)
  t.like(JSON.parse(secondDetached.stdout), { success: false, code: 'ERR_HOME_IN_USE' })
  t.is((await request<StatusAnswer>(home, 'GET', '/status')).pid, started.pid, 'the first is unharmed')

  process.kill(started.pid, 'SIGKILL')
  await until(() => holderOf(home) === undefined)
  await t.throwsAsync(request(home, 'GET', '/status'), { instanceOf: NoNodeError })
  const absent = await run(['status', ...at, '--format', 'json'])
  t.is(absent.status, 26)
  t.deepEqual(JSON.parse(absent.stdout), { success: false, code: 'ERR_NO_NODE', message: `no node runs in ${home}`, next: 'fmtl-node up' })

  const again = await run(['up', ...at, ...CLIENT, '--detach'])
  t.is(again.status, 0, again.stderr)
  t.true(again.stdout.includes(started.peer), 'the same identity')
  const log = await run(['logs', ...at])
  t.is(log.stdout.match(/did not stop in order/g)?.length, 1, log.stdout)
  t.regex(log.stdout, /node waits: no host has announced itself yet\n$/)

  const holder = holderOf(home)
  const down = await run(['down', ...at])
  t.is(down.status, 0, down.stderr)
  t.is(down.stdout, `the node in ${home} (process ${holder?.pid}) has stopped\n`)
  t.false(holder !== undefined && isAlive(holder))
  const repeated = await run(['down', ...at])
  t.is(repeated.status, 0)
  t.is(repeated.stdout, `no node runs in ${home}\n`)

  const events = (await readFile(join(home, 'logs', 'events.jsonl'), 'utf8')).trimEnd().split('\n').map(line => JSON.parse(line) as NodeEvent)
  t.is(events.filter(({ type }) => type === 'node:started').length, 2)
  t.is(events.filter(event => event.type === 'error' && event.code === 'ERR_UNCLEAN_STOP').length, 1)
})

test.serial('a daemon that cannot start says why where it was started', async t => {
  const home = await homeOf(t)
  const server = createServer()
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  const { port } = server.address() as AddressInfo
  const taken = ['--listen', `/ip4/127.0.0.1/tcp/${port}`]
  fails(t, await run(['up', '--home', home, ...CLIENT, ...taken, '--detach']), new RegExp(`address 127\\.0\\.0\\.1:${port} is already in use; next: choose another port`))
  t.is(holderOf(home), undefined)
  const foreground = await run(['up', '--home', home, ...CLIENT, ...taken])
  fails(t, foreground, /already in use/)
  t.notRegex(foreground.stderr, /did not stop in order/, 'the failure before was an orderly end')
})

test.serial('a node in the foreground ends when it is told to', async t => {
  const home = await homeOf(t)
  const child = spawn(process.execPath, [COMMAND, 'up', '--home', home, ...CLIENT, '--format', 'json'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit') as Promise<[number | null]>
  await new Promise<void>(resolve => { child.stdout.on('data', piece => { if (String(piece).includes('node:started')) resolve() }) })
  t.is(await stopNode(home), child.pid)
  t.deepEqual(await exited, [0, null] as never)
})

test.serial('a node that hangs is named, with what to do', async t => {
  const home = await homeOf(t)
  const up = await run(['up', '--home', home, ...CLIENT, '--detach'])
  t.is(up.status, 0, up.stderr)
  const pid = holderOf(home)?.pid ?? 0
  process.kill(pid, 'SIGSTOP')
  const error = await t.throwsAsync(stopNode(home, 500), { code: 'ERR_DEADLINE', message: new RegExp(`process ${pid} is still there after 0\\.5 s: the node in .* does not answer`) })
  t.regex((error as { next?: string }).next ?? '', new RegExp(`kill -9 ${pid}`))
  process.kill(pid, 'SIGCONT')
  await until(() => holderOf(home) === undefined) // it was sent SIGTERM meanwhile
})

test.serial('a watch says that nobody runs, and goes on', async t => {
  const child = spawn(process.execPath, [COMMAND, 'status', '--watch', '--home', await homeOf(t)], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => { child.kill('SIGKILL') })
  let out = ''
  await new Promise<void>(resolve => {
    child.stdout.on('data', piece => {
      out += String(piece)
      if (out.match(/no node runs in \S+; next: fmtl-node up\n/g)?.length === 2) resolve()
    })
  })
  t.is(child.exitCode, null)
})

const refused: ReadonlyArray<{ id: string, files?: Readonly<Record<string, string>>, args: (folder: string) => readonly string[], names: RegExp }> = [
  { id: 'a home that is a file', files: { file: '' }, args: folder => ['up', '--home', join(folder, 'file'), ...CLIENT], names: /file.*next: / },
  { id: 'a home that is a file, detached', files: { file: '' }, args: folder => ['up', '--home', join(folder, 'file'), ...CLIENT, '--detach'], names: /file.*next: / },
  { id: 'an unknown key in the configuration', files: { 'c.yaml': 'node: { colour: red }\n' }, args: folder => ['up', '--config', join(folder, 'c.yaml'), ...CLIENT], names: /c\.yaml: node\.colour is no setting; next: known: name, / },
  { id: 'the status where nobody runs', args: folder => ['status', '--home', folder], names: /no node runs in \S+; next: fmtl-node up/ },
  { id: 'the peers where nobody runs', args: folder => ['peers', '--home', folder], names: /no node runs in \S+; next: fmtl-node up/ },
  { id: 'a log that was never written', args: folder => ['logs', '--home', folder], names: /there is no log \S+; next: fmtl-node up --detach/ },
  { id: 'a number of lines that is none', args: folder => ['logs', '--home', folder, '--lines', 'many'], names: /--lines must be a whole number/ }
]
for (const { id, files = {}, args, names } of refused) {
  test.serial(`is one line: ${id}`, async t => { fails(t, await run(args(await folderOf(t, files))), names) })
}
