/** One node per home, whatever ended the one before. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { HomeInUseError, holderOf, isAlive, lockHome } from '../../node/store/lock.ts'
import { ResourceError } from '../../src/errors.ts'
import { folderOf } from '../helpers/files.ts'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import type { ExecutionContext } from 'ava'

const HOLDER = fileURLToPath(new URL('./lock-holder.ts', import.meta.url))
/** A process takes some 100 ms to load the module; on a busy machine several times that. */
const TOGETHER_MS = 1_500

async function contend (t: ExecutionContext, home: string, count: number, lead = 0): Promise<{ said: string[], children: ChildProcessWithoutNullStreams[] }> {
  const at = Date.now() + lead
  const children = Array.from({ length: count }, () => spawn(process.execPath, [HOLDER, home, String(at)]))
  t.teardown(() => { for (const child of children) child.kill('SIGKILL') })
  const said = await Promise.all(children.map(async child => String((await once(createInterface(child.stdout), 'line') as [string])[0])))
  return { said, children }
}

test('a free home is taken, named and released', async t => {
  const home = join(await folderOf(t, {}), 'new', 'home')
  const lock = await lockHome(home)
  t.false(lock.unclean)
  t.is(holderOf(home)?.pid, process.pid)
  await t.throwsAsync(lockHome(home), { instanceOf: HomeInUseError, message: `a node runs in ${home} already (process ${process.pid})` })
  t.is(holderOf(home)?.pid, process.pid, 'the holder is unharmed')
  lock.release()
  t.is(holderOf(home), undefined)
  t.deepEqual(await readdir(home), [])
})

test('a lock that somebody else has by now is not released', async t => {
  const home = await folderOf(t, {})
  const lock = await lockHome(home)
  await writeFile(join(home, 'lock'), '1 1\n')
  lock.release()
  t.is(await readFile(join(home, 'lock'), 'utf8'), '1 1\n')
})

test.serial('of processes that begin at the same moment exactly one has the home', async t => {
  const home = await folderOf(t, {})
  const { said } = await contend(t, home, 2, TOGETHER_MS)
  t.deepEqual(said.sort(), ['ERR_HOME_IN_USE', 'holds'])
})

test.serial('of processes that find the same stale lock exactly one takes over', async t => {
  for (const stale of ['4194304999 5\n', '']) {
    const home = await folderOf(t, { lock: stale })
    const { said } = await contend(t, home, 3, TOGETHER_MS)
    t.deepEqual(said.sort(), ['ERR_HOME_IN_USE', 'ERR_HOME_IN_USE', 'took over'])
    t.deepEqual(await readdir(home), ['lock'])
  }
})

test.serial('a killed process leaves a lock that the next one takes over', async t => {
  const home = await folderOf(t, {})
  const first = await contend(t, home, 1)
  t.deepEqual(first.said, ['holds'])
  t.deepEqual((await contend(t, home, 1)).said, ['ERR_HOME_IN_USE'])
  const [child] = first.children
  child?.kill('SIGKILL')
  await once(child as ChildProcessWithoutNullStreams, 'exit')
  t.is(holderOf(home), undefined)
  t.deepEqual((await contend(t, home, 1)).said, ['took over'])
})

test('a process id that another process has by now is no holder', async t => {
  if (process.platform !== 'linux') return t.pass()
  const home = await folderOf(t, { lock: `${process.pid} 1\n` })
  t.is(holderOf(home), undefined)
  const lock = await lockHome(home)
  t.true(lock.unclean)
  t.true(isAlive(holderOf(home) ?? { pid: 0, started: '1' }))
})

test('a takeover that was killed half-way does not keep the next one out', async t => {
  const home = await folderOf(t, { lock: '4194304999 5\n' })
  const first = await contend(t, home, 1)
  t.deepEqual(first.said, ['took over'])
  // as a kill between making the successor and renaming it leaves it: both of processes that are gone
  const [child] = first.children
  child?.kill('SIGKILL')
  await once(child as ChildProcessWithoutNullStreams, 'exit')
  const left = await readFile(join(home, 'lock'), 'utf8')
  await writeFile(join(home, `lock.${createHash('sha256').update(left).digest('hex').slice(0, 8)}`), '4194304998 5\n')
  t.true((await lockHome(home)).unclean)
  t.deepEqual(await readdir(home), ['lock'])
})

test('a socket that answers keeps a stale lock: its process may be in another container', async t => {
  const home = await folderOf(t, { lock: '4194304999 5\n' })
  await t.throwsAsync(lockHome(home, { answers: async () => true }), { instanceOf: HomeInUseError, message: /in another container/ })
  t.is(await readFile(join(home, 'lock'), 'utf8'), '4194304999 5\n')
})

test('a home that cannot be made or locked is one line', async t => {
  const folder = await folderOf(t, { file: 'x' })
  const error = await t.throwsAsync(lockHome(join(folder, 'file')), { instanceOf: ResourceError })
  t.notRegex(error?.message ?? '', /\n/)
  await t.throwsAsync(lockHome(join(folder, 'file', 'home')), { instanceOf: ResourceError, message: /not made/ })
  await rm(join(folder, 'file'))
})
