/** MAS in the simulator: merged, split, each group from the merged weights. */
import test from 'ava'
import { oneHost } from '../helpers/charters.ts'
import { LEVEL, MASK, SIDE, clientData, syntheticDataset } from '../helpers/synthetic.ts'
import { LocalTrainer } from '../../src/training/local-trainer.ts'
import { backendOn } from '../helpers/rungs.ts'
import { byName, close } from '../helpers/tensors.ts'
import { findStrategy, settingsOf } from '../../src/strategies/index.ts'
import { groupCharter, mergedCharter, partitionOf } from '../../src/federation/groups.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { smallCharter } from '../helpers/federation.ts'
import type { Charter, CharterOptions } from '../../src/federation/charter.ts'
import type { ClientData, Dataset } from '../../src/data/dataset.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'
import type { RoundReport } from '../../src/backbone/frames.ts'
import type { SimulationInit, SimulationResult } from '../../src/federation/simulator.ts'
import type { SiteSums, TaskGroup } from '../../src/federation/groups.ts'
import type { SplitResult } from '../../src/federation/group-simulator.ts'
import type { SyntheticClient } from '../helpers/synthetic.ts'

const backend = await backendOn('wasm')
const TASKS = [LEVEL, MASK, SIDE]
const SITES: readonly SyntheticClient[] = ['ada', 'ben', 'cyd'].map(id => ({ id, tasks: TASKS }))

/** Two merged rounds, one of them measured, three in groups. */
function charterOf (changes: Partial<CharterOptions> = {}, name = 'mas'): Charter {
  return smallCharter(TASKS, {
    ...changes,
    ...settingsOf(findStrategy(name), {}, {
      ...changes,
      training: { rounds: 5, stepsPerRound: 1, localSteps: 4, batch: 6, warmup: 2, ...changes.training },
      ...name === 'mas' ? { grouping: { mergedRounds: 2, affinityRounds: 1, every: 2, ...changes.grouping } } : {}
    })
  })
}

type Split = SimulationResult & { readonly split: SplitResult }

async function run (charter: Charter, init: Partial<SimulationInit> = {}): Promise<Split> {
  // An object without properties of its own, as one of a class may be.
  const dataset = Object.create(syntheticDataset({ clients: SITES })) as Dataset
  const result = await simulate(oneHost({ charter, dataset, backend, ...init }))
  return result as Split
}

function timeless ({ seconds, ...rest }: RoundReport): Omit<RoundReport, 'seconds'> { return rest }

/** Splits whatever was measured: each task alone is always worth less than some pair here, by the seed. */
const SPLIT = { grouping: { groups: 2, exact: true, gain: 0 } }

test.serial('every group starts from the merged weights, bit for bit, at clients and hosts', async t => {
  const merged = new Map<string, Readonly<Record<string, Float32Array>>>()
  const started: Array<{ charter: Charter, name: string, weights: Readonly<Record<string, Float32Array>> }> = []
  const { split } = await run(charterOf(SPLIT), {
    onTrainers: async (at, trainers, charter) => {
      const all: Array<readonly [string, readonly NamedTensor[]]> = []
      for (const [name, trainer] of trainers.clients) all.push([name, await trainer.weights()])
      for (const [name, trainer] of trainers.hosts) all.push([name, await trainer.clientUnits()])
      const first = charter.name.endsWith('.merged')
      for (const [name, weights] of all) {
        if (first && at === 'end') merged.set(name, byName(weights))
        if (!first && at === 'start') started.push({ charter, name, weights: byName(weights) })
      }
    }
  })
  t.is(split.partition.groups.length, 2, split.partition.reason)
  t.is(started.length, 2 * 4)
  for (const { charter, name, weights } of started) {
    t.deepEqual(Object.keys(weights).sort(), charter.shared.toSorted(), `${charter.name} at ${name}`)
    for (const [unit, values] of Object.entries(weights)) t.deepEqual(values, merged.get(name)?.[unit], `${unit} of ${charter.name} at ${name}`)
  }
  t.deepEqual(merged.get('host'), merged.get('ada'))
  t.notDeepEqual(split.groups[0]?.fingerprints.host, split.merged.fingerprints.host)
})

test.serial('a group of all tasks is simply going on: plain training with the phase\'s own rate', async t => {
  const charter = charterOf({ grouping: { margin: 1e9 } })
  const ada = clientData({ id: 'ada', tasks: TASKS })
  const dataset = { ...syntheticDataset({ clients: SITES.slice(0, 1) }), client: async (): Promise<ClientData> => ada }
  let got: Readonly<Record<string, Float32Array>> = {}
  const { split } = await run(charter, { dataset, clients: ['ada'], onTrainers: async (at, { hosts }) => { if (at === 'end') got = byName(await hosts.get('host')?.clientUnits() ?? []) } })
  const [group] = split.partition.groups as [TaskGroup]
  t.deepEqual(group, { index: 0, tasks: ['level', 'mask', 'side'] })
  const [first, second] = [mergedCharter(charter), groupCharter(charter, group)].map(({ model, training, seed }) => new LocalTrainer(backend, ada, model, training, seed)) as [LocalTrainer, LocalTrainer]
  for (let step = 0; step < 8; step++) await first.step(step)
  for (const [i, unit] of second.units.entries()) unit.set((first.units[i] as typeof unit).parameters)
  for (let step = 0; step < 12; step++) await second.step(step)
  t.is(Object.keys(got).length, second.units.length)
  for (const { name, parameters } of second.units) close(t, name, got[name] as Float32Array, parameters, 1e-5)
  for (const trainer of [first, second]) trainer.dispose()
})

test.serial('two runs split alike and end alike, in whatever order the clients come; nothing is left behind', async t => {
  const live = backend.liveTensors()
  const [first, turned] = [await run(charterOf(SPLIT)), await run(charterOf(SPLIT), { dataset: syntheticDataset({ clients: SITES.toReversed() }), clients: ['cyd', 'ben', 'ada'] })]
  t.deepEqual(turned.split.partition, first.split.partition)
  t.deepEqual(turned.fingerprints, first.fingerprints)
  t.deepEqual(turned.rounds.map(timeless), first.rounds.map(timeless))
  t.deepEqual(turned.clients.toReversed(), first.clients)
  t.is(backend.liveTensors(), live)
})

test.serial('rounds, bytes and encoder steps are those of all phases', async t => {
  const heard: string[] = []
  const charter = charterOf({ ...SPLIT, training: { localSteps: 3 } })
  const { split, rounds, bytes } = await run(charter, { onRound: (report, group) => { heard.push(`${report.round} ${group?.tasks.join() ?? 'merged'}`) } })
  const { partition: { groups }, encoderSteps, merged, groups: runs } = split
  t.deepEqual(heard, ['0 merged', '1 merged', ...groups.flatMap(({ tasks }) => [2, 3, 4].map(round => `${round} ${tasks.join()}`))])
  t.deepEqual(rounds.map(({ final }) => final), [false, false, false, false, true, false, false, true])
  const stepsOf = (rounds: readonly RoundReport[]): number => rounds.reduce((sum, { steps, contributors }) => sum + 3 * steps * contributors.length, 0)
  t.is(encoderSteps.merged, stepsOf(merged.rounds))
  t.deepEqual(encoderSteps.groups, runs.map(({ rounds }) => stepsOf(rounds)))
  t.deepEqual([encoderSteps.merged, encoderSteps.groups, encoderSteps.allInOne, encoderSteps.oneByOne], [18, [27, 27], 45, 135])
  // Of three gradient steps the first and the third are measured, by three clients with three tasks.
  t.is(encoderSteps.probes, 18)
  t.is(encoderSteps.total, 18 + 18 + 54)
  t.is(bytes.up, merged.bytes.up + (runs[0] as SimulationResult).bytes.up + (runs[1] as SimulationResult).bytes.up)
  t.true((runs[0] as SimulationResult).bytes.up / 3 < merged.bytes.up / 2, 'a group sends fewer heads')
})

test.serial('one report a client, with every task; its local models are those of a run without groups', async t => {
  const [grouped, plain] = [await run(charterOf(SPLIT), { baseline: true, control: true }), await run(charterOf({}, 'fedavg'), { baseline: true, control: true })]
  t.deepEqual(grouped.clients.map(({ client }) => client), ['ada', 'ben', 'cyd'])
  for (const [i, report] of grouped.clients.entries()) {
    t.deepEqual(report.tasks.map(({ id }) => id), ['level', 'mask', 'side'])
    for (const [j, { scores }] of report.tasks.entries()) {
      const alone = plain.clients[i]?.tasks[j]?.scores
      for (const candidate of ['local', 'control', 'twoLocals', 'simple']) t.deepEqual(scores[candidate], alone?.[candidate], candidate)
      t.notDeepEqual(scores.federated, alone?.federated)
    }
  }
  t.is(plain.split, undefined as unknown as SplitResult)
})

test.serial('the rows that clients give out are what the split follows from', async t => {
  const rows: SiteSums[] = []
  const charter = charterOf(SPLIT)
  const { split } = await run(charter, {
    onTrainers: async (at, trainers, charter) => {
      if (at === 'end' && charter.name.endsWith('.merged')) for (const [site, trainer] of trainers.clients) rows.push({ site, ...await trainer.affinity() })
    }
  })
  t.deepEqual(partitionOf(rows.toReversed(), charter), split.partition)
  t.deepEqual(rows.map(({ counts }) => [...counts]), [1, 2, 3].map(() => new Array<number>(9).fill(2)))
})

test.serial('only clients with a task of the group take part in it, each with its own tasks, at the host that it had', async t => {
  const clients: SyntheticClient[] = [{ id: 'ada', tasks: [LEVEL, MASK] }, { id: 'ben', tasks: [MASK, SIDE] }, { id: 'cyd', tasks: [LEVEL, SIDE] }, { id: 'dan', tasks: [SIDE] }]
  const dataset = syntheticDataset({ clients })
  const { split, clients: reports } = await run(charterOf(SPLIT), { dataset, clients: dataset.clientIds, hosts: ['h1', 'h2'] })
  t.is(split.partition.groups.length, 2, split.partition.reason)
  for (const [g, { tasks }] of split.partition.groups.entries()) {
    const members = clients.filter(client => client.tasks.some(({ id }) => tasks.includes(id))).map(({ id }) => id)
    const { rounds } = split.groups[g] as SimulationResult
    t.deepEqual([...new Set(rounds.flatMap(({ contributors }) => contributors))].sort(), members)
    for (const { host, contributors } of rounds) for (const client of contributors) t.is(host, ['ada', 'cyd'].includes(client) ? 'h1' : 'h2')
  }
  t.deepEqual(reports.map(({ client, tasks }) => `${client} ${tasks.map(({ id }) => id).join()}`), clients.map(({ id, tasks }) => `${id} ${tasks.map(task => task.id).join()}`))
})

test.serial('tasks that never meet at a client are not split, and the reason names them', async t => {
  const clients: SyntheticClient[] = [{ id: 'ada', tasks: [LEVEL, SIDE] }, { id: 'ben', tasks: [MASK] }]
  const dataset = syntheticDataset({ clients })
  const { split, clients: reports } = await run(charterOf(SPLIT), { dataset, clients: dataset.clientIds })
  t.is(split.partition.reason, 'one group: the effect of level on mask, mask on level, mask on side and 1 more was not measured')
  t.is(split.groups.length, 1)
  t.is(reports.length, 2)
})
