/** `fmtl-node plan --from`: what a run wrote is read, and only that. */
import { spawnSync } from 'node:child_process'
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { DataError } from '../../src/errors.ts'
import { displayWidth } from '../../node/cli/format.ts'
import { entriesOf, fileOf, roundOf } from '../helpers/ledger.ts'
import { folderOf } from '../helpers/files.ts'
import { planFromRun } from '../../node/cli/plan-from.ts'
import { runTestnet } from '../../testnet/testnet.ts'
import { seededIdentity, signerOf } from '../../node/store/identity.ts'
import type { ExecutionContext } from 'ava'
import type { TestnetOptions } from '../../testnet/plan.ts'

const source = JSON.stringify(new URL('../../node/cli/program.ts', import.meta.url).href)
const SCRIPT = `
import { createProgram, runProgram } from ${source}
await runProgram(createProgram())`

function plan (...args: string[]): { status: number | null, stdout: string, stderr: string } {
  return spawnSync(process.execPath, ['--input-type=module', '-e', SCRIPT, 'plan', ...args], { encoding: 'utf8', env: { ...process.env, FMTL_BACKEND: 'cpu' } })
}

const OPTIONS: TestnetOptions = {
  hosts: 1,
  clients: 2,
  data: 'scenes',
  rows: 24,
  spread: false,
  strategy: 'fedbone',
  seed: 11,
  backend: 'wasm',
  control: false,
  baseline: false,
  runner: 'in-process',
  charter: { model: { width: 16, layers: 1, heads: 2, hidden: 16, embedder: { kind: 'patches', patch: 8 } }, training: { rounds: 3, stepsPerRound: 4, batch: 8, warmup: 2 } }
}

/** What the run printed, in a file. */
async function ran (t: ExecutionContext, options: TestnetOptions, changes: object = {}): Promise<string> {
  const lines: string[] = []
  const summary = await runTestnet(options, event => { lines.push(JSON.stringify(event)) }, new AbortController().signal)
  t.true(summary.complete, summary.missing.join('; '))
  const folder = await folderOf(t, { 'run.ndjson': `${[...lines, JSON.stringify({ ...summary, ...changes })].join('\n')}\n` })
  return join(folder, 'run.ndjson')
}

interface Row {
  readonly type: string
  readonly measured?: { readonly up: number, readonly down: number }
  readonly planned?: { readonly up: number, readonly down: number }
  readonly [key: string]: unknown
}

function rowsOf (t: ExecutionContext, { status, stdout, stderr }: ReturnType<typeof plan>): Row[] {
  t.is(status, 0, stderr)
  return stdout.trimEnd().split('\n').map(line => JSON.parse(line) as Row)
}

for (const strategy of ['fedbone', 'fedavg']) {
  test.serial(`a run of ${strategy} measured the bytes that its charter says, and is advised from`, async t => {
    const file = await ran(t, { ...OPTIONS, strategy, charter: { ...OPTIONS.charter, training: { ...OPTIONS.charter?.training, ...strategy === 'fedavg' ? { stepsPerRound: 1, localSteps: 4 } : {} } } })
    const rows = rowsOf(t, plan('--from', file, '--link', '1Mbit', '--latency', '40', '--format', 'json'))
    t.deepEqual(rows.map(({ type }) => type), ['conflicts', 'traffic', 'link', 'summary'])
    const { measured, planned } = rows[1] as Required<Pick<Row, 'measured' | 'planned'>>
    for (const way of ['up', 'down'] as const) t.true(Math.abs(planned[way] / measured[way] - 1) <= 0.05, `${way}: ${planned[way]} planned, ${measured[way]} measured`)
    t.like(rows.at(-1), { strategy, runner: 'in-process', hosts: 1, clients: 2, rounds: 3 })
    if (strategy !== 'fedbone') return
    const { status, stdout, stderr } = plan('--from', file, '--link', '1Mbit', '--latency', '40')
    t.is(status, 0, stderr)
    t.regex(stdout, /^conflicts: \d+ of \d+ pairs/m)
    t.regex(stdout, /^measured against planned: -?[\d.]+ % apart/m)
    t.regex(stdout, /^take (f32|f16|bf16|int8) and training\.inFlight=[1-4]: /m)
    for (const line of stdout.split('\n')) t.true(displayWidth(line) <= 100, line)
  })
}

const TASKS = ['segments', 'depth', 'normals']
const AFFINITY = { tasks: TASKS, matrix: [[null, 0.3, 0.2], [0.1, null, -0.2], [0.2, 0.1, null]], groups: [[TASKS[0], TASKS[1]], [TASKS[2]]], reason: '2 groups are worth more' }

test.serial('affinities that a run measured are shown with the groups and what they would cost', async t => {
  const summary = { type: 'summary', strategy: 'mas', runner: 'process', clients: [], affinity: AFFINITY, rounds: [0, 1, 2, 3].map(round => ({ host: 'host-1', round, steps: 1, seconds: 2, contributors: ['a'], pairs: 3, conflictPairs: 1, meanCosine: 0.01, minCosine: -0.02, removedShare: 0, bytesUp: 10, bytesDown: 10 })) }
  const file = join(await folderOf(t, { 'summary.json': JSON.stringify(summary, null, 2) }), 'summary.json')
  const { stdout } = plan('--from', file)
  t.regex(stdout, /^segments +\. +0\.3000 +0\.2000$/m)
  t.regex(stdout, /^groups: \{segments, depth\} \{normals\} worth 0\.1583, all in one 0\.1167/m)
  t.regex(stdout, /^one by one +12\.0 +- +24 s$/m)
  t.regex(stdout, /^no interaction: /m)
  t.regex(stdout, /^traffic: not known without --charter and clients$/m)
})

test.serial('the ledger of a host holds conflicts and times', async t => {
  const signer = signerOf(await seededIdentity(1, 'ann'))
  const home = await folderOf(t, { 'ledger.log': fileOf(await entriesOf(signer, [roundOf(0), roundOf(1), roundOf(2)])) })
  const rows = rowsOf(t, plan('--from', home, '--format', 'json'))
  t.like(rows[0], { type: 'conflicts', pairs: 570, conflictPairs: 93, finding: 'active' })
  t.like(rows.at(-1), { type: 'summary', rounds: 3, hosts: 1, clients: 0 })
})

const WRONG: Array<{ id: string, file: string | undefined, says: RegExp }> = [
  { id: 'not there', file: undefined, says: /cannot be read \(ENOENT\)/ },
  { id: 'empty', file: '', says: /0 lines and no summary/ },
  { id: 'no JSON', file: 'hello\n{"type":"summary"', says: /2 lines and no summary/ },
  { id: 'events alone', file: '{"type":"step","node":"x"}\n', says: /1 lines? and no summary/ },
  { id: 'a summary of nothing', file: '{"type":"summary"}', says: /rounds: no list/ },
  { id: 'a summary that lies', file: '{"type":"summary","rounds":[{"host":"a","round":0,"steps":1e99}]}', says: /steps in round 1/ }
]
for (const { id, file, says } of WRONG) {
  test(`a file that is no run is refused in one line: ${id}`, async t => {
    const folder = await folderOf(t, file === undefined ? {} : { run: file })
    await refused(t, join(folder, 'run'), says)
  })
}

test('a file that is too large is not read, a home without a ledger is named', async t => {
  const folder = await folderOf(t, {})
  await writeFile(join(folder, 'run'), '')
  await truncate(join(folder, 'run'), 64 * 2 ** 20 + 1)
  await refused(t, join(folder, 'run'), /67108865 bytes, at most 67108864 are read/)
  await refused(t, folder, /no ledger\.log/)
})

async function refused (t: ExecutionContext, path: string, says: RegExp): Promise<void> {
  const error = await t.throwsAsync(planFromRun(path, { format: 'text' }), { instanceOf: DataError, message: says })
  t.notRegex(error?.message ?? '', /\n/)
  t.truthy(error?.next)
}

test.serial('the command says so in one line and ends with the status of data that cannot be used', async t => {
  const { status, stderr } = plan('--from', join(await folderOf(t, { run: 'hello' }), 'run'))
  t.is(status, 10)
  t.regex(stderr, /^fmtl-node: [^\n]*no summary of a run[^\n]*\n$/)
})
