import test from 'ava'
import { simulate } from '../../src/federation/simulator.ts'
import { backendOn } from '../helpers/rungs.ts'
import { smallCharter } from '../helpers/federation.ts'
import { LEVEL, SIDE, THREE, syntheticDataset } from '../helpers/synthetic.ts'
import type { CharterOptions } from '../../src/federation/charter.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import type { RoundReport } from '../../src/backbone/frames.ts'
import type { SimulationInit, SimulationResult } from '../../src/federation/simulator.ts'

const backend = await backendOn('wasm')
const dataset = syntheticDataset({ clients: THREE })
/** Scores of a task that every client with a baseline and a control has, two locals apart. */
const DEEP = ['bestLocal', 'control', 'ensemble', 'federated', 'local', 'served']

async function run (changes: Partial<CharterOptions> = {}, init: Partial<SimulationInit> & { dataset?: Dataset } = {}): Promise<SimulationResult> {
  const of = init.dataset ?? dataset
  return await simulate({ charter: smallCharter(of.tasks, changes), dataset: of, backend, hosts: ['host'], clients: of.clientIds, control: false, ...init })
}

/** A report without the time it took. */
function timeless (report: RoundReport): Omit<RoundReport, 'seconds'> {
  const { seconds, ...rest } = report
  return rest
}

function inOrder<T> (values: readonly T[], key: (value: T) => string): T[] {
  return [...values].sort((a, b) => key(a) < key(b) ? -1 : 1)
}

test.serial('three clients with different tasks train to the end and report every task they have', async t => {
  const before = backend.liveTensors()
  const { clients, rounds, fingerprints } = await run({}, { control: true })
  t.deepEqual(rounds.map(({ round, steps, final }) => [round, steps, final]), [[0, 3, false], [1, 3, true]])
  for (const report of rounds) {
    t.deepEqual(report.contributors, ['ada', 'ben', 'cyd'])
    t.deepEqual(report.missing, [])
    t.is(report.pairs, 9, 'three pairs of clients in each of three steps')
    t.true(report.bytesUp > 0 && report.bytesDown > 0)
  }
  t.deepEqual(clients.map(({ client, tasks }) => [client, tasks.map(({ id }) => id)]), THREE.map(({ id, tasks }) => [id, tasks.map(task => task.id)]))
  for (const { client, served, reason, bestLocal, simple, tasks } of clients) {
    t.true(['ensemble', 'simple+federated', 'federated', 'local', 'simple'].includes(served), `${client}: ${served}`)
    t.not(reason, '')
    // A label per pixel has no simple model.
    t.is(simple, client === 'ada' ? 'simple model: logistic regression for side, ridge regression for level, 12 rows' : 'no simple model: task mask has a label per pixel')
    t.true(client === 'ada' ? bestLocal !== undefined : bestLocal === 'local')
    for (const task of tasks) {
      t.deepEqual(Object.keys(task.scores).sort(), client === 'ada' ? [...DEEP, 'simple', 'simple+federated', 'simpleRefit', 'twoLocals'].sort() : [...DEEP, 'twoLocals'].sort())
      for (const [candidate, { value }] of Object.entries(task.scores)) t.true(Number.isFinite(value), `${client} ${task.id} ${candidate}`)
      t.deepEqual(task.scores.served, task.scores[served])
      t.deepEqual(task.scores.bestLocal, task.scores[bestLocal as string])
    }
  }
  t.is(new Set(Object.values(fingerprints)).size, 4, 'four different states')
  t.is(backend.liveTensors(), before, 'nothing is left behind')
})

for (const sharedEmbedder of [false, true]) {
  test.serial(`live tensors stay as many from round to round, ${sharedEmbedder ? 'shared' : 'private'} embedder`, async t => {
    const { liveTensors } = await run({ training: { rounds: 6, stepsPerRound: 2, batch: 4 }, model: { dropout: 0.2, sharedEmbedder } }, { hosts: ['h1', 'h2'] })
    t.is(liveTensors.length, 12)
    // Hosts close a round one after the other, and after the last round no client has begun another step.
    const perRound = [1, 2, 3, 4].map(round => Math.max(...liveTensors.slice(2 * round, 2 * round + 2)))
    t.is(new Set(perRound).size, 1, liveTensors.join(', '))
    t.true(Math.max(...liveTensors.slice(-2)) <= (perRound[0] as number), liveTensors.join(', '))
  })
}

test.serial('two runs of one charter give the same weights and the same reports', async t => {
  const changes = { model: { dropout: 0.1 }, training: { shift: 1 } }
  const [first, second] = [await run(changes), await run(changes)]
  t.deepEqual(second.fingerprints, first.fingerprints)
  t.deepEqual(second.clients, first.clients)
  t.deepEqual(second.rounds.map(timeless), first.rounds.map(timeless))
  const other = await run({ ...changes, seed: 8 })
  for (const [name, fingerprint] of Object.entries(first.fingerprints)) t.not(other.fingerprints[name], fingerprint, name)
})

test.serial('training makes every federated loss smaller than at the start', async t => {
  const long = { rounds: 6, stepsPerRound: 10, batch: 12, lrTrunk: 1e-2, lrClient: 1e-2, lrLocal: 1e-2, weightDecay: 0 }
  const rows = syntheticDataset({ clients: THREE, rows: [32, 8, 24] })
  const [start, end] = [await run({ training: { rounds: 1, stepsPerRound: 1 } }, { dataset: rows }), await run({ training: long }, { dataset: rows })]
  end.clients.forEach(({ client, tasks }, c) => tasks.forEach(({ id, scores }, i) => {
    const [before, after] = [start.clients[c]?.tasks[i]?.scores.federated?.all.loss, scores.federated?.all.loss] as [number, number]
    t.true(after < before, `${client} ${id}: ${before} -> ${after}`)
  }))
})

for (const [title, hosts] of [['one host', ['host']], ['two hosts that merge all', ['h1', 'h2']]] as const) {
  test.serial(`the order of clients changes nothing: ${title}`, async t => {
    // Client i goes to host i mod hosts: the permutation keeps everybody's host.
    const permuted = hosts.length === 1 ? [2, 0, 1] : [2, 1, 0]
    const turned = syntheticDataset({ clients: permuted.map(i => THREE[i] as typeof THREE[number]) })
    const merge = { mode: 'all' } as const
    const [first, second] = [await run({ merge }, { hosts }), await run({ merge }, { hosts, dataset: turned })]
    t.deepEqual(second.fingerprints, first.fingerprints)
    t.deepEqual(inOrder(second.clients, report => report.client), inOrder(first.clients, report => report.client))
    const plain = ({ rounds }: SimulationResult): unknown[] => inOrder(rounds.map(timeless), report => `${report.round} ${report.host}`)
    t.deepEqual(plain(second), plain(first))
  })
}

test.serial('hosts that merge all end with one trunk', async t => {
  const { fingerprints, rounds, clients } = await run({ merge: { mode: 'all' } }, { hosts: ['h1', 'h2'] })
  t.is(fingerprints.h1, fingerprints.h2)
  t.is(clients.length, 3)
  t.is(rounds.length, 4)
  for (const { merged } of rounds) t.deepEqual(merged, ['h1', 'h2'])
})

test.serial('hosts that never meet, and hosts that choose, run to the end', async t => {
  const apart = await run({ merge: { mode: 'none' } }, { hosts: ['h1', 'h2'] })
  t.not(apart.fingerprints.h1, apart.fingerprints.h2)
  for (const { merged, host } of apart.rounds) t.deepEqual(merged, [host])
  const chosen = await run({ merge: { mode: 'select' } }, { hosts: ['h1', 'h2'] })
  t.is(chosen.rounds.length, 4)
  for (const { merged, host, mergeReason, missing } of chosen.rounds) {
    t.true(merged.length > 0 && merged.every(name => ['h1', 'h2'].includes(name)), `${host}: ${merged.join()}`)
    t.not(mergeReason, '')
    t.deepEqual(missing, [])
  }
  const again = await run({ merge: { mode: 'select' } }, { hosts: ['h1', 'h2'] })
  t.deepEqual(again.fingerprints, chosen.fingerprints)
})

test.serial('gradient: no projected gradient hurts a client; update: nor does the step that was applied', async t => {
  for (const rule of ['gp', 'pcgrad', 'upgrad', 'mean']) {
    const { rounds } = await run({ projection: { rule, strict: 'gradient' } })
    for (const { minDirectionCosine } of rounds) t.true(minDirectionCosine >= -1e-6, `${rule}: ${minDirectionCosine}`)
  }
  const { rounds } = await run({ projection: { strict: 'update', unit: 'task' } })
  for (const { minUpdateCosine, minDirectionCosine } of rounds) {
    t.true(minUpdateCosine >= -1e-6, String(minUpdateCosine))
    t.true(minDirectionCosine >= -1e-6, String(minDirectionCosine))
  }
})

test.serial('a planted conflict shows in the report of the plain mean, and strict takes it away', async t => {
  // The same pictures and the same head, the opposite truth, ten times as heavy: the mean goes against the lighter client.
  const planted = syntheticDataset({
    clients: [
      { id: 'for', tasks: [LEVEL], rowsOf: 'same' },
      { id: 'against', tasks: [{ ...LEVEL, weight: 10 }], rowsOf: 'same', sign: -1 }
    ]
  })
  const settings = { dataset: planted }
  const off = await run({ projection: { rule: 'mean', strict: 'off', balance: 'none' } }, settings)
  const first = off.rounds[0] as RoundReport
  t.true(first.conflictPairs > 0 && first.minCosine < -0.5, `cosine ${first.minCosine}`)
  t.true(first.minDirectionCosine < -0.5, `direction ${first.minDirectionCosine}`)
  t.true(first.minUpdateCosine < 0, `update ${first.minUpdateCosine}`)
  for (const strict of ['gradient', 'update'] as const) {
    const { rounds } = await run({ projection: { rule: 'mean', strict, balance: 'none' } }, settings)
    for (const { minDirectionCosine, minUpdateCosine } of rounds) {
      t.true(minDirectionCosine >= -1e-6, `${strict}: ${minDirectionCosine}`)
      if (strict === 'update') t.true(minUpdateCosine >= -1e-6, `${strict}: ${minUpdateCosine}`)
    }
  }
})

test.serial('gradients kept apart per task give more pairs than per client', async t => {
  const perClient = await run({ projection: { unit: 'client' } })
  const perTask = await run({ projection: { unit: 'task' } })
  t.deepEqual(perClient.rounds.map(({ pairs }) => pairs), [9, 9])
  t.deepEqual(perTask.rounds.map(({ pairs }) => pairs), [30, 30], 'five tasks of three clients, ten pairs a step')
})

test.serial('rows with a label missing in the hold-out still give a report', async t => {
  const patchy: Dataset = {
    ...dataset,
    client: async id => {
      const data = await dataset.client(id)
      data.holdout.y.side?.fill(-1, 0, 2)
      return data
    }
  }
  await t.notThrowsAsync(run({}, { dataset: patchy }))
})

test.serial('a client without hold-out rows trains and is served the ensemble', async t => {
  const { clients } = await run({ merge: { mode: 'select' } }, { hosts: ['h1', 'h2'], dataset: syntheticDataset({ clients: THREE, rows: [12, 0, 6] }) })
  t.deepEqual(clients.map(({ served }) => served), ['ensemble', 'ensemble', 'ensemble'])
})

for (const hosts of [['host'], ['h1', 'h2']]) {
  test.serial(`a head shared by those who have the task leaves the other clients alone, hosts: ${hosts.join(', ')}`, async t => {
    const mixed = syntheticDataset({ clients: [{ id: 'ada', tasks: [SIDE] }, { id: 'ben', tasks: [LEVEL] }, { id: 'cyd', tasks: [SIDE, LEVEL] }] })
    const { clients } = await run({ model: { sharedHeads: ['side'] } }, { dataset: mixed, hosts })
    t.is(clients.length, 3)
  })
}

test.serial('the bytes of a run count the last evaluation, which comes after the last round', async t => {
  const { bytes, rounds } = await run()
  t.true(bytes.up > rounds.reduce((sum, { bytesUp }) => sum + bytesUp, 0))
  t.true(bytes.down > rounds.reduce((sum, { bytesDown }) => sum + bytesDown, 0))
})
