import test from 'ava'
import { backendOn } from '../helpers/rungs.ts'
import { expectFall, shortTraining } from '../helpers/short-training.ts'
import { ruleNames } from '../../src/projection/index.ts'
import type { ProjectionSpec } from '../../src/federation/charter.ts'

const backend = await backendOn('wasm')

for (const rule of ruleNames) {
  for (const [strict, unit] of [['update', 'client'], ['off', 'task']] as const satisfies ReadonlyArray<readonly [ProjectionSpec['strict'], ProjectionSpec['unit']]>) {
    test.serial(`a short training by ${rule}, strict ${strict}, a row per ${unit}: losses are finite and fall`, async t => {
      const { result: { rounds, clients }, steps } = await shortTraining(backend, { rule, strict, unit })
      expectFall(t, steps)
      if (strict === 'update') for (const { minDirectionCosine } of rounds) t.true(minDirectionCosine >= -1e-6, `${minDirectionCosine}`)
      for (const { tasks } of clients) for (const { scores } of tasks) t.true(Number.isFinite(scores.federated?.value))
    })
  }
}
