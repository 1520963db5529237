import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { charterHash, readCharter } from '../../src/federation/charter.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { smallCharter } from '../helpers/federation.ts'
import { weightingNames } from '../../src/weighting/index.ts'
import { backendOn } from '../helpers/rungs.ts'
import { LEVEL, SIDE, THREE, syntheticDataset } from '../helpers/synthetic.ts'
import type { CharterOptions, ProjectionSpec } from '../../src/federation/charter.ts'
import type { SimulationResult } from '../../src/federation/simulator.ts'

const backend = await backendOn('wasm')
const dataset = syntheticDataset({ clients: THREE, rows: [32, 4, 4] })
const training = { rounds: 3, stepsPerRound: 10, batch: 12, warmup: 2, lrTrunk: 1e-2, lrClient: 1e-2, weightDecay: 0 }

async function run (projection: Partial<ProjectionSpec>): Promise<{ result: SimulationResult, steps: Array<Readonly<Record<string, number>>> }> {
  const steps: Array<Readonly<Record<string, number>>> = []
  const result = await simulate({
    charter: smallCharter(dataset.tasks, { training, projection }),
    dataset,
    backend,
    hosts: ['host'],
    clients: dataset.clientIds,
    control: false,
    baseline: false,
    onStep: (_, __, losses) => { steps.push(losses) }
  })
  return { result, steps }
}

for (const weighting of weightingNames) {
  test.serial(`a short training with losses weighed by ${weighting}: losses fall, twice the same, not as without`, async t => {
    const { result, steps } = await run({ weighting })
    t.is(steps.length, 30)
    for (const task of ['level', 'mask', 'side']) {
      const mean = (part: typeof steps): number => part.reduce((sum, losses) => sum + (losses[task] as number), 0) / part.length
      t.true(mean(steps.slice(-5)) < mean(steps.slice(0, 5)), `${task}: ${mean(steps.slice(0, 5))} -> ${mean(steps.slice(-5))}`)
    }
    t.deepEqual((await run({ weighting })).result.fingerprints, result.fingerprints)
    t.not((await run({})).result.fingerprints.host, result.fingerprints.host)
  })

  test(`a charter with ${weighting} is read back, and is another one than without`, t => {
    const [charter, plain] = [smallCharter([LEVEL, SIDE], { projection: { weighting } }), smallCharter([LEVEL, SIDE])]
    t.deepEqual(readCharter(JSON.parse(JSON.stringify(charter))), charter)
    t.not(charterHash(charter), charterHash(plain))
    t.false('weighting' in plain.projection)
  })
}

const REFUSED: ReadonlyArray<{ id: string, changes: Partial<CharterOptions> }> = [
  { id: 'of no known name', changes: { projection: { weighting: 'gradnom' as 'gradnorm' } } },
  { id: 'where the whole model is at the client', changes: { model: { trunk: 'client' }, projection: { weighting: 'dwa' } } },
  { id: 'of rows per task that are brought to one length', changes: { projection: { weighting: 'dwa', unit: 'task', balance: 'norm' } } }
]
for (const { id, changes } of REFUSED) {
  test(`a weighting ${id} is refused`, t => {
    const error = t.throws(() => smallCharter([LEVEL, SIDE], changes), { instanceOf: InvalidParametersError })
    t.regex(error?.message ?? '', /weighting/)
    t.true((error?.next ?? '').length > 0)
  })
}
