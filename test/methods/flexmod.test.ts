/** FlexMod through the simulator: who gets the steps, and what is agreed of classes. */
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { BLOCKS, blockSites } from '../helpers/block-sites.ts'
import { accuracyOf, runToy } from '../helpers/table-sites.ts'
import { backendOn } from '../helpers/rungs.ts'
import { flexmod } from '../../src/methods/flexmod/flexmod.ts'

const backend = await backendOn('wasm')
const ROUNDS = 4
const BUDGET = 12
const dataset = blockSites({ seed: 2, sites: 4, rows: [40, 40, 200], weights: [1, 0.6, 0] })

interface Outcome {
  readonly accuracy: number
  /** By site, then by block. */
  readonly steps: readonly number[][]
  readonly shapley: readonly number[][]
  readonly prototypes: readonly number[]
}

async function run (allocation: string): Promise<Outcome> {
  const [steps, shapley]: [number[][], number[][]] = [[], []]
  let prototypes: number[] = []
  const { clients } = await runToy(backend, dataset, {
    strategy: 'flexmod',
    seed: 2,
    model: { width: 8, layers: 1, hidden: 16 },
    training: { rounds: ROUNDS, localSteps: BUDGET, batch: 16, warmup: 10, lrLocal: 0.01, weightDecay: 0.01 },
    method: { blocks: BLOCKS, allocation },
    simulation: {
      onTrainers: async (at, { clients, hosts }) => {
        if (at === 'start') return
        for (const trainer of clients.values()) {
          const saved = new Map((await trainer.save()).map(({ name, tensor }) => [name, [...tensor.data]]))
          steps.push(saved.get('flexmod/steps') ?? [])
          shapley.push(saved.get('flexmod/shapley') ?? [])
        }
        for (const host of hosts.values()) prototypes = [...(await host.save()).find(({ name }) => name === 'prototypes/0/kind')?.tensor.data ?? []]
      }
    }
  })
  return { accuracy: accuracyOf(clients), steps, shapley, prototypes }
}

test.serial('a budget is kept, a block that gives nothing has one step, and the block of noise has the fewest', async t => {
  const before = backend.liveTensors()
  const { steps, shapley, prototypes, accuracy } = await run('shapley')
  t.is(backend.liveTensors(), before)
  for (const [site, own] of steps.entries()) {
    t.is(own.reduce((a, b) => a + b, 0), BUDGET)
    own.forEach((count, block) => { t.true((shapley[site]?.[block] as number) > 0 ? count >= 1 : count === 1, `site ${site}: ${own.join('/')}`) })
  }
  const perBlock = [0, 1, 2].map(block => steps.reduce((sum, own) => sum + (own[block] as number), 0))
  t.log(`steps by block ${perBlock.join(', ')}, accuracy ${accuracy.toFixed(3)}`)
  t.true((perBlock[2] as number) < Math.min(perBlock[0] as number, perBlock[1] as number))
  // Sums of 8 features for each of 4 classes, then shares of rows: those of classes that a site has five rows of.
  const shares = prototypes.slice(4 * 8)
  t.is(shares.length, 4)
  const sites = await Promise.all(dataset.clientIds.map(async id => [...(await dataset.client(id)).train.y.kind as Float32Array]))
  const rows = [0, 1, 2, 3].map(kind => sites.map(labels => labels.filter(label => label === kind).length).reduce((sum, count) => sum + (count < 5 ? 0 : count), 0))
  t.true(rows.reduce((a, b) => a + b, 0) < sites.flat().length, 'some classes are rare somewhere')
  shares.forEach((share, kind) => { t.true(Math.abs(share - (rows[kind] as number) / sites.flat().length) < 1e-5) })
})

test.serial('alike, every block has a third', async t => {
  const { steps } = await run('uniform')
  for (const own of steps) t.deepEqual(own, [4, 4, 4])
})

for (const options of [{ blocks: 1 }, { blocks: 6 }, { blocks: [[0], []] }, { blocks: [[0], [-1]] }, { allocation: 'other' }, { unknown: 1 }]) {
  test(`refused: ${JSON.stringify(options)}`, t => { t.throws(() => flexmod.options(options), { instanceOf: InvalidParametersError }) })
}

test('options filled in are left as they are', t => { t.deepEqual(flexmod.options({ ...flexmod.options({ blocks: [[0, 2], [1]] }) }), flexmod.options({ blocks: [[0, 2], [1]] })) })

for (const { id, changes, message } of [
  { id: 'fewer steps than blocks', changes: { training: { localSteps: 2 } }, message: /does not give each of 3 blocks a step/ },
  { id: 'a column that is not there', changes: { method: { blocks: [[0], [99], [1]] } }, message: /there is no column 99/ }
]) {
  test(`refused: ${id}`, async t => {
    await t.throwsAsync(runToy(backend, dataset, { strategy: 'flexmod', seed: 1, method: { blocks: 3 }, ...changes }), { instanceOf: InvalidParametersError, message })
  })
}
