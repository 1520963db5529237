/** Whatever a user gets wrong ends in one line: what, why, what next; and in an exit status that is not 0. */
import { chmod } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { TINY_MODEL } from '../helpers/command.ts'
import { folderOf, idx } from '../helpers/files.ts'
import type { AddressInfo } from 'node:net'
import type { ExecutionContext } from 'ava'

const COMMAND = fileURLToPath(new URL('../../scripts/fmtl-node.mjs', import.meta.url))

async function up (args: readonly string[]): Promise<{ status: number | null, stderr: string }> {
  const child = spawn(process.execPath, [COMMAND, 'testnet', 'up', '--format', 'json', ...args], { stdio: ['ignore', 'ignore', 'pipe'], timeout: 60_000 })
  const closed = new Promise<number | null>(resolve => { child.on('close', resolve) })
  return { stderr: await text(child.stderr), status: await closed }
}

async function refused (t: ExecutionContext, args: readonly string[], names: RegExp): Promise<void> {
  const { status, stderr } = await up(args)
  t.is(stderr.trimEnd().split('\n').length, 1, stderr)
  t.regex(stderr, names)
  t.notRegex(stderr, /\n\s+at |node:internal/, 'no stack')
  t.true(status !== null && status !== 0, `exit status ${status}`)
}

const TABLE = `name: clinic
files: { rows: rows.csv }
input: { modality: table, columns: [{ name: age, mean: 50, deviation: 10 }, { name: pulse, mean: 70, deviation: 10 }] }
clients: { column: site }
test: { column: part, equals: test }
tasks: [{ id: ill, kind: classes, column: score, values: [0, 1], classes: [healthy, ill] }]
`
const PICTURES = `name: digits
files: { images: images.idx, labels: labels.idx }
input: { modality: image, file: images, prepare: [{ divide: 255 }] }
clients: { single: site }
test: { share: 0.2 }
tasks: [{ id: digit, kind: classes, file: labels, classes: 10 }]
`
const ROWS = ['site,age,score,part', ...Array.from({ length: 40 }, (_, i) => `north,${30 + i},${i % 2},${i % 4 === 0 ? 'test' : 'train'}`)].join('\n')
const CUT = idx([40, 8, 8], new Uint8Array(40 * 64)).subarray(0, 1000)
const TINY = ['--hosts', '1', '--clients', '2', '--rows', '24', '--backend', 'cpu', ...TINY_MODEL]

const flags: ReadonlyArray<{ id: string, args: readonly string[], names: RegExp }> = [
  { id: 'an unknown task', args: ['--tasks', 'nosuch'], names: /no task 'nosuch', there are .*; next: / },
  { id: 'patches larger than the picture', args: ['--set', 'model.embedder={"kind":"patches","patch":64}'], names: /patches of 64 .* do not fit an input of \[32, 32, 3\]; next: / },
  { id: 'heads that do not divide the width', args: ['--set', 'model.heads=5'], names: /model\.width 48 does not divide by model\.heads 5; next: / },
  { id: 'an unknown setting', args: ['--set', 'model.colour=1'], names: /model\.colour is not a setting; next: known: kind, width/ },
  { id: 'an unknown strategy', args: ['--strategy', 'nosuch'], names: /no strategy 'nosuch'; next: use one of fedbone/ },
  { id: 'an unknown rule', args: ['--rule', 'nosuch'], names: /rule cannot be 'nosuch'; next: use one of cagrad, gp, / },
  { id: 'an unknown merge', args: ['--merge', 'nosuch'], names: /merge\.mode cannot be 'nosuch'; next: use one of select/ },
  { id: 'an unknown runner', args: ['--runner', 'nosuch'], names: /--runner cannot be 'nosuch'; next: use process or in-process/ },
  { id: 'an unknown rung', args: ['--backend', 'nosuch'], names: /no compute rung 'nosuch'; next: use one of webgpu/ },
  { id: 'an unknown partition', args: ['--partition', 'nosuch'], names: /no partition 'nosuch', there are by-site, iid, dirichlet/ },
  { id: 'a node to kill that is none', args: ['--kill', 'nobody@1'], names: /--kill 'nobody@1' .*; next: names: host-1/ },
  { id: 'a number that is none', args: ['--hosts', 'two'], names: /--hosts must be a whole number, got 'two'/ },
  { id: 'a port that is none', args: ['--port', '70000'], names: /--port must be a whole number from 1 to 65535, got '70000'/ },
  { id: 'a data set that is not there', args: ['--data', 'nowhere'], names: /nowhere: there is no such data set; next: / },
  { id: 'too little memory', args: [...TINY, '--memory', '1'], names: /needs about \d+ MiB .*, 1 MiB may be used; next: allow \d+ MiB with --memory/ }
]

for (const { id, args, names } of flags) test.serial(id, async t => { await refused(t, args, names) })

const data: ReadonlyArray<{ id: string, files: Readonly<Record<string, string | Uint8Array>>, names: RegExp }> = [
  { id: 'an empty folder', files: {}, names: /: the folder is empty; next: / },
  { id: 'a column that the table does not have', files: { 'fmtl.yaml': TABLE, 'rows.csv': ROWS }, names: /rows\.csv.*pulse/ },
  { id: 'a cut IDX file', files: { 'fmtl.yaml': PICTURES, 'images.idx': CUT, 'labels.idx': idx([40], new Uint8Array(40)) }, names: /images\.idx/ }
]

for (const { id, files, names } of data) {
  test.serial(id, async t => { await refused(t, ['--hosts', '1', '--data', await folderOf(t, files)], names) })
}

test.serial('a file that may not be read', async t => {
  const folder = await folderOf(t, { 'fmtl.yaml': TABLE.replace(', { name: pulse, mean: 70, deviation: 10 }', ''), 'rows.csv': ROWS })
  await chmod(join(folder, 'rows.csv'), 0o000)
  if (process.getuid?.() === 0) {
    t.log('skipped: root may read everything')
    t.pass()
    return
  }
  await refused(t, ['--hosts', '1', '--data', folder], /rows\.csv.*permission/i)
})

test.serial('an occupied port', async t => {
  const server = createServer()
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  const { port } = server.address() as AddressInfo
  await refused(t, [...TINY, '--port', String(port)], new RegExp(`address 127\\.0\\.0\\.1:${port} is already in use; next: choose another port`))
})
