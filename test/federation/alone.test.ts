import test from 'ava'
import { concatRows, pooledSites } from '../../src/data/pool.ts'
import { findFederated, findStrategy } from '../../src/strategies/index.ts'
import { runExperiment } from '../../src/federation/experiment.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { withTasks } from '../../src/data/dataset.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { backendOn } from '../helpers/rungs.ts'
import { smallCharter } from '../helpers/federation.ts'
import { LEVEL, SIDE, syntheticDataset } from '../helpers/synthetic.ts'

const backend = await backendOn('wasm')
const clients = [{ id: 'a', tasks: [LEVEL, SIDE] }, { id: 'b', tasks: [LEVEL, SIDE] }]
const dataset = syntheticDataset({ clients, rows: [16, 4, 8] })
const charter = smallCharter(dataset.tasks)
const init = { charter, dataset, backend, hosts: ['host'], clients: dataset.clientIds, control: false }

test('local is the local baseline of any other run', async t => {
  const { clients: beside } = await simulate(init)
  const { clients: alone, bytes } = await runExperiment(findStrategy('local'), { ...init, baseline: false })
  for (const [i, { tasks }] of beside.entries()) {
    for (const { id, scores } of tasks) t.deepEqual(alone[i]?.tasks.find(task => task.id === id)?.scores.federated, scores.local, `${i} ${id}`)
  }
  t.deepEqual(bytes, { up: 0, down: 0 })
})

test('centralised is one model on all rows: every site is given the same, and its losses fall', async t => {
  const losses: number[] = []
  const long = smallCharter(dataset.tasks, { training: { rounds: 10, lrLocal: 0.02 } })
  const { clients: reports } = await runExperiment(findStrategy('centralised'), { ...init, charter: long, baseline: false, onStep: (_, __, { level }) => { losses.push(level as number) } })
  t.is(losses.length, 30)
  t.true((losses.at(-1) as number) < (losses[0] as number))
  t.deepEqual(reports.map(({ client, served }) => [client, served]), [['a', 'federated'], ['b', 'federated']])
  for (const { tasks } of reports) for (const { scores } of tasks) t.true(Number.isFinite(scores.federated?.value))
})

test('pooled rows have no label for a task that their site does not have, and keep all others', async t => {
  const sites = await Promise.all(dataset.clientIds.map(async (id, i) => withTasks(await dataset.client(id), i === 0 ? [LEVEL.id] : [LEVEL.id, SIDE.id])))
  const { train } = pooledSites('pool', dataset.input, dataset.tasks, sites)
  const counts = sites.map(site => site.train.count)
  t.is(train.count, (counts[0] as number) + (counts[1] as number))
  const side = train.y[SIDE.id] as Float32Array
  const width = side.length / train.count
  t.true(side.subarray(0, (counts[0] as number) * width).every(value => Number.isNaN(value)))
  t.deepEqual([...side.subarray((counts[0] as number) * width)], [...sites[1]?.train.y[SIDE.id] as Float32Array])
  t.deepEqual([...train.x], [...concatRows(sites.map(site => site.train)).x])
})

for (const name of ['local', 'centralised']) {
  test(`${name} is no way to train together, and the refusal says what is`, t => {
    const error = t.throws(() => findFederated(name), { instanceOf: InvalidParametersError })
    t.regex(error?.next ?? '', /fedbone.*bench learning/)
    t.notRegex(error?.next ?? '', new RegExp(`of .*\\b${name}\\b.*;`))
  })
}
