/** The lower rungs of the ladder carry a whole testnet too, chosen by the environment as a user would. */
import test from 'ava'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Summary } from '../../testnet/summary.ts'

const CLI = fileURLToPath(new URL('../../scripts/fmtl-node.mjs', import.meta.url))
const run = promisify(execFile)

const SMALL = ['--hosts', '1', '--clients', '4', '--rows', '16', '--rounds', '1', '--no-control', '--format', 'json',
  '--set', 'model.width=8', '--set', 'model.layers=1', '--set', 'model.heads=2', '--set', 'model.hidden=8',
  '--set', 'model.embedder={"kind":"patches","patch":8}', '--set', 'training.batch=4', '--set', 'training.stepsPerRound=2']

for (const backend of ['wasm', 'cpu']) {
  test(`FMTL_BACKEND=${backend}: a testnet of real daemons trains to the end and says so`, async t => {
    const { stdout } = await run(process.execPath, [CLI, 'testnet', 'up', ...SMALL], { env: { ...process.env, FMTL_BACKEND: backend }, maxBuffer: 2 ** 24 })
    const summary = JSON.parse(stdout.trimEnd().split('\n').at(-1) as string) as Summary
    t.is(summary.type, 'summary')
    t.is(summary.backend, backend)
    t.true(summary.complete, summary.missing.join('; '))
    t.deepEqual(summary.tasks.map(task => task.id).sort(), ['cls', 'depth', 'edge', 'seg'])
  })
}
