import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { MAX_FRAME_BYTES } from '../../protocols/limits.ts'
import { advisePlacement, blankSite, compareTraffic } from '../../src/planning/index.ts'
import { asText } from '../../node/cli/plan-report.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { describeClient } from '../../src/training/client-description.ts'
import { displayWidth } from '../../node/cli/format.ts'
import { findLink } from '../../node/cli/link.ts'
import { frameBytes } from '../../protocols/split-step/index.ts'
import { withCodec } from '../../node/cli/site.ts'
import { folderOf } from '../helpers/files.ts'
import { smallCharter } from '../helpers/federation.ts'
import { SIDE } from '../helpers/synthetic.ts'
import type { CodecPlan, PlacedRound } from '../../src/planning/index.ts'
import type { ExecutionContext } from 'ava'

const MANIFEST = `name: clinic
files: { rows: rows.csv }
input: { modality: table, columns: [{ name: age, mean: 50, deviation: 10 }] }
clients: { column: site }
test: { column: part, equals: test }
tasks:
  - { id: ill, kind: classes, column: score, values: [0, 1], classes: [healthy, ill] }
recipe: { model: { width: 8, layers: 1, hidden: 8, attention: false, embedder: { kind: row } }, training: { rounds: 2, batch: 8 } }
`
const ROWS = ['site,age,score,part', ...Array.from({ length: 240 }, (_, i) => `${i % 3 === 0 ? 'south' : 'north'},${30 + i % 50},${i % 2},${i % 8 < 3 ? 'test' : 'train'}`)].join('\n')
const DATA = { 'fmtl.yaml': MANIFEST, 'rows.csv': ROWS }

const source = (file: string): string => JSON.stringify(new URL(`../../node/cli/${file}.ts`, import.meta.url).href)
const SCRIPT = `
import { createProgram, runProgram } from ${source('program')}
await runProgram(createProgram())`

function run (...args: string[]): { status: number | null, stdout: string, stderr: string } {
  return spawnSync(process.execPath, ['--input-type=module', '-e', SCRIPT, ...args], { encoding: 'utf8', env: { ...process.env, FMTL_BACKEND: 'cpu' } })
}

function rowsOf (t: ExecutionContext, { status, stdout, stderr }: ReturnType<typeof run>): Array<Record<string, unknown>> {
  t.is(status, 0, stderr)
  return stdout.trimEnd().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
}

test('a charter with its codec is written, and planned for with and without data', async t => {
  const folder = await folderOf(t, DATA)
  const charter = join(folder, 'charter.json')
  t.is(run('charter', '--data', folder, '--codec', 'bf16', '--out', charter).status, 0)
  const rows = rowsOf(t, run('plan', '--charter', charter, '--link', '64kbit', '--latency', '5', '--format', 'json'))
  t.deepEqual(rows.map(({ type, codec, way, trunk }) => [type, way ?? trunk ?? codec]), [
    ['codec', 'f32'], ['codec', 'f16'], ['codec', 'bf16'], ['codec', 'int8'], ['traffic', 'split'], ['traffic', 'fedavg'], ['placement', 'host'], ['placement', 'client'], ['summary', rows.at(-1)?.codec]
  ])
  const bytes = rows.slice(0, 4).map(row => Number(row.bytesUp) + Number(row.bytesDown))
  t.deepEqual([...bytes].sort((a, b) => b - a)[0], bytes[0])
  const summary = rows.at(-1) as { codec: string, reason: string, link: object, round: { steps: number, codec: string, split: { up: number }, fedavg: { up: number }, fewer: string }, placement: { trunk: string } }
  t.not(summary.codec, 'f32')
  t.regex(summary.reason, /times fewer bytes/)
  t.like(summary.link, { upBitsPerSecond: 0.96 * 64_000, roundTripMs: 5, from: 'given' })
  t.like(summary.round, { steps: 20, codec: 'bf16', fewer: 'fedavg' })
  t.true(summary.round.fedavg.up > 0 && summary.round.split.up > summary.round.fedavg.up)
  t.true(['host', 'client'].includes(summary.placement.trunk))

  const { status, stdout } = run('plan', '--data', folder, '--client', 'north', '--link', '20Mbit', '--latency', '5')
  t.is(status, 0)
  t.regex(stdout, /^this machine \(cpu\): embedder and heads \d+ rows\/s, trunk \d+ rows\/s, whole model \d+ rows\/s/m)
  t.regex(stdout, /^> +(f32|f16|bf16|int8) /m)
  t.regex(stdout, /^> +split training /m)
  t.regex(stdout, /^ +FedAvg of this model /m)
  t.regex(stdout, /^FedAvg moves [\d.]+ times fewer bytes per round for this model of \d+ parameters \(at a host\s+with\s+1\s+client\)$/m)
  t.regex(stdout, /^trunk at the (host|client): /m)
  t.regex(stdout, /^take (f32|f16|bf16|int8): /m)
  fits(t, stdout)
})

function fits (t: ExecutionContext, text: string): void {
  for (const line of text.split('\n')) t.true(displayWidth(line) <= 100, `${displayWidth(line)} columns: ${line}`)
}

for (const strategy of ['fedavg', 'fedper', 'fedit']) {
  test(`a charter of ${strategy} is planned for, both ways`, async t => {
    const folder = await folderOf(t, DATA)
    const charter = join(folder, 'charter.json')
    t.is(run('charter', '--data', folder, '--strategy', strategy, '--out', charter).status, 0)
    const { status, stdout, stderr } = run('plan', '--charter', charter, '--link', '20Mbit', '--latency', '5', '--clients', '3', '--hosts', '2')
    t.is(status, 0, stderr)
    t.regex(stdout, /^step: 20 gradient steps of 8 rows at the client, 1 task, shared trunk, /m)
    t.regex(stdout, strategy === 'fedavg' ? /^> +FedAvg of this model /m : /^> +this charter /m)
    t.regex(stdout, /^ +split training /m)
    t.regex(stdout, /at a host with\s+3\s+clients,\s+and the deltas of 1\s+other host/)
    t.regex(stdout, /^take f32: /m)
    fits(t, stdout)
  })
}

test('a model whose contribution is more than a message may be is named before the run', t => {
  const charter = smallCharter([SIDE], { model: { width: 1024, hidden: 10_240, layers: 1, attention: false }, training: { stepsPerRound: 20 } })
  const site = describeClient(charter, blankSite(charter))
  const plan: CodecPlan = { codec: 'f32', bytesUp: 1, bytesDown: 1, seconds: 1, computeSeconds: 1, transferSeconds: 0, latencySeconds: 0, codecSeconds: 0, stepsPerSecond: 1, accuracy: undefined }
  const placed = (possible: boolean): PlacedRound => ({ charter, plan, traffic: { up: 20, down: 20 }, gradientSteps: 20, possible })
  const link = { upBitsPerSecond: 1e6, downBitsPerSecond: 1e6, roundTripMs: 1, from: 'given' }
  const lines = asText({
    charter,
    device: { backend: 'wasm', site, ms: { embed: 1, heads: 1, finish: 1, local: 1, trunkForward: 1, trunkBackward: 1, apply: 1 }, whole: { gradient: 1, average: 1 }, clientRowsPerSecond: 1, trunkRowsPerSecond: 1, codecMs: { f32: 0, f16: 0, bf16: 0, int8: 0 } },
    link,
    clients: 12,
    otherHosts: 3,
    advice: { plans: [plan], codec: 'f32', reason: 'x' },
    hostRowsPerSecond: 1,
    hostSpeedFrom: 'given',
    wouldHost: true,
    comparison: compareTraffic(charter, site, { sizeOf: frameBytes, clients: 12, otherHosts: 3 }),
    frameLimitBytes: MAX_FRAME_BYTES,
    placement: advisePlacement(link, placed(true), placed(false)),
    run: { up: 1, down: 1 },
    parameters: 21_000_000,
    trunkParameters: 20_980_000
  }, 100)
  const text = lines.join('\n').replaceAll(/\s+/g, ' ')
  t.regex(text, /split training moves [\d.]+ times fewer bytes per round for this model of 21\.0M parameters/)
  t.regex(text, /FedAvg of this model cannot run over the wire as it is: one message takes 80\.\d MiB, 16\.0 MiB is the most/)
  t.regex(text, /trunk at the host: the other way has messages that are too large to be sent/)
  fits(t, lines.join('\n'))
})

test('without charter and data, and with a codec that is none, the command ends in one line', async t => {
  const nothing = run('plan', '--link', '20Mbit')
  t.is(nothing.status, 2)
  t.regex(nothing.stderr, /^fmtl-node: no charter, no data and no run[^\n]*\n$/)
  const wrong = run('charter', '--data', await folderOf(t, DATA), '--codec', 'int4')
  t.is(wrong.status, 2)
  t.regex(wrong.stderr, /^fmtl-node: [^\n]*int4[^\n]*f32, f16, bf16, int8[^\n]*\n$/)
})

test('a site may take another codec and still train under the same charter', t => {
  const charter = smallCharter([SIDE])
  const own = withCodec(charter, 'int8')
  t.is(own.cutCodec, 'int8')
  t.is(charterHash(own), charterHash(charter))
  t.is(withCodec(charter, undefined), charter)
  t.throws(() => withCodec(charter, 'int4'), { instanceOf: InvalidParametersError })
})

const LINKS: Array<{ id: string, flags: Parameters<typeof findLink>[0], want: { up: number, down: number, ms: number } }> = [
  { id: 'one rate is both', flags: { link: '20Mbit', latency: '30' }, want: { up: 20e6, down: 20e6, ms: 30 } },
  { id: 'down and up', flags: { link: '1.5Gbit, 500kbit/s' }, want: { up: 500e3, down: 1.5e9, ms: 0 } }
]
for (const { id, flags, want } of LINKS) {
  test(`a link as it is given: ${id}`, async t => {
    const { upBitsPerSecond, downBitsPerSecond, roundTripMs } = await findLink(flags)
    t.deepEqual({ up: upBitsPerSecond, down: downBitsPerSecond, ms: roundTripMs }, { up: 0.96 * want.up, down: 0.96 * want.down, ms: want.ms })
  })
}

for (const flags of [{}, { latency: '30' }, { link: '20' }, { link: 'fast' }, { link: '0Mbit' }, { link: '1Mbit,2Mbit,3Mbit' }, { link: '1Mbit', latency: '-3' }, { peer: 'here' }]) {
  test(`a link cannot be ${JSON.stringify(flags)}`, async t => {
    await t.throwsAsync(findLink(flags), { instanceOf: InvalidParametersError })
  })
}
