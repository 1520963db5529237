/** The bench of learning: what its tables make of runs, and one small bench as a user runs it, stopped and gone on with. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { asMarkdown, verdicts } from '../../testnet/bench/learning/tables.ts'
import { dotsSvg } from '../../testnet/bench/learning/dots-svg.ts'
import { relativeGain, tableOf } from '../../testnet/bench/learning/cells.ts'
import type { Run } from '../../testnet/bench/learning/run.ts'

const COMMAND = fileURLToPath(new URL('../../scripts/fmtl-node.ts', import.meta.url))

interface Made { strategy: string, seed: number, refit: boolean, scores: ReadonlyArray<Readonly<Record<string, number | null>>>, bestLocal?: string, served?: string, curve?: ReadonlyArray<readonly [number, number]> }

function made ({ strategy, seed, refit, scores, bestLocal, served = 'ensemble', curve = [[20, 1], [40, 0.5]] }: Made): Run {
  return {
    order: { data: 'x', strategy, seed, refit, baseline: bestLocal !== undefined, hosts: 1 },
    data: 'x',
    seconds: 2,
    bytesUp: 30,
    bytesDown: 10,
    steps: 40,
    parameters: 7,
    curve,
    clients: scores.map((of, i) => ({ client: `site-${i}`, served, ...bestLocal === undefined ? {} : { bestLocal }, tasks: [{ id: 'level', metric: 'accuracy', higherIsBetter: true, scores: of }] }))
  }
}

const RUNS = [
  made({ strategy: 'fedbone', seed: 1, refit: false, bestLocal: 'simple', served: 'ensemble', scores: [{ simple: 0.5, simpleRefit: 0.6, local: 0.4, federated: 0.5, ensemble: 0.5 }, { simple: 0.7, simpleRefit: 0.8, local: 0.4, federated: 0.7, ensemble: null }] }),
  made({ strategy: 'fedbone', seed: 1, refit: true, bestLocal: 'local', served: 'local', scores: [{ simple: 0.1, local: 0.5, federated: 0.9, ensemble: 0.8 }, { simple: 0.1, local: 0.5, federated: 0.7, ensemble: 0.6 }], curve: [[20, 0.9], [40, 0.4]] }),
  made({ strategy: 'mtsl', seed: 1, refit: true, scores: [{ federated: 0.3 }, { federated: 0.5 }], curve: [[20, 0.6], [40, 0.5]] })
]

test('choices are those of the run with a hold-out, figures those of the run on all rows', t => {
  const { tasks, before } = tableOf('x', RUNS, ['fedbone', 'mtsl'], 'fedbone')
  const [row] = tasks
  const means = Object.fromEntries(Object.entries(row?.cells ?? {}).map(([column, cell]) => [column, Number(cell.mean.toFixed(6))]))
  t.deepEqual(means, { simple: 0.7, local: 0.5, bestLocal: 0.7, fedbone: 0.8, mtsl: 0.4, ensemble: 0.7, served: 0.7 })
  t.is(before?.[0]?.cells.bestLocal?.mean, 0.6)
  t.is(before?.[0]?.cells.served?.mean, 0.5, 'a site without the metric is left out')
})

test('steps to target are those to the loss that all strategies reach', t => {
  const { costs } = tableOf('x', RUNS, ['fedbone', 'mtsl'], 'fedbone')
  t.deepEqual(costs.map(({ strategy, stepsToTarget, bytes }) => [strategy, stepsToTarget, bytes]), [['fedbone', 40, 20], ['mtsl', 40, 20]])
  const quicker = [...RUNS.slice(0, 2), made({ strategy: 'mtsl', seed: 1, refit: true, scores: [], curve: [[20, 0.3], [40, 0.2]] })]
  t.deepEqual(tableOf('x', quicker, ['fedbone', 'mtsl'], 'fedbone').costs.map(({ stepsToTarget }) => stepsToTarget), [40, 20])
})

test('the gain is a share of the best local figure, turned round where lower is better', t => {
  const { tasks } = tableOf('x', RUNS, ['fedbone', 'mtsl'], 'fedbone')
  t.true(Math.abs(relativeGain(tasks, 'fedbone') - 100 * 0.1 / 0.7) < 1e-9)
  t.true(Math.abs(relativeGain(tasks.map(row => ({ ...row, higherIsBetter: false })), 'fedbone') + 100 * 0.1 / 0.7) < 1e-9)
})

test('a table says where what is served loses', t => {
  const losing = RUNS.map(run => run.order.refit && run.order.strategy === 'fedbone' ? { ...run, clients: run.clients.map(client => ({ ...client, tasks: client.tasks.map(task => ({ ...task, scores: { ...task.scores, ensemble: 0.6 } })) })) } : run)
  const table = tableOf('x', losing, ['fedbone', 'mtsl'], 'fedbone')
  t.deepEqual(verdicts([table]), ['x level: served loses 0.100 against the best local model, more than is tolerated; worst site site-1 loses 0.200'])
  t.regex(asMarkdown([table], ['fedbone', 'mtsl'], 'fedbone', 'a machine'), /\| x \| {2}\| Delta \|.*\+14\.3 %/)
  t.regex(dotsSvg([table], ['fedbone', 'mtsl'], 'fedbone'), /^<svg[^]*mtsl[^]*<\/svg>\n$/)
})

test('a bench that was stopped goes on where it was, with the same table', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'fmtl-learning-'))
  try {
    const out = join(folder, 'small')
    const bench = async (): Promise<Array<Record<string, unknown>>> => {
      const { stdout } = await promisify(execFile)(process.execPath, [COMMAND, 'bench', 'learning', '--data', 'scenes#cls', '--clients', '2', '--rows', '10', '--rounds', '1', '--set', 'training.stepsPerRound=3', '--seeds', '1',
        '--strategies', 'mtsl,centralised', '--backend', 'wasm', '--set', 'model.width=8', '--set', 'model.layers=1', '--jobs', '1', '--format', 'json', '--out', out], { timeout: 120_000 })
      return stdout.trim().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
    }
    const first = await bench()
    t.like(first.at(-1), { type: 'summary', lead: 'mtsl', runs: 3, computed: 3 })
    const cells = first.filter(({ type }) => type === 'cell')
    for (const impl of ['simple', 'local', 'bestLocal', 'twoLocals', 'mtsl', 'centralised', 'served']) t.true(cells.some(cell => cell.impl === impl && Number.isFinite(cell.mean)), impl)
    const table = await readFile(`${out}.md`, 'utf8')
    t.regex(await readFile(`${out}.svg`, 'utf8'), /^<svg/)
    const kept = (await readFile(`${out}.runs.ndjson`, 'utf8')).trim().split('\n')
    await writeFile(`${out}.runs.ndjson`, `${kept.slice(0, 2).join('\n')}\n`)
    const second = await bench()
    t.like(second.at(-1), { runs: 3, computed: 1 })
    t.deepEqual(second.filter(({ type }) => type === 'cell'), cells)
    t.is((await readFile(`${out}.md`, 'utf8')).split('## Cost')[0], table.split('## Cost')[0])
    await writeFile(`${out}.runs.ndjson`, `${kept[0]}\n{"half`)
    const error = await t.throwsAsync(bench()) as Error & { code: number, stderr: string }
    t.is(error.code, 2)
    t.regex(error.stderr, /line 2 is no finished run/)
  } finally {
    await rm(folder, { recursive: true })
  }
})

for (const [flag, value, said] of [['--strategies', 'local,centralised', 'yardsticks only'], ['--data', './nothing-here', 'no such data set'], ['--set', 'model.depth', '--set']] as const) {
  test(`${flag} ${value} is refused in one line before anything runs`, async t => {
    const error = await t.throwsAsync(promisify(execFile)(process.execPath, [COMMAND, 'bench', 'learning', flag, value])) as Error & { code: number, stderr: string }
    t.true(error.code > 0)
    t.true(error.stderr.includes(said), error.stderr)
  })
}
