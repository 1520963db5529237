/** What a client measures while tasks train merged, against steps that are really taken; and that it leaves no trace. */
import test from 'ava'
import { ClientTrainer } from '../../src/training/client-trainer.ts'
import { InvalidParametersError, ProtocolError } from '../../src/errors.ts'
import { LEVEL, MASK, SIDE, clientData, syntheticDataset } from '../helpers/synthetic.ts'
import { WholeModel } from '../../src/training/whole-model.ts'
import { backendOn } from '../helpers/rungs.ts'
import { byName } from '../helpers/tensors.ts'
import { affinityOf } from '../../src/affinity/tally.ts'
import { drawBatch } from '../../src/training/batches.ts'
import { mergedCharter } from '../../src/federation/groups.ts'
import { runInHalves } from '../helpers/halves.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { smallCharter } from '../helpers/federation.ts'
import { withTasks } from '../../src/data/dataset.ts'
import type { Batch } from '../../src/training/batches.ts'
import type { Charter, CharterOptions } from '../../src/federation/charter.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

const backend = await backendOn('wasm')
const TASKS = [LEVEL, MASK, SIDE]
const WHOLE = { trunk: 'client', sharedEmbedder: true, sharedHeads: 'all' }
const ada = clientData({ id: 'ada', tasks: TASKS })

/** Two merged rounds of four gradient steps, of which the first is measured. */
function merged (changes: Partial<CharterOptions> = {}, tasks: readonly TaskSpec[] = TASKS): Charter {
  return mergedCharter(smallCharter(tasks, {
    ...changes,
    model: WHOLE,
    training: { rounds: 3, stepsPerRound: 1, localSteps: 4, ...changes.training },
    grouping: { mergedRounds: 2, affinityRounds: 1, every: 1, ...changes.grouping }
  }))
}

function modelOf ({ model, seed, training }: Charter, tasks: readonly string[] = TASKS.map(task => task.id)): WholeModel {
  return new WholeModel(backend, withTasks(ada, tasks), model, { seed, training, rate: training.lrLocal })
}

function batchOf (step: number): Batch { return drawBatch(ada.train, ada.input, { size: 6, seed: 3, step, shift: 0 }) }

test.serial('a measured cell is what a step on the source, really taken, does to the target', async t => {
  const charter = merged()
  const { weightDecay } = charter.training
  const batch = batchOf(0)
  const whole = modelOf(charter)
  const got = await whole.lookAhead(batch, { step: 5, weightDecay })
  const before = (await whole.pass(batch)).losses
  const rate = whole.units[0]?.rateAt(5) as number
  for (const [i, source] of TASKS.entries()) {
    // A model of this task alone has the same encoder and the same head.
    const alone = modelOf(charter, [source.id])
    const { gradients } = await alone.pass(batch)
    // Losses are float32: their ratio is good to some 1e-6, and that is divided by the rate.
    const stepped = modelOf(charter)
    for (const { name, parameters } of alone.units.slice(0, 2)) {
      const unit = stepped.units.find(unit => unit.name === name) as typeof stepped.units[number]
      const gradient = gradients.get(name) as Float32Array
      unit.set(parameters.map((value, at) => value - rate * ((gradient[at] as number) + weightDecay * value)))
    }
    const after = (await stepped.pass(batch)).losses
    for (const [j, { task, loss }] of before.entries()) {
      const want = (1 - (after[j]?.loss as number) / loss) / rate
      t.true(Math.abs((got[i]?.[j] as number) - want) <= 1e-3 * Math.abs(want) + 1e-6 / rate, `${source.id} on ${task}: ${got[i]?.[j]}, not ${want}`)
    }
    t.true((got[i]?.[i] as number) > 0, 'a step on a task helps the task itself')
    for (const model of [alone, stepped]) model.dispose()
  }
  whole.dispose()
})

test.serial('looking ahead leaves model and optimiser as they are, bit for bit', async t => {
  const live = backend.liveTensors()
  const whole = modelOf(merged())
  for (let step = 0; step < 3; step++) {
    const { gradients } = await whole.pass(batchOf(step))
    for (const unit of whole.units) unit.learn(gradients.get(unit.name) as Float32Array, step)
  }
  const state = (): unknown => whole.units.map(unit => unit.save())
  const [before, predicted] = [state(), await whole.predict(ada.test)]
  await whole.lookAhead(batchOf(9), { step: 3, weightDecay: 0.3 })
  t.deepEqual(state(), before)
  t.deepEqual(await whole.predict(ada.test), predicted, 'the compiled model holds them too')
  whole.dispose()
  t.is(backend.liveTensors(), live)
})

test.serial('a client that measures trains to the same bits as one that does not, and sends the same changes', async t => {
  const { grouping, ...plain } = merged()
  const [probing, blind] = [merged(), plain].map(charter => new ClientTrainer(backend, charter, ada, { control: false, baseline: false })) as [ClientTrainer, ClientTrainer]
  for (let step = 0; step < 2; step++) t.deepEqual(await probing.contribute(step), await blind.contribute(step))
  const { 'affinity.sums': sums, 'affinity.counts': counts, ...rest } = byName(probing.save())
  t.deepEqual(rest, byName(blind.save()))
  t.is(sums?.length, 9)
  t.deepEqual(counts, new Float32Array(9).fill(4), 'the first round has four gradient steps')
  t.throws(() => blind.affinity(), { instanceOf: ProtocolError })
  for (const trainer of [probing, blind]) trainer.dispose()
})

for (const { id, grouping, measured } of [
  { id: 'every step of the measured rounds', grouping: { every: 1 }, measured: 4 },
  { id: 'every third', grouping: { every: 3 }, measured: 2 },
  { id: 'the first alone', grouping: { every: 100 }, measured: 1 },
  { id: 'two rounds', grouping: { affinityRounds: 2, every: 2 }, measured: 4 }
]) {
  test.serial(`measured is ${id}`, async t => {
    const trainer = new ClientTrainer(backend, merged({ grouping }), ada, { control: false, baseline: false })
    for (let step = 0; step < 2; step++) await trainer.contribute(step)
    t.deepEqual(trainer.affinity().counts, new Uint32Array(9).fill(measured))
    trainer.dispose()
  })
}

test.serial('a client without some tasks measures the cells that it has; with one task it has none', async t => {
  const [two, one] = [['side', 'level'], ['mask']].map(tasks => new ClientTrainer(backend, merged(), withTasks(ada, tasks), { control: false, baseline: false })) as [ClientTrainer, ClientTrainer]
  await two.contribute(0)
  await one.contribute(0)
  t.deepEqual([...two.affinity().counts], [4, 0, 4, 0, 0, 0, 4, 0, 4])
  const means = affinityOf(two.affinity(), 3)
  t.true(Number.isFinite(means[0]?.[2]) && Number.isNaN(means[0]?.[1]) && Number.isNaN(means[1]?.[1]))
  t.deepEqual([...one.affinity().counts], new Array<number>(9).fill(0))
  for (const trainer of [two, one]) trainer.dispose()
})

test.serial('twice the weight of a task doubles what its step does, to first order, and changes nothing in what others do to it', async t => {
  const probe = async (weight: number): Promise<number[][]> => {
    const data = { ...ada, tasks: TASKS.map(task => task.id === 'mask' ? { ...task, weight } : task) }
    const charter = merged()
    const whole = new WholeModel(backend, data, charter.model, { seed: 7, training: charter.training, rate: charter.training.lrLocal })
    const found = await whole.lookAhead(batchOf(0), { step: 0, weightDecay: 0 })
    whole.dispose()
    return found
  }
  const [once, twice] = [await probe(1), await probe(2)]
  for (const source of [0, 2]) t.deepEqual(twice[source], once[source])
  const ratio = (twice[1]?.[1] as number) / (once[1]?.[1] as number)
  t.true(Math.abs(ratio - 2) < 0.1, `${ratio}`)
})

test.serial('a checkpoint holds what was measured: a run in two halves measures the same as one', async t => {
  const charter = merged({ grouping: { affinityRounds: 2, every: 3 }, clock: { quorum: 2 } })
  const sites = [ada, clientData({ id: 'ben', tasks: TASKS })]
  const dataset = syntheticDataset({ clients: sites.map(({ id }) => ({ id, tasks: TASKS })) })
  const { fingerprints } = await simulate({ charter, dataset, backend, hosts: ['host'], clients: ['ada', 'ben'], control: false })
  t.deepEqual(await runInHalves(backend, charter, sites, 1), fingerprints)
  const trainer = new ClientTrainer(backend, charter, ada, { control: false, baseline: false })
  await trainer.contribute(0)
  const saved = trainer.save()
  const before = trainer.affinity()
  await trainer.contribute(1)
  t.notDeepEqual(trainer.affinity(), before)
  trainer.load(saved)
  t.deepEqual(trainer.affinity(), before)
  t.throws(() => { trainer.load(saved.filter(({ name }) => name !== 'affinity.counts')) }, { instanceOf: InvalidParametersError })
  trainer.dispose()
})

test.serial('a trainer starts from given weights, and starts there again; all of them or none', async t => {
  const charter = merged()
  const [first, second] = [7, 8].map(partsSeed => new ClientTrainer(backend, charter, ada, { control: false, baseline: false, partsSeed })) as [ClientTrainer, ClientTrainer]
  await first.contribute(0)
  const weights = first.weights()
  second.start(weights)
  t.deepEqual(second.weights(), weights)
  await second.contribute(0)
  t.notDeepEqual(second.weights(), weights)
  second.restart()
  t.deepEqual(second.weights(), weights, 'every unit of this charter is shared')
  const now = second.weights()
  t.throws(() => { second.start(first.weights().map(unit => unit.name === 'head/side' ? { ...unit, tensor: { shape: [1], data: Float32Array.of(1) } } : unit)) }, { instanceOf: InvalidParametersError, message: /head\/side/ })
  t.deepEqual(second.weights(), now)
  for (const trainer of [first, second]) trainer.dispose()
})
