/** A home whose disk is full: one line, the right exit status, and nothing lost. Needs a file system of its own, so root. */
import { join } from 'node:path'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { exitStatus } from '../../node/cli/exit-codes.ts'
import { folderOf } from '../helpers/files.ts'

const COMMAND = fileURLToPath(new URL('../../scripts/fmtl-node.mjs', import.meta.url))
const DISK = '4m'
const FULL = process.platform === 'linux' && process.getuid?.() === 0 ? undefined : 'only root on Linux can make a small disk'

async function run (...args: readonly string[]): Promise<{ status: number | null, stdout: string, stderr: string }> {
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ['ignore', 'pipe', 'pipe'], timeout: 90_000 })
  const closed = once(child, 'close') as Promise<[number | null]>
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { status, stdout, stderr }
}

if (FULL !== undefined) test.skip(`a home on a full disk (skipped: ${FULL})`, t => { t.pass() })
else {
  test('a home on a full disk: one line, no damage, and it goes on when there is room', async t => {
    const folder = await folderOf(t, {})
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK}`, 'tmpfs', folder], { encoding: 'utf8' })
    if (mounted.status !== 0) {
      t.log(`skipped: no small disk can be mounted here (${mounted.stderr.trim()})`)
      return t.pass()
    }
    t.teardown(() => { spawnSync('umount', ['-l', folder]) })
    const home = join(folder, 'home')
    const founded = await run('found', 'Full disk', '--home', home, '--data', 'scenes', '--client', 'camera-0', '--name', 'north', '--set', 'network.profile=testnet')
    t.is(founded.status, 0, founded.stderr)
    const files = ['consortium/members.log', 'consortium/charter.json', 'identity', 'config.yaml'].map(name => join(home, name))
    const before = await Promise.all(files.map(async file => (await readFile(file)).toString('hex')))
    const ballast = join(folder, 'ballast')
    await t.throwsAsync(writeFile(ballast, Buffer.alloc(8 * 2 ** 20)), { code: 'ENOSPC' })

    for (const args of [['up', '--home', home, '--backend', 'cpu', '--profile', 'testnet'], ['invite', '--home', home, '--address', '/ip4/127.0.0.1/tcp/4001'], ['init', '--home', join(folder, 'other'), '--yes']]) {
      const { status, stderr } = await run(...args)
      t.is(status, exitStatus('ERR_RESOURCE'), `${args[0] ?? ''}: ${stderr}`)
      t.regex(stderr, /^fmtl-node: [^\n]*no space left on the disk; next: df -h [^\n]+\n$/, args[0])
    }
    t.deepEqual(await Promise.all(files.map(async file => (await readFile(file)).toString('hex'))), before)

    await rm(ballast)
    const invited = await run('invite', '--home', home, '--address', '/ip4/127.0.0.1/tcp/4001')
    t.is(invited.status, 0, invited.stderr)
    t.regex(invited.stdout, /^fmtl:\/\/full-disk\//)
  })
}
