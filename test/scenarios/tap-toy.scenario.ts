/** TAP's shape on sites that label by strongly different rules: six sites, three seeds. */
import test from 'ava'
import { backendOn } from '../helpers/rungs.ts'
import { tapToy } from '../helpers/tap-toy.ts'
import type { ToyResult } from '../helpers/tap-toy.ts'

const SEEDS = [1, 2, 3]
const backend = await backendOn('tensorflow')

test('stage 2 beats stage 1, which beats training alone; both beat the tuned agreed model; distillation helps', async t => {
  const runs: ToyResult[] = []
  for (const seed of SEEDS) {
    const run = await tapToy(backend, { seed, samples: 40, tilt: 0.8 })
    t.log(`seed ${seed}: ${Object.entries(run.losses).map(([name, loss]) => `${name} ${loss.toFixed(3)}`).join(', ')}`)
    runs.push(run)
  }
  const loss = (name: string): number => runs.reduce((sum, { losses }) => sum + (losses[name] as number), 0) / runs.length
  t.true(loss('federated') < loss('stage 1'))
  t.true(loss('stage 1') < loss('local'))
  t.true(loss('federated') < loss('agreed, tuned'))
  t.true(loss('federated') < loss('stage 2 without distillation'))
  for (const { replaced } of runs) {
    const third = replaced.length / 3
    const sum = (of: readonly number[]): number => of.reduce((total, count) => total + count, 0)
    const [first, last] = [sum(replaced.slice(0, third)), sum(replaced.slice(-third))]
    t.log(`replaced: ${first} in the first third, ${last} in the last`)
    // Eight pairs of site and task, each replaced the first time it is its turn.
    t.true(first >= 8 && first <= 12)
    t.true(last <= 2)
  }
})
