/** The phases of MAS as charters, and the partition that the sites' measurements ask for. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { LEVEL, MASK, SIDE } from '../helpers/synthetic.ts'
import { charterHash, readCharter } from '../../src/federation/charter.ts'
import { encoderSteps, groupCharter, mergedCharter, partitionOf } from '../../src/federation/groups.ts'
import { smallCharter } from '../helpers/federation.ts'
import type { Charter, CharterOptions } from '../../src/federation/charter.ts'
import type { SiteSums } from '../../src/federation/groups.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

const TASKS = [LEVEL, MASK, SIDE]
const WHOLE = { trunk: 'client', sharedEmbedder: true, sharedHeads: 'all' }

function plainCharter (changes: Partial<CharterOptions> = {}, tasks: readonly TaskSpec[] = TASKS): Charter {
  return smallCharter(tasks, { ...changes, model: { ...WHOLE, ...changes.model }, training: { rounds: 10, stepsPerRound: 1, localSteps: 4, ...changes.training } })
}

function charterOf (grouping: CharterOptions['grouping'] = {}, changes: Partial<CharterOptions> = {}, tasks: readonly TaskSpec[] = TASKS): Charter {
  return plainCharter({ ...changes, grouping }, tasks)
}

/** What a site sends that has measured every cell twice. */
function rowOf (site: string, affinity: readonly number[][]): SiteSums {
  return { site, sums: Float32Array.from(affinity.flat(), value => 2 * value), counts: new Uint32Array(affinity.length ** 2).fill(2) }
}

const APART = [[0, -1, 1], [-1, 0, -1], [2, -1, 0]]

test('a grouping of nothing but its presence: 30 % merged, a third of that measured, two groups', t => {
  t.deepEqual(charterOf().grouping, { mergedRounds: 3, affinityRounds: 1, every: 10, groups: 2, exact: false, margin: 0, gain: 0.25 })
  t.like(charterOf({}, { training: { rounds: 2 } }).grouping, { mergedRounds: 1, affinityRounds: 1 })
  t.like(charterOf({ mergedRounds: 9 }).grouping, { mergedRounds: 9, affinityRounds: 3 })
})

test('a grouping is part of the charter\'s hash and of its file; a charter without one is as it was', t => {
  const [plain, grouped] = [plainCharter(), charterOf()]
  t.false('grouping' in plain)
  t.not(charterHash(grouped), charterHash(plain))
  t.not(charterHash(charterOf({ margin: 0.1 })), charterHash(grouped))
  t.deepEqual(readCharter(JSON.parse(JSON.stringify(grouped))), grouped)
})

const REFUSED: ReadonlyArray<{ id: string, grouping: unknown, changes?: Partial<CharterOptions>, tasks?: readonly TaskSpec[] }> = [
  { id: 'no section', grouping: null },
  { id: 'a list', grouping: [] },
  { id: 'an unknown key', grouping: { splits: 3 } },
  { id: 'no round left for the groups', grouping: { mergedRounds: 10 } },
  { id: 'a fraction of a round', grouping: { mergedRounds: 1.5 } },
  { id: 'more rounds measured than merged', grouping: { mergedRounds: 3, affinityRounds: 4 } },
  { id: 'no step between two measurements', grouping: { every: 0 } },
  { id: 'no group', grouping: { groups: 0 } },
  { id: 'exactly more groups than tasks', grouping: { groups: 4, exact: true } },
  { id: 'a word for a flag', grouping: { exact: 'yes' } },
  { id: 'a negative margin', grouping: { margin: -1 } },
  { id: 'a gain above 200 %', grouping: { gain: 3 } },
  { id: 'a margin that is none', grouping: { margin: Number.NaN } },
  { id: 'a split model', grouping: {}, changes: { model: { trunk: 'host', sharedHeads: [] }, training: { localSteps: 1 } } },
  { id: 'a personal model', grouping: {}, changes: { training: { personal: 'ditto', pull: 1 } } },
  { id: 'one round in all', grouping: {}, changes: { training: { rounds: 1 } } },
  { id: 'more tasks than can be searched', grouping: {}, tasks: Array.from({ length: 15 }, (_, i) => ({ ...LEVEL, id: `level-${i}` })) }
]
for (const { id, grouping, changes, tasks } of REFUSED) {
  test(`is refused in one line: ${id}`, t => {
    const error = t.throws(() => charterOf(grouping as NonNullable<CharterOptions['grouping']>, changes, tasks), { instanceOf: InvalidParametersError })
    t.regex(error?.message ?? '', /grouping[^\n]+$/)
  })
}

test('phase one has all tasks and its own rounds, phase two those of a group and the rest', t => {
  const charter = charterOf()
  const merged = mergedCharter(charter)
  t.like(merged, { name: 'small.merged', tasks: TASKS, grouping: charter.grouping, seed: charter.seed })
  t.is(merged.training.rounds, 3)
  const group = groupCharter(charter, { index: 1, tasks: ['level', 'side'] })
  t.like(group, { name: 'small.1', shared: ['trunk', 'embed/image', 'head/level', 'head/side'], grouping: undefined })
  t.deepEqual(group.tasks, [LEVEL, SIDE])
  t.deepEqual(group.model.sharedHeads, ['level', 'side'])
  t.is(group.training.rounds, 7)
  t.deepEqual(readCharter(JSON.parse(JSON.stringify(group))), group)
})

test('no two phases are taken for each other, nor for a run without groups', t => {
  const charter = charterOf()
  const phases = [charter, plainCharter(), mergedCharter(charter), groupCharter(charter, { index: 0, tasks: ['level', 'side'] }), groupCharter(charter, { index: 1, tasks: ['mask'] }),
    groupCharter(charter, { index: 0, tasks: ['level', 'mask', 'side'] }), plainCharter({ training: { rounds: 7 } })]
  t.is(new Set(phases.map(charterHash)).size, phases.length)
  t.is(charterHash(groupCharter(charter, { index: 3, tasks: ['mask'] })), charterHash(groupCharter(charter, { index: 1, tasks: ['mask'] })), 'the same tasks, wherever they stand in the list')
})

test('in whatever order rows come, the partition and its hash are the same', t => {
  const charter = charterOf()
  const rows = [0.1, 0.7, -0.3, 1.9, 0.33].map((extra, i) => rowOf(`site ${i}`, APART.map(row => row.map(value => value + extra))))
  const first = partitionOf(rows, charter)
  t.deepEqual(first.groups, [{ index: 0, tasks: ['level', 'side'] }, { index: 1, tasks: ['mask'] }])
  t.regex(first.hash, /^[0-9a-f]{64}$/)
  for (const turned of [rows.toReversed(), [...rows.slice(2), ...rows.slice(0, 2)]]) t.deepEqual(partitionOf(turned, charter), first)
  t.not(partitionOf([rowOf('a', APART.map(row => row.map(value => -value)))], charter).hash, first.hash)
  t.not(partitionOf(rows, { ...charter, seed: 8 }).hash, first.hash, 'another charter, another partition')
})

test('the published matrix: the groups, what they are worth, and what comes second', t => {
  const { affinity, cases, allInOneScore } = JSON.parse(readFileSync(new URL('../vectors/affinity/mas-split.json', import.meta.url), 'utf8')) as { affinity: number[][], allInOneScore: number, cases: Array<{ splits: number, best: number[][], score: number }> }
  const tasks = ['s', 'd', 'n', 'k', 't'].map(id => ({ ...LEVEL, id }))
  const partition = partitionOf([rowOf('a', affinity)], charterOf({}, {}, tasks))
  const names = (groups: readonly number[][]): string[][] => groups.map(group => group.map(task => tasks[task]?.id as string))
  const two = cases.find(({ splits }) => splits === 2) as typeof cases[number]
  t.deepEqual(partition.groups.map(group => group.tasks), names(two.best))
  t.true(Math.abs((partition.best?.value as number) - two.score) < 1e-6)
  t.true(Math.abs(partition.allInOne - allInOneScore) < 1e-6)
  t.true((partition.runnerUp?.value as number) < two.score)
})

for (const { id, rows, grouping, tasks, reason } of [
  { id: 'a pair that nobody has measured', rows: [{ ...rowOf('a', APART), counts: Uint32Array.of(1, 1, 1, 1, 1, 0, 1, 1, 1) }], reason: /^one group: the effect of mask on side was not measured$/ },
  { id: 'no site at all', rows: [], reason: /^one group: nobody has measured, which takes a client with two tasks or more$/ },
  { id: 'sites with one task each', rows: [{ ...rowOf('a', APART), counts: new Uint32Array(9) }], reason: /^one group: nobody has measured/ },
  { id: 'most pairs', rows: [{ ...rowOf('a', APART), counts: Uint32Array.of(1, 1, 0, 1, 1, 0, 0, 0, 1) }], reason: /^one group: the effect of level on side, mask on side, side on level and 1 more was not measured$/ },
  { id: 'sums that are no numbers', rows: [{ ...rowOf('a', APART), sums: new Float32Array(9).fill(Number.NaN) }], reason: /was not measured$/ },
  { id: 'a split that is not worth the margin', rows: [rowOf('a', APART)], grouping: { margin: 100 }, reason: /^one group: 2 groups are worth .*, which is not 100 more$/ },
  { id: 'one task', rows: [], tasks: [LEVEL], reason: /^one group: there is one task$/ }
]) {
  test(`one group of all tasks, with the reason: ${id}`, t => {
    const charter = charterOf(grouping, {}, tasks)
    const partition = partitionOf(rows, charter)
    t.deepEqual(partition.groups, [{ index: 0, tasks: charter.tasks.map(task => task.id) }])
    t.regex(partition.reason, reason)
  })
}

for (const { id, rows } of [
  { id: 'a site twice', rows: [rowOf('a', APART), rowOf('a', APART)] },
  { id: 'rows of other tasks', rows: [rowOf('a', [[0, 1], [1, 0]])] },
  { id: 'fewer counts than sums', rows: [{ ...rowOf('a', APART), counts: new Uint32Array(4) }] }
]) {
  test(`rows are refused: ${id}`, t => { t.throws(() => partitionOf(rows, charterOf()), { instanceOf: InvalidParametersError }) })
}

test('encoder steps: merged, probes, each group; against one model and one for every task', t => {
  const groups = [{ index: 0, tasks: ['level', 'side'] }, { index: 1, tasks: ['mask'] }]
  // 4 gradient steps a round: 3 rounds merged, 7 in groups; one round measured at steps 0 and 3.
  t.deepEqual(encoderSteps(charterOf({ every: 3 }), { groups }, [['level', 'mask', 'side'], ['mask']]), {
    merged: 24, probes: 6, groups: [28, 56], total: 114, allInOne: 80, oneByOne: 160
  })
})
