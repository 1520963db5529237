import { readFileSync } from 'node:fs'
import test from 'ava'
import { BENCH } from '../../src/bench/spec.ts'
import { accuracyOf, choose, combined } from '../../src/bench/choice.ts'
import type { BenchEntry } from '../../src/bench/model-bench.ts'
import type { BenchSpec } from '../../src/bench/spec.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

interface Golden { classes: number, labels: number[], probs: number[][][], sizeSweep: { chosen: number[], chosenEnsAcc: number }, baselines: { localEnsAcc: number } }
const golden = JSON.parse(readFileSync(new URL('../vectors/ensemble/nsga2-selection.json', import.meta.url), 'utf8')) as Golden
const spec: BenchSpec = { ...BENCH, architectures: [{}] }
const CLASSES: TaskSpec = { id: 'kind', kind: 'classes', channels: golden.classes, targets: 1, positions: [1], metric: 'accuracy' }

function tensor (shape: readonly number[], data: readonly number[]): TensorData { return { shape, data: Float32Array.from(data) } }

/** One model per list of answers, the first `own` of them the site's. */
function benchOf (task: TaskSpec, answers: ReadonlyArray<readonly number[]>, own: number, rows: number): BenchEntry[] {
  const shape = [rows, task.positions.reduce((a, b) => a * b, 1), task.channels]
  return answers.map((data, m) => ({
    card: { peer: `peer-${m}`, modelId: 'model-1', version: 1, arch: 'aa', parameters: 1, bytes: 4, tasks: [] },
    own: m < own,
    accuracy: 0,
    answers: new Map((['holdout', 'test'] as const).map(split => [split, new Map([[task.id, tensor(shape, data)]])]))
  }))
}

const rows = golden.labels.length
const entries = benchOf(CLASSES, golden.probs.map(each => each.flat()), 2, rows)
const y = tensor([rows, 1, 1], golden.labels)
const init = { spec, seed: 1, running: [] }

test('on the golden bench the committee and what the guard compared are the reference\'s', t => {
  const { members, explanation } = choose(CLASSES, y, entries, init)
  t.deepEqual(members.map(member => entries.indexOf(member)), golden.sizeSweep.chosen)
  t.true(Math.abs(explanation.accuracy - golden.sizeSweep.chosenEnsAcc) < 1e-9)
  t.like(explanation, { task: 'kind', samples: rows, models: 7, by: 'search' })
  t.true(Math.abs((explanation.rivals.find(({ by }) => by === 'local')?.accuracy as number) - golden.baselines.localEnsAcc) < 1e-9)
})

test('a model less than half as good as the best is passed over, unless it is the site\'s own', t => {
  // Two models of the golden bench are wrong on every row.
  const wrong = entries.slice(4, 6)
  t.is(choose(CLASSES, y, entries, init).explanation.passedOver, 2)
  t.is(choose(CLASSES, y, entries, { ...init, running: wrong }).explanation.by, 'search', 'having served gives no right to stay')
  const { members } = choose(CLASSES, y, entries.map(entry => ({ ...entry, own: wrong.includes(entry) })), init)
  t.false(members.some(({ card }) => ['peer-4', 'peer-5'].includes(card.peer)), 'own ones stand, and lose')
  t.is(choose(CLASSES, y, wrong.map((entry, i) => ({ ...entry, own: i === 0 })), init).explanation.passedOver, 0, 'where nobody is better than chance, nobody is')
})

test('every member is explained by its own accuracy and by what the committee loses without it', t => {
  const { members, explanation } = choose(CLASSES, y, entries, init)
  for (const [i, member] of explanation.members.entries()) {
    const index = entries.indexOf(members[i] as BenchEntry)
    t.like(member, { peer: `peer-${index}`, modelId: 'model-1', version: 1, arch: 'aa', own: index < 2 })
    t.is(member.accuracy, accuracyOf(CLASSES, y, entries[index]?.answers.get('holdout')?.get('kind') as TensorData, 1))
    const without = members.filter((_, other) => other !== i)
    const answers = combined(CLASSES, without, 'holdout', 'soft')
    t.true(Math.abs(member.loses - (explanation.accuracy - accuracyOf(CLASSES, y, answers, 1))) < 1e-9)
  }
})

test('the committee that serves is never left for a worse one', t => {
  const best = choose(CLASSES, y, entries, init)
  const one = entries[6] as BenchEntry
  const pair = [entries[0] as BenchEntry, entries[1] as BenchEntry, one]
  const few = choose(CLASSES, y, pair, init)
  t.true(choose(CLASSES, y, entries, { ...init, running: few.members }).explanation.accuracy >= few.explanation.accuracy)
  // One member more than the search may take: only as the running one can it be kept.
  const narrow = choose(CLASSES, y, entries, { ...init, spec: { ...spec, maxMembers: 1 }, running: best.members })
  t.deepEqual([narrow.explanation.by, narrow.explanation.accuracy], ['running', best.explanation.accuracy])
  const gone = choose(CLASSES, y, entries.slice(0, 2), { ...init, running: best.members })
  t.false(gone.explanation.rivals.some(({ by }) => by === 'running'), 'a member has left the bench')
})

test('without labels in the hold-out the site serves its own models', t => {
  const { members, explanation } = choose(CLASSES, tensor([rows, 1, 1], golden.labels.map(() => -1)), entries, init)
  t.deepEqual(members, entries.slice(0, 2))
  t.like(explanation, { by: 'local', samples: 0, rivals: [] })
})

test('with two classes members may still be several', t => {
  const binary: TaskSpec = { ...CLASSES, channels: 2 }
  // Three models, each wrong on a third of the rows of its own: together they are right.
  const right = [0, 1, 0, 1, 0, 1]
  const answers = [0, 1, 2].map(m => right.flatMap((label, row) => {
    const sure = row % 3 === m ? 0.4 : 0.9
    return label === 0 ? [sure, 1 - sure] : [1 - sure, sure]
  }))
  const { members, explanation } = choose(binary, tensor([6, 1, 1], right), benchOf(binary, answers, 1, 6), init)
  t.true(members.length > 1)
  t.true(explanation.diversity > 0)
  t.is(explanation.accuracy, 1)
})

test('a regression is served by those whose errors cancel, and rows without a label do not count', t => {
  const task: TaskSpec = { id: 'level', kind: 'regression', channels: 1, targets: 1, positions: [1], metric: 'mae' }
  const labels = [0, 2, Number.NaN, 4, 6]
  const bench = benchOf(task, [[1, 3, 9, 5, 7], [1, 3, 9, 3, 5], [-1, 1, 9, 5, 7]], 1, 5)
  const { members, explanation } = choose(task, tensor([5, 1, 1], labels), bench, init)
  t.deepEqual(members, bench.slice(1))
  t.like(explanation, { samples: 4, accuracy: 1, by: 'search' })
  t.deepEqual([...combined(task, members, 'test', 'soft').data], [0, 2, 9, 4, 6])
})

test('tokens count where they have a label', t => {
  const task: TaskSpec = { id: 'slots', kind: 'token-classes', channels: 3, targets: 1, positions: [2], metric: 'accuracy' }
  const one = (label: number): number[] => [0, 1, 2].map(k => k === label ? 0.8 : 0.1)
  const labels = [0, -1, 1, 2]
  const bench = benchOf(task, [[0, 0, 1, 1].flatMap(one), [0, 0, 1, 2].flatMap(one)], 1, 2)
  const { members, explanation } = choose(task, tensor([2, 2, 1], labels), bench, init)
  t.deepEqual(members, bench.slice(1))
  t.like(explanation, { samples: 3, accuracy: 1 })
  t.true(Math.abs((explanation.rivals.find(({ by }) => by === 'local')?.accuracy as number) - 2 / 3) < 1e-9)
})

test('pixels of yes and no are two classes, and very many are judged by a draw', t => {
  const task: TaskSpec = { id: 'mask', kind: 'dense-binary', channels: 1, targets: 1, positions: [50, 50], metric: 'f1' }
  const labels = Array.from({ length: 2500 }, (_, i) => i % 2)
  const bench = benchOf(task, [labels.map(() => 0.2), labels.map(label => label === 1 ? 0.9 : 0.1)], 1, 1)
  const { members, explanation } = choose(task, tensor([1, 2500, 1], labels), bench, init)
  t.deepEqual(members, bench.slice(1))
  t.like(explanation, { samples: 2000, accuracy: 1 })
})

test('a majority is the share of votes, ties to the first class', t => {
  const bench = benchOf(CLASSES, [[0.5, 0.5, 0, 0, 0], [0.1, 0.6, 0.3, 0, 0]], 1, 1)
  t.deepEqual([...combined(CLASSES, bench, 'test', 'hard').data], [0.5, 0.5, 0, 0, 0])
})
