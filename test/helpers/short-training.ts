/** Three clients with tasks that overlap, trained for thirty steps: what gradient rules and weightings are tried on. */
import { oneHost } from './charters.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { smallCharter } from './federation.ts'
import { THREE, syntheticDataset } from './synthetic.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { ExecutionContext } from 'ava'
import type { ProjectionSpec } from '../../src/federation/charter.ts'
import type { SimulationResult } from '../../src/federation/simulator.ts'

type Losses = Readonly<Record<string, number>>

const STEPS = 30
const dataset = syntheticDataset({ clients: THREE, rows: [32, 4, 4] })
const training = { rounds: 3, stepsPerRound: STEPS / 3, batch: 12, warmup: 2, lrTrunk: 1e-2, lrClient: 1e-2, weightDecay: 0 }

/** @returns the losses by task of every step as well */
export async function shortTraining (backend: Backend, projection: Partial<ProjectionSpec>): Promise<{ readonly result: SimulationResult, readonly steps: readonly Losses[] }> {
  const steps: Losses[] = []
  const charter = smallCharter(dataset.tasks, { training, projection })
  const result = await simulate(oneHost({ charter, dataset, backend, onStep: (_, __, losses) => { steps.push(losses) } }))
  return { result, steps }
}

/** The last five steps are below the first five, task by task. */
export function expectFall (t: ExecutionContext, steps: readonly Losses[]): void {
  t.is(steps.length, STEPS)
  t.true(steps.every(losses => Object.values(losses).length === 3 && Object.values(losses).every(Number.isFinite)))
  for (const task of ['level', 'mask', 'side']) {
    const mean = (part: typeof steps): number => part.reduce((sum, losses) => sum + (losses[task] as number), 0) / part.length
    t.true(mean(steps.slice(-5)) < mean(steps.slice(0, 5)), `${task}: ${mean(steps.slice(0, 5))} -> ${mean(steps.slice(-5))}`)
  }
}
