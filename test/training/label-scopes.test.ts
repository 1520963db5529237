/** Sites that know some of a task's classes only: what counts among their own labels, what among all, and who answers. */
import test from 'ava'
import { ClientLayout } from '../../src/training/client-layout.ts'
import { Committee } from '../../src/training/committee.ts'
import { backendOn } from '../helpers/rungs.ts'
import { clientData, PICTURES, SIDE, syntheticDataset } from '../helpers/synthetic.ts'
import { close } from '../helpers/tensors.ts'
import { ownLabels, restricted, within } from '../../src/training/label-scopes.ts'
import { scopeLines, scopesOf } from '../../testnet/scopes.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { smallCharter } from '../helpers/federation.ts'
import type { ClientData, Rows } from '../../src/data/dataset.ts'
import type { ClientReport } from '../../src/training/committee.ts'
import type { SummaryTask } from '../../testnet/summary.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

const backend = await backendOn('wasm')
const TAGS: TaskSpec = { id: 'tags', kind: 'token-classes', channels: 3, targets: 1, positions: [2], classNames: ['O', 'a', 'b'], metric: 'nonO' }

function rowsOf (labels: readonly number[]): Rows {
  return { count: labels.length, x: new Float32Array(64 * labels.length), y: { side: Float32Array.from(labels) }, source: Int32Array.from(labels, (_, i) => i) }
}

function site (init: { train: readonly number[], holdout: readonly number[], test: readonly number[], all?: readonly number[] }): ClientData {
  const { train, holdout, test, all } = init
  return { id: 'ada', input: PICTURES, tasks: [SIDE], train: rowsOf(train), holdout: rowsOf(holdout), test: rowsOf(test), ...all === undefined ? {} : { all: rowsOf(all) } }
}

/** Candidates that put out these probabilities whatever the row. */
function reportOf (data: ClientData, outputs: Readonly<Record<string, readonly number[]>>, sharedTasks?: readonly string[]): ClientReport {
  const { model, training } = smallCharter([SIDE])
  const committee = new Committee(new ClientLayout(data, model, training.smoothing), data, sharedTasks === undefined ? {} : { sharedTasks })
  for (const [name, probabilities] of Object.entries(outputs)) {
    for (const split of ['holdout', 'test', 'all'] as const) {
      const rows = data[split]
      if (rows !== undefined) committee.put(name, split, new Map([['side', { shape: [rows.count, 1, 4], data: Float32Array.from({ length: 4 * rows.count }, (_, i) => probabilities[i % 4] as number) }]]))
    }
  }
  return committee.report()
}

// Knows sides 0 and 1; the federated model says 3, then 1, the local one 0.
const KNOWS_TWO = { train: [0, 0, 1], holdout: [1, 0], test: [1, 1, 0, 3] }
const OUTPUTS = { local: [0.8, 0.2, 0, 0], federated: [0.1, 0.3, 0.1, 0.5] }

test('among its own labels a site\'s models choose from those, and rows of others do not count', t => {
  const { tasks: [task] } = reportOf(site(KNOWS_TWO), OUTPUTS)
  const { own, all } = task?.scopes ?? {}
  t.is(own?.classes, 2)
  t.deepEqual([own?.scores.federated?.value, own?.scores.local?.value], [2 / 3, 1 / 3])
  t.is(own?.scores.federated?.support, 3)
  t.is(own?.served, 'ensemble')
  t.regex(own?.reason ?? '', /^ensemble: local is the nearest rival/)
  t.deepEqual([all?.classes, all?.served], [4, 'federated'])
  t.regex(all?.reason ?? '', /the hold-out here has none of the other 2 labels/)
  t.deepEqual([all?.scores.federated?.value, all?.scores.served?.value, all?.scores.local?.value], [0.25, 0.25, 0.25])
  t.is(task?.scores.federated?.value, 0.25, 'the report of the task itself is of all labels')
  t.true(Object.values(own?.scores ?? {}).every(score => score.classes === undefined))
})

test('where a bench has rows of all labels, these are what `all` is about', t => {
  const { tasks: [task] } = reportOf(site({ ...KNOWS_TWO, all: [3, 3, 3, 2, 1] }), OUTPUTS)
  t.deepEqual([task?.scopes?.all.scores.federated?.value, task?.scopes?.all.scores.local?.value], [0.6, 0])
  t.is(task?.scopes?.own.scores.federated?.support, 3)
})

test('among its own labels the hold-out is asked with the others left out, and of a site\'s own and the averaged model alone', t => {
  // Unrestricted the federated model is hopeless on rows of 0; among 0 and 1 it is the surest, and the average follows it.
  const rows = site({ train: [0, 0, 1], holdout: Array.from({ length: 12 }, (_, i) => i === 0 ? 1 : 0), test: [0, 1, 2] })
  const sure = { local: [0.5, 0.5, 0, 0], simple: [0.5, 0.5, 0, 0], federated: [0.05, 0, 0, 0.95] }
  const { served, tasks: [task] } = reportOf(rows, sure)
  t.is(served, 'local')
  t.is(task?.scopes?.own.served, 'simple+federated')
  const unsure = { ...sure, simple: [0.9, 0.1, 0, 0], federated: [0.05, 0.95, 0, 0], local: [1, 0, 0, 0] }
  t.is(reportOf(rows, unsure).tasks[0]?.scopes?.own.served, 'simple')
})

test('a private head knows no other labels: both scopes are served alike', t => {
  const { tasks: [task], served } = reportOf(site(KNOWS_TWO), OUTPUTS, [])
  t.is(task?.scopes?.all.served, served)
  t.regex(task?.scopes?.all.reason ?? '', /the head of side is private/)
})

test('with all classes at hand, or numbers, there is one scope', t => {
  t.is(reportOf(site({ train: [0, 1, 2], holdout: [3], test: [0, 1] }), OUTPUTS).tasks[0]?.scopes, undefined)
  t.is(ownLabels({ ...SIDE, kind: 'regression', channels: 1 }, site(KNOWS_TWO)), undefined)
  t.is(ownLabels(SIDE, site({ train: [-1], holdout: [-1], test: [0] })), undefined)
  t.deepEqual(ownLabels(SIDE, site({ train: [-1, 2], holdout: [0], test: [1] })), new Set([2, 0]))
})

test('restricted outputs sum to 1 over what is left, and are even where nothing is', t => {
  const { data, shape } = restricted({ shape: [2, 1, 4], data: Float32Array.of(0.1, 0.3, 0.1, 0.5, 0, 0, 1, 0) }, new Set([0, 1]))
  t.deepEqual(shape, [2, 1, 4])
  close(t, 'probabilities', data, [0.25, 0.75, 0, 0, 0.5, 0.5, 0, 0], 1e-6)
})

test('a row of tokens counts whole or not at all', t => {
  const rows: Rows = { count: 3, x: new Float32Array(0), y: { tags: Float32Array.of(0, 1, 0, 2, 0, -1) }, source: new Int32Array(3) }
  t.deepEqual([...within(TAGS, rows, new Set([0, 1]))], [0, 1, -1, -1, 0, -1])
})

test.serial('a simulation gives every client the bench\'s rows, and one line per task says both scopes', async t => {
  const dataset = syntheticDataset({ clients: [{ id: 'ada', tasks: [SIDE] }, { id: 'ben', tasks: [SIDE] }] })
  const sides = (data: ClientData, known: readonly number[]): ClientData => {
    const relabel = (rows: Rows): Rows => ({ ...rows, y: { side: (rows.y.side as Float32Array).map(side => known[side % 2] as number) } })
    return { ...data, train: relabel(data.train), holdout: relabel(data.holdout), test: relabel(data.test) }
  }
  const clients = [sides(clientData({ id: 'ada', tasks: [SIDE] }), [0, 1]), sides(clientData({ id: 'ben', tasks: [SIDE] }), [1, 2])]
  const all = clientData({ id: 'cyd', tasks: [SIDE] }).test
  for (const trunk of ['host', 'client']) {
    const { clients: reports } = await simulate({
      charter: smallCharter([SIDE], { model: { trunk, sharedHeads: ['side'] }, training: { rounds: 1, stepsPerRound: 2 } }),
      dataset: { ...dataset, client: async id => clients.find(client => client.id === id) as ClientData },
      backend,
      hosts: ['host'],
      clients: ['ada', 'ben'],
      control: false,
      all
    })
    const tasks = reports.flatMap(report => report.tasks)
    t.deepEqual(tasks.map(({ scopes }) => [scopes?.own.classes, scopes?.own.scores.simple?.support, scopes?.all.scores.simple?.support]), [[2, 6, all.count], [2, 6, all.count]])
    t.deepEqual([...new Set(tasks.map(({ scopes }) => scopes?.all.served))], ['federated'])
    const summary = tasks.map(({ id, scopes }) => ({ id, ...scopes === undefined ? {} : { scopes: scopesOf(scopes) } })) as SummaryTask[]
    const lines = scopeLines(summary)
    t.is(lines.length, 1)
    t.regex(lines[0] ?? '', /^side, own labels \(2 of 4\): served \S+ by \S+, best local \S+; all labels: served \S+ by federated, best local \S+ \(mean of 2 clients\)$/)
  }
  t.deepEqual(scopeLines([{ id: 'side' } as SummaryTask]), [])
})
