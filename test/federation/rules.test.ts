import test from 'ava'
import { ruleNames } from '../../src/projection/index.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { smallCharter } from '../helpers/federation.ts'
import { backendOn } from '../helpers/rungs.ts'
import { THREE, syntheticDataset } from '../helpers/synthetic.ts'
import type { ProjectionSpec } from '../../src/federation/charter.ts'

const backend = await backendOn('wasm')
const dataset = syntheticDataset({ clients: THREE, rows: [32, 4, 4] })
const training = { rounds: 3, stepsPerRound: 10, batch: 12, warmup: 2, lrTrunk: 1e-2, lrClient: 1e-2, weightDecay: 0 }

for (const rule of ruleNames) {
  for (const [strict, unit] of [['update', 'client'], ['off', 'task']] as const satisfies ReadonlyArray<readonly [ProjectionSpec['strict'], ProjectionSpec['unit']]>) {
    test.serial(`a short training by ${rule}, strict ${strict}, a row per ${unit}: losses are finite and fall`, async t => {
      const steps: Array<Readonly<Record<string, number>>> = []
      const { rounds, clients } = await simulate({
        charter: smallCharter(dataset.tasks, { training, projection: { rule, strict, unit } }),
        dataset,
        backend,
        hosts: ['host'],
        clients: dataset.clientIds,
        control: false,
        baseline: false,
        onStep: (_, __, losses) => { steps.push(losses) }
      })
      t.is(steps.length, 30)
      t.true(steps.every(losses => Object.values(losses).length === 3 && Object.values(losses).every(Number.isFinite)))
      for (const task of ['level', 'mask', 'side']) {
        const mean = (part: typeof steps): number => part.reduce((sum, losses) => sum + (losses[task] as number), 0) / part.length
        t.true(mean(steps.slice(-5)) < mean(steps.slice(0, 5)), `${task}: ${mean(steps.slice(0, 5))} -> ${mean(steps.slice(-5))}`)
      }
      if (strict === 'update') for (const { minDirectionCosine } of rounds) t.true(minDirectionCosine >= -1e-6, `${minDirectionCosine}`)
      for (const { tasks } of clients) for (const { scores } of tasks) t.true(Number.isFinite(scores.federated?.value))
    })
  }
}
