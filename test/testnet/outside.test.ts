/** A strategy file over TCP: the numbers of the simulator, and an end that names the file when its rule fails. */
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import test from 'ava'
import { FmtlError } from '../../src/errors.ts'
import { folderOf } from '../helpers/files.ts'
import { runTestnet } from '../../testnet/testnet.ts'
import type { Summary } from '../../testnet/summary.ts'
import type { TestnetOptions } from '../../testnet/plan.ts'

const OPTIONS: Omit<TestnetOptions, 'runner' | 'strategy'> = {
  hosts: 1,
  clients: 3,
  data: 'scenes',
  rows: 16,
  seed: 11,
  backend: 'wasm',
  control: false,
  baseline: false,
  charter: {
    model: { width: 16, layers: 1, heads: 2, hidden: 16, embedder: { kind: 'patches', patch: 8 } },
    training: { rounds: 2, stepsPerRound: 4, batch: 8, warmup: 2 }
  }
}

async function run (strategy: string, runner: TestnetOptions['runner']): Promise<Summary> {
  return await runTestnet({ ...OPTIONS, strategy, runner }, () => undefined, AbortSignal.timeout(100_000))
}

test.serial('daemons over TCP and the simulator give the same numbers under the rule of a strategy file', async t => {
  const path = fileURLToPath(new URL('../../examples/strategies/median-rule.ts', import.meta.url))
  const [simulated, networked] = [await run(path, 'in-process'), await run(path, 'process')]
  for (const { complete, missing, strategy } of [simulated, networked]) {
    t.true(complete, missing.join('; '))
    t.is(strategy, 'median-backbone')
  }
  const scores = ({ tasks }: Summary): unknown[] => tasks.map(({ client, id, federated, served }) => `${client} ${id} ${federated} ${served}`).sort()
  t.deepEqual(scores(networked), scores(simulated))
  const conflicts = ({ rounds }: Summary): unknown[] => rounds.map(({ round, pairs, conflictPairs, meanCosine, minCosine, minDirectionCosine, minUpdateCosine, removedShare }) =>
    ({ round, pairs, conflictPairs, meanCosine, minCosine, minDirectionCosine, minUpdateCosine, removedShare }))
  t.deepEqual(conflicts(networked), conflicts(simulated))
  t.is(networked.rounds.length, 2)
  t.true(networked.conflicts.conflictFree === true && networked.conflicts.pairs > 0)
})

test.serial('a rule that fails on a host ends the run over TCP with one line that names host, file and reason', async t => {
  const folder = await folderOf(t, {
    'mine.mjs': `export const strategy = { name: 'mine', source: 'a test', kind: 'split', projection: { rule: 'own' }, merge: { mode: 'none' } }
export const rule = { name: 'own', aggregate (gradients) { return gradients[0].fill(NaN) } }
`
  })
  const path = join(folder, 'mine.mjs')
  const error = await t.throwsAsync(run(path, 'process'), { instanceOf: FmtlError, code: 'ERR_RULE' })
  t.regex(error.message, new RegExp(`^host-1: ${path}: gradient rule 'own' returned NaN as number 1 of \\d+$`))
})
