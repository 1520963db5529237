import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { spawnSync } from 'node:child_process'
import test from 'ava'
import { createCharter } from '../../src/federation/charter.ts'
import { createConsortium } from '../../src/membership/consortium.ts'
import { folderOf } from '../helpers/files.ts'
import { openDataset } from '../../src/data/open.ts'
import type { CheckReport } from '../../src/data/check.ts'

const MANIFEST = `name: clinic
files: { rows: rows.csv }
input: { modality: table, columns: [{ name: age, mean: 50, deviation: 10 }] }
clients: { column: site }
test: { column: part, equals: test }
tasks:
  - { id: ill, kind: classes, column: score, values: [0, 1], classes: [healthy, ill] }
  - { id: stay, kind: regression, column: stay, mean: 5, deviation: 2 }
`
const ROWS = ['site,age,score,stay,part', ...Array.from({ length: 240 }, (_, i) => `${i % 3 === 0 ? 'south' : 'north'},${30 + i % 50},${i % 2},${i % 9},${i % 8 < 3 ? 'test' : 'train'}`)].join('\n')
const GOOD = { 'fmtl.yaml': MANIFEST, 'rows.csv': ROWS }
const BAD = { 'fmtl.yaml': MANIFEST, 'rows.csv': ROWS.replace('north,31,1,', 'north,31,7,') }

const COMMAND = fileURLToPath(new URL('../../scripts/fmtl-node.mjs', import.meta.url))

function check (...args: string[]): { status: number | null, stdout: string, stderr: string } {
  return spawnSync(process.execPath, [COMMAND, 'data', 'check', ...args], { encoding: 'utf8' })
}

test('good data: the counts in one line of JSON, exit status 0', async t => {
  const { status, stdout } = check(await folderOf(t, GOOD), '--format', 'json')
  t.is(status, 0)
  t.is(stdout.trimEnd().split('\n').length, 1)
  const { ok, samples, clients, tasks, problems } = JSON.parse(stdout) as CheckReport
  t.deepEqual({ ok, samples, problems }, { ok: true, samples: 240, problems: [] })
  t.deepEqual(clients.map(({ id, test }) => [id, test]), [['south', 30], ['north', 60]])
  t.deepEqual(tasks.map(({ id, kind, support }) => [id, kind, support]), [['ill', 'classes', 240], ['stay', 'regression', 240]])
})

test('one client and one task are looked at alone', async t => {
  const { stdout } = check(await folderOf(t, GOOD), '--format', 'json', '--client', 'south', '--tasks', 'stay')
  const { samples, clients, tasks } = JSON.parse(stdout) as CheckReport
  t.deepEqual([samples, clients.map(({ id }) => id), tasks.map(({ id }) => id)], [80, ['south'], ['stay']])
})

test('the text says what is there', async t => {
  const { status, stdout } = check(await folderOf(t, GOOD))
  t.is(status, 0)
  t.regex(stdout, /: 240 rows at 2 clients \(\d+ training, \d+ hold-out, 90 test\)\n/)
  t.regex(stdout, /^ill +classes +240 +healthy 120, ill 120$/m)
  t.regex(stdout, /\nready to train on\n$/)
})

const problems: Array<{ id: string, files: Record<string, string>, args: string[], want: RegExp }> = [
  { id: 'a label that is no class', files: BAD, args: [], want: /^problem: .*rows\.csv.*7/m },
  { id: 'an unknown task', files: GOOD, args: ['--tasks', 'ill,age'], want: /^problem: .*'age'/m },
  { id: 'an unknown client', files: GOOD, args: ['--client', 'west'], want: /^problem: .*'west'/m },
  { id: 'an empty folder', files: {}, args: [], want: /^problem: .*empty/m }
]
for (const { id, files, args, want } of problems) {
  test(`${id} is a problem of one line and exit status 10`, async t => {
    const { status, stdout, stderr } = check(await folderOf(t, files), ...args)
    t.is(status, 10)
    t.is(stderr, '')
    t.regex(stdout, want)
    t.regex(stdout, /\nnot ready: /)
  })
}

test('with --charter the data are held against what the consortium trains', async t => {
  const folder = await folderOf(t, GOOD)
  const { input, tasks } = await openDataset(folder, { seed: 1 })
  const charter = createCharter({ name: 'lab', seed: 1, input, tasks })
  const own = await folderOf(t, {
    'charter.json': JSON.stringify(charter),
    'consortium.json': JSON.stringify(createConsortium({ name: 'Lab', training: charter })),
    'other.json': JSON.stringify({ ...charter, input: { ...input, columns: ['weight'] } })
  })
  for (const [file, status] of [['charter.json', 0], ['consortium.json', 0], ['other.json', 10]] as const) {
    const result = check(folder, '--charter', join(own, file), '--format', 'json')
    t.is(result.status, status, result.stdout + result.stderr)
  }
  t.regex(check(folder, '--charter', join(own, 'other.json')).stdout, /^problem: columns of input: the first is weight in the charter and age in the data/m)
})
