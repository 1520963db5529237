/** What is read of a run, and what follows from it. */
import test from 'ava'
import { DataError, FmtlError } from '../../src/errors.ts'
import { conflictsOf, linkFindings, measuredRound, payloadBytes, readRun, splittingOf, trafficOf } from '../../src/planning/index.ts'
import { findStrategy, settingsOf } from '../../src/strategies/index.ts'
import { smallCharter } from '../helpers/federation.ts'
import { LEVEL, MASK, SIDE } from '../helpers/synthetic.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { ConflictFindings, MeasuredRun } from '../../src/planning/index.ts'

const TASKS = [LEVEL, MASK, SIDE]
const ROUND = { host: 'host-1', round: 0, steps: 20, seconds: 2, contributors: ['ada', 'ben'], pairs: 20, conflictPairs: 6, meanCosine: 0.2, minCosine: -0.4, removedShare: 0.1, bytesUp: 4000, bytesDown: 6000 }
const SAMPLES = { train: 12, holdout: 6, test: 6 }
const CLIENTS = [{ client: 'ada', tasks: ['level', 'mask', 'side'], samples: SAMPLES }, { client: 'ben', tasks: ['side'], samples: SAMPLES }]
const AFFINITY = {
  tasks: ['level', 'mask', 'side'],
  matrix: [[null, 0.3, -0.1], [0.2, null, -0.2], [-0.3, 0, null]],
  groups: [['level', 'mask'], ['side']],
  reason: '2 groups are worth more'
}
const SUMMARY = { type: 'summary', strategy: 'fedbone', runner: 'in-process', rounds: [ROUND, { ...ROUND, round: 1, seconds: 1 }], clients: CLIENTS, affinity: AFFINITY }

function run (changes: object = {}): MeasuredRun { return readRun({ ...SUMMARY, ...changes }) }

test('a summary is read with what it measured', t => {
  const { hosts, clients, rounds, affinity, charter } = run()
  t.deepEqual([hosts, clients.length, rounds.length], [1, 2, 2])
  t.is(charter, undefined)
  t.deepEqual(rounds[1]?.bytes, { up: 4000, down: 6000 })
  t.is(affinity?.matrix[0]?.[1], 0.3)
  t.is(affinity?.matrix[0]?.[0], NaN)
  t.true(Math.abs((affinity?.value as number) - (0.2 + 0.3 - 0.15) / 3) < 1e-12)
  t.true(Math.abs((affinity?.allInOne as number) - (-0.05 + 0.15 - 0.15) / 3) < 1e-12)
  t.is(run({ affinity: { ...AFFINITY, matrix: [[null, null, -0.1], [0.2, null, -0.2], [-0.3, 0, null]] } }).affinity?.value, null)
  const charterOfRun = smallCharter(TASKS)
  t.deepEqual(run({ charter: structuredClone(charterOfRun) }).charter, charterOfRun)
})

const WRONG: Array<{ id: string, summary: unknown, says: RegExp }> = [
  { id: 'nothing', summary: null, says: /summary is no object/ },
  { id: 'no rounds', summary: { ...SUMMARY, rounds: [] }, says: /closed no round/ },
  { id: 'rounds that are no list', summary: { ...SUMMARY, rounds: { length: 3 } }, says: /rounds: no list/ },
  { id: 'too many rounds', summary: { ...SUMMARY, rounds: Array.from({ length: 100_001 }, () => ROUND) }, says: /rounds: 100001 entries, at most 100000/ },
  { id: 'a round of text', summary: { ...SUMMARY, rounds: ['x'] }, says: /round 1 of the summary is no object/ },
  { id: 'a negative number of bytes', summary: { ...SUMMARY, rounds: [{ ...ROUND, bytesUp: -1 }] }, says: /bytesUp in round 1/ },
  { id: 'a cosine of 2', summary: { ...SUMMARY, rounds: [{ ...ROUND, meanCosine: 2 }] }, says: /meanCosine in round 1.*from -1 to 1/ },
  { id: 'half a step', summary: { ...SUMMARY, rounds: [{ ...ROUND, steps: 0.5 }] }, says: /steps in round 1/ },
  { id: 'a strategy that is no text', summary: { ...SUMMARY, strategy: 7 }, says: /strategy: no text/ },
  { id: 'too long a text', summary: { ...SUMMARY, strategy: 'x'.repeat(5000) }, says: /strategy: no text/ },
  { id: 'a matrix that is no square', summary: { ...SUMMARY, affinity: { ...AFFINITY, matrix: [[1]] } }, says: /not 3 x 3/ },
  { id: 'a cell of text', summary: { ...SUMMARY, affinity: { ...AFFINITY, matrix: [['a', 1, 1], [1, 1, 1], [1, 1, 1]] } }, says: /cell of the affinity/ },
  { id: 'a task twice', summary: { ...SUMMARY, affinity: { ...AFFINITY, tasks: ['level', 'level', 'side'] } }, says: /a task twice/ },
  { id: 'a task in two groups', summary: { ...SUMMARY, affinity: { ...AFFINITY, groups: [['level', 'mask'], ['mask']] } }, says: /every task once/ },
  { id: 'a charter that is none', summary: { ...SUMMARY, charter: { name: 'x' } }, says: /no charter/ }
]
for (const { id, summary, says } of WRONG) {
  test(`not a run: ${id}`, t => {
    const error = t.throws(() => readRun(summary), { instanceOf: FmtlError, message: says })
    t.notRegex(error?.message ?? '', /\n/)
    t.truthy(error?.next)
    if (id !== 'a charter that is none') t.true(error instanceof DataError)
  })
}

test('a run without pairs, bytes or hold-outs says null, not 0', t => {
  const { rounds: [round] } = run({ rounds: [{ ...ROUND, pairs: 0, conflictPairs: 0, meanCosine: null, minCosine: null, removedShare: null }] })
  t.deepEqual([round?.meanCosine, round?.minCosine, round?.removedShare], [null, null, null])
})

test('a first round, in which backends load, does not count where there are others', t => {
  t.deepEqual(measuredRound(run()), { seconds: 1, stepSeconds: 0.05, bytes: { up: 2000, down: 3000 } })
  t.deepEqual(measuredRound(run({ rounds: [{ ...ROUND, bytesDown: 0 }, ROUND], charter: structuredClone(masCharter(2)) })).bytes, { up: 2000, down: 3000 })
  t.deepEqual(measuredRound(run({ rounds: [{ ...ROUND, bytesUp: 5000 }, { ...ROUND, bytesUp: 3000 }] })).bytes, { up: 2000, down: 3000 })
  t.is(measuredRound(run({ rounds: [ROUND] })).seconds, 2)
  t.is(measuredRound(run({ rounds: [ROUND, { ...ROUND, host: 'host-2', seconds: 4 }] })).seconds, 3)
})

const CONFLICTS: Array<{ id: string, rounds: readonly object[], want: ConflictFindings['finding'] }> = [
  { id: 'gradients that conflict and are shortened', rounds: [ROUND], want: 'active' },
  { id: 'none in conflict', rounds: [{ ...ROUND, conflictPairs: 0, minCosine: 0.1, removedShare: 0 }], want: 'no effect' },
  { id: 'gradients that do not meet', rounds: [{ ...ROUND, meanCosine: 0.001, conflictPairs: 9, removedShare: 0.3 }], want: 'no interaction' },
  { id: 'that do not meet in one round of two', rounds: [{ ...ROUND, meanCosine: 0.001 }, ROUND], want: 'active' },
  { id: 'conflict in every pair', rounds: [{ ...ROUND, meanCosine: -0.3 }], want: 'active' },
  { id: 'one client', rounds: [{ ...ROUND, pairs: 0, conflictPairs: 0, meanCosine: null, minCosine: null, removedShare: 0 }], want: 'no pairs' }
]
for (const { id, rounds, want } of CONFLICTS) test(`conflicts: ${id}`, t => { t.is(conflictsOf(run({ rounds })).finding, want) })

test('a step that projection made longer is not called removed', t => {
  t.regex(conflictsOf(run()).reason, /^10\.0 % of the plain mean's length was removed/)
  t.regex(conflictsOf(run({ rounds: [{ ...ROUND, removedShare: -0.057 }] })).reason, /^the step is 5\.7 % longer than the plain mean/)
})

test('conflict figures are means over pairs and steps', t => {
  const { pairs, conflictPairs, meanCosine, minCosine, removedShare } = conflictsOf(run({ rounds: [ROUND, { ...ROUND, pairs: 60, meanCosine: 0.4, minCosine: -0.6, steps: 60, removedShare: 0.2 }] }))
  t.deepEqual({ pairs, conflictPairs, minCosine }, { pairs: 80, conflictPairs: 12, minCosine: -0.6 })
  t.true(Math.abs((meanCosine as number) - 0.35) < 1e-12)
  t.true(Math.abs((removedShare as number) - 0.175) < 1e-12)
})

function masCharter (rounds: number): Charter {
  const settings = settingsOf(findStrategy('fedavg'), {}, {})
  return smallCharter(TASKS, { ...settings, training: { lrLocal: 1e-3, ...settings.training, rounds, stepsPerRound: 1, localSteps: 20 } })
}

test('five tasks in two groups after 30 of 100 rounds take 170 rounds and the measuring, against 500 and 100', t => {
  const tasks = ['a', 'b', 'c', 'd', 'e']
  const affinity = { tasks, matrix: tasks.map(() => tasks.map(() => 0.1)), groups: [['a', 'b'], ['c', 'd', 'e']], value: 0.1, allInOne: 0.1, reason: '' }
  const rounds = [ROUND, { ...ROUND, round: 99, seconds: 1 }]
  const { costs, mergedRounds } = splittingOf(run({ rounds, clients: [] }), affinity, payloadBytes)
  t.is(mergedRounds, 30)
  t.deepEqual(costs.map(({ plan, encoderPasses, seconds, bytes }) => [plan, encoderPasses, seconds, bytes]), [
    ['all in one', 100, 100, null],
    ['groups', 175, 175, null], // 10 rounds, 5 tasks, every tenth batch
    ['one by one', 500, 500, null]
  ])
})

test('groups take bytes by the heads that they share, and clients by the tasks that they have', t => {
  const charter = masCharter(10)
  const findings = run({ charter: structuredClone(charter) })
  const { costs: [all, groups, alone] } = splittingOf(findings, findings.affinity as NonNullable<MeasuredRun['affinity']>, payloadBytes)
  t.is(all?.encoderPasses, 10)
  t.is(groups?.encoderPasses, (3 + 2 * 7 + 3 / 10 + 3 + 7) / 2) // ada trains in both groups and measures in one round, ben in one
  t.is(alone?.encoderPasses, (30 + 10) / 2)
  t.true((all?.bytes as number) < (groups?.bytes as number) && (groups?.bytes as number) < (alone?.bytes as number))
  const two = splittingOf({ ...findings, clients: findings.clients.slice(0, 1) }, findings.affinity as NonNullable<MeasuredRun['affinity']>, payloadBytes)
  const shares = trafficOf({ ...findings, clients: findings.clients.slice(0, 1) }, payloadBytes)
  t.is(two.costs[0]?.bytes, 10 * ((shares?.planned.up as number) + (shares?.planned.down as number)))
})

test('traffic needs a charter and clients, and compares with what was planned for each', t => {
  t.is(trafficOf(run(), payloadBytes), undefined)
  const charter = smallCharter(TASKS, { training: { rounds: 2, stepsPerRound: 20, batch: 6 } })
  const { measured, planned, comparison } = trafficOf(run({ charter: structuredClone(charter) }), payloadBytes) as NonNullable<ReturnType<typeof trafficOf>>
  t.deepEqual(measured, { up: 2000, down: 3000 })
  t.deepEqual(planned, comparison.ways.find(({ own }) => own)?.round)
  t.is(planned.up, 20 * 2 * 6 * 4 * 8 * 4)
})

const FAST = { upBitsPerSecond: Infinity, downBitsPerSecond: Infinity, roundTripMs: 0 }

test('a link with a long way wants steps in flight, one that costs nothing does not', t => {
  const charter = structuredClone(smallCharter(TASKS, { training: { rounds: 2, stepsPerRound: 20 } }))
  t.is(linkFindings(run(), FAST, payloadBytes), undefined)
  const near = linkFindings(run({ charter }), FAST, payloadBytes)
  t.deepEqual([near?.codec, near?.inFlight, near?.stepSeconds], ['f32', 1, 0.05])
  const far = linkFindings(run({ charter }), { ...FAST, roundTripMs: 50 }, payloadBytes)
  t.deepEqual([far?.codec, far?.inFlight], ['f32', 3]) // 50 ms and two round trips of 50 ms
  t.true(Math.abs((far?.plans[0]?.flightSeconds as number) - 0.05) < 1e-12)
})

test('a thin link wants fewer bytes: those that were measured, as another codec has them', t => {
  const charter = structuredClone(smallCharter(TASKS, { training: { rounds: 2, stepsPerRound: 20 } }))
  const { codec, plans } = linkFindings(run({ charter }), { upBitsPerSecond: 1e3, downBitsPerSecond: 1e3, roundTripMs: 0 }, payloadBytes) as NonNullable<ReturnType<typeof linkFindings>>
  t.is(codec, 'int8')
  const [f32, f16] = plans
  t.deepEqual([f32?.bytesUp, f32?.bytesDown], [100, 150])
  t.deepEqual([f16?.bytesUp, f16?.bytesDown], [50, 75])
})

test('shared parts and whole models have no steps in flight', t => {
  const slow = { ...FAST, roundTripMs: 500 }
  for (const charter of [smallCharter(TASKS, { model: { sharedEmbedder: true }, training: { stepsPerRound: 20 } }), masCharter(2)]) {
    t.is(linkFindings(run({ charter: structuredClone(charter) }), slow, payloadBytes)?.inFlight, 1)
  }
  t.is(linkFindings(run({ charter: structuredClone(masCharter(2)) }), { upBitsPerSecond: 1e3, downBitsPerSecond: 1e3, roundTripMs: 0 }, payloadBytes)?.codec, 'f32') // no other was measured for changes
})
