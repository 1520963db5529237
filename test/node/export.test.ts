/** `export` and `predict` as commands: from a node's home to a file, and from the file to predictions, each in a process of its own. */
import { join } from 'node:path'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { CheckpointStore } from '../../node/store/checkpoints.ts'
import { Random } from '../../src/random.ts'
import { backendOn } from '../helpers/rungs.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { folderOf } from '../helpers/files.ts'
import { openDataset } from '../../src/data/open.ts'
import { trainMix } from '../helpers/split-mix.ts'
import type { ExecutionContext } from 'ava'
import type { MixOutcome } from '../helpers/split-mix.ts'

const COMMAND = fileURLToPath(new URL('../../scripts/fmtl-node.mjs', import.meta.url))
const MANIFEST = `
name: plots
files: { rows: plots.csv }
input:
  modality: table
  columns: [{ name: a, mean: 0, deviation: 1 }, { name: b, mean: 0, deviation: 1 }, { name: c, mean: 0, deviation: 1 }]
clients: { single: farm }
test: { share: 0.3, stratify: kind }
holdout: { policy: stratified }
tasks: [{ id: kind, kind: classes, column: kind, classes: [barley, wheat] }]
`

function plots (): string {
  const random = new Random(3)
  const rows = Array.from({ length: 120 }, (_, row) => {
    const side = row % 2 === 0 ? -1 : 1
    return [...[1.2, 0.8, 0].map(lean => (lean * side + random.normal()).toFixed(3)), row % 2 === 0 ? 'barley' : 'wheat'].join(',')
  })
  return ['a,b,c,kind', ...rows].join('\n')
}

interface Ended { readonly status: number | null, readonly stdout: string, readonly stderr: string }

async function run (args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ['ignore', 'pipe', 'pipe'], timeout: 120_000 })
  const closed = once(child, 'close') as Promise<[number | null]>
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { status, stdout, stderr }
}

/** A home as a node that ran there leaves it, its charter, and its data. */
async function trained (t: ExecutionContext, strategy: string): Promise<{ folder: string, home: string, charter: string, outcome: MixOutcome }> {
  const folder = await folderOf(t, { 'data/fmtl.yaml': MANIFEST, 'data/plots.csv': plots() })
  const outcome = await trainMix(await backendOn('wasm'), await openDataset(join(folder, 'data'), { seed: 1 }), {
    strategy,
    seed: 1,
    model: { width: 8, layers: 1, heads: 4, hidden: 8, embedder: { kind: 'row' } },
    training: strategy === 'fedbone' ? { rounds: 1, stepsPerRound: 2, batch: 8 } : { rounds: 2, localSteps: 6, batch: 16, lrLocal: 0.02, warmup: 2 },
    ...strategy === 'split-mix-robust' ? { method: { attackSteps: 2, epsilon: 0.3, budgets: 'full' } } : {}
  })
  const home = join(folder, 'home')
  const store = new CheckpointStore(join(home, charterHash(outcome.charter), 'checkpoints', 'client'), { expect: { model: charterHash(outcome.charter) } })
  await store.save(2, outcome.saved.farm ?? [])
  const charter = join(folder, 'charter.json')
  await writeFile(charter, JSON.stringify(outcome.charter))
  return { folder, home, charter, outcome }
}

test.serial('from a home to a file to predictions, on one rung and another', async t => {
  const { folder, home, charter, outcome } = await trained(t, 'split-mix-robust')
  const scores = outcome.result.clients[0]?.tasks[0]?.scores ?? {}
  for (const [wish, name, rung] of [[['--width', '1'], 'width 4/4', 'cpu'], [['--width', '0.25'], 'width 1/4', 'wasm'], [['--robustness', '1'], 'lambda 1', 'cpu']] as const) {
    const model = join(folder, `${name.replaceAll(/\W/g, '')}.safetensors`)
    const exported = await run(['export', '--home', home, '--charter', charter, ...wish, '--out', model, '--format', 'json'])
    t.is(exported.status, 0, exported.stderr)
    t.is((JSON.parse(exported.stdout) as { out: string }).out, model)
    const out = join(folder, 'predictions.ndjson')
    const predicted = await run(['predict', '--model', model, '--data', join(folder, 'data'), '--backend', rung, '--out', out, '--format', 'json'])
    t.is(predicted.status, 0, predicted.stderr)
    const answer = JSON.parse(predicted.stdout) as { backend: string, rows: number, tasks: Array<{ value: number }> }
    t.is(answer.backend, rung)
    t.is(answer.tasks[0]?.value, scores[name]?.value as number, name)
    const lines = (await readFile(out, 'utf8')).trimEnd().split('\n').map(line => JSON.parse(line) as { kind: { label: string } })
    t.is(lines.length, answer.rows)
    t.true(lines.every(({ kind: { label } }) => ['barley', 'wheat'].includes(label)))
  }
})

test.serial('what cannot be exported or read is refused in one line', async t => {
  const { folder, home, charter } = await trained(t, 'fedbone')
  const refused = async (args: readonly string[], why: RegExp, status: number): Promise<void> => {
    const { status: ended, stderr } = await run(args)
    t.is(ended, status, stderr)
    t.is(stderr.trimEnd().split('\n').length, 1, stderr)
    t.regex(stderr, why)
  }
  const out = join(folder, 'model.safetensors')
  await refused(['export', '--home', home, '--charter', charter, '--out', out], /model is split.*next: give --trunk/, 2)
  await refused(['export', '--home', join(folder, 'nobody'), '--charter', charter, '--out', out], /no checkpoint of a client.*next: /, 2)
  await refused(['export', '--home', home, '--charter', charter, '--width', '2', '--out', out], /--width must be a number from 0 to 1/, 2)
  await refused(['predict', '--model', charter, '--data', join(folder, 'data')], /safetensors/, 31)
})
