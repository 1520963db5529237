import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'

const COMMAND = fileURLToPath(new URL('../../scripts/fmtl-node.ts', import.meta.url))

type Row = Record<string, unknown> & { impl: string, test: string, bytes: number, nodes: number }

/** The rows of a bench, and its last line. */
async function bench (...args: string[]): Promise<{ rows: Row[], summary: Record<string, unknown> }> {
  const { stdout } = await promisify(execFile)(process.execPath, [COMMAND, 'bench', ...args, '--format', 'json'])
  const lines = stdout.trim().split('\n').map(line => JSON.parse(line) as Row)
  const summary = lines.pop() ?? {}
  return { rows: lines, summary }
}

const median = (row: Row, figure: string): number => (row[figure] as { median: number }).median

test('bench net measures all sides of every comparison', async t => {
  const { rows, summary } = await bench('net', '--runs', '2', '--messages', '4096', '--total', '1', '--blob', '2')
  t.deepEqual(rows.map(row => [row.test, row.impl, row.bytes, row.nodes]), [
    ['stream', 'fmtl', 4096, 2], ['stream', 'libp2p', 4096, 2], ['stream', 'bytes', 4096, 2],
    ['echo', 'fmtl', 4096, 2], ['echo', 'libp2p', 4096, 2], ['echo', 'bytes', 4096, 2],
    ['blob', 'fmtl', 2 ** 21, 2], ['blob', 'libp2p', 2 ** 21, 2], ['blob', 'bytes', 2 ** 21, 2], ['blob3', 'fmtl', 2 ** 21, 4]
  ])
  for (const row of rows) {
    const figure = row.test === 'echo' ? 'p50Ms' : 'MiBPerSecond'
    t.is((row[figure] as { runs: number }).runs, 2)
    t.true(median(row, figure) > 0, `${row.test} ${row.impl}`)
  }
  t.is(summary.type, 'summary')
  t.is(summary.rows, rows.length)
})

test('bench gossip and bench delta wait for the last node, and count copies', async t => {
  const gossip = await bench('gossip', '--nodes', '3', '--runs', '2')
  t.deepEqual(gossip.rows.map(row => [row.test, row.impl, row.nodes]), [['manifest', 'fmtl', 3], ['manifest', 'libp2p', 3]])
  for (const row of gossip.rows) t.true(median(row, 'p50Ms') > 0 && row.bytes > 100)
  const { rows } = await bench('delta', '--nodes', '3', '--runs', '2', '--bytes', '200000')
  const [ours, ...payloads] = rows
  if (ours === undefined) return t.fail()
  t.deepEqual(rows.map(row => [row.test, row.impl, row.bytes, row.nodes]), ['fmtl', 'gossip', 'libp2p'].map(impl => ['delta', impl, 200_000, 3]))
  // every receiver has the payload once, and what is around it is small; gossip cannot be below that
  t.true(median(ours, 'copiesPerReceiver') >= 1 && median(ours, 'copiesPerReceiver') < 1.05)
  for (const row of payloads) t.true(median(row, 'copiesPerReceiver') >= 1)
})

for (const { id, args, want } of [
  { id: 'a test that is none', args: ['net', '--tests', 'speed'], want: /no test 'speed'/ },
  { id: 'no runs', args: ['net', '--runs', '0'], want: /--runs must be/ },
  { id: 'a message of no whole floats', args: ['net', '--messages', '10'], want: /multiples of 4/ },
  { id: 'one node', args: ['gossip', '--nodes', '1'], want: /--nodes must be/ },
  { id: 'a delta that would ride along', args: ['delta', '--bytes', '1000'], want: /--bytes must be/ }
]) {
  test(`${id} is refused in one line`, async t => {
    const { stderr, code } = await t.throwsAsync(bench(...args)) as Error & { stderr: string, code: number }
    t.is(code, 2)
    t.regex(stderr, want)
    t.is(stderr.trim().split('\n').length, 1)
  })
}
