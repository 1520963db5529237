import test from 'ava'
import { SummaryBuilder } from '../../testnet/summary.ts'
import { STARTED_AT, peerOf, recordedRun, withSimple } from './helpers/recording.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { Scores } from '../../src/tasks/task.ts'
import type { Recorded } from './helpers/recording.ts'
import type { RunFacts, Summary } from '../../testnet/summary.ts'

const FACTS: RunFacts = { seed: 7, data: 'digits', strategy: 'fmtl', merge: 'select', runner: 'process', startedAt: STARTED_AT }

function summaryOf (run: readonly Recorded[], facts: Partial<RunFacts> = {}): Summary {
  let now = STARTED_AT
  const builder = new SummaryBuilder(() => now)
  for (const { at, event } of run) {
    now = STARTED_AT + at
    // What a child process says arrives as JSON: NaN is null by then.
    builder.add(JSON.parse(JSON.stringify(event)) as NodeEvent)
  }
  return builder.build({ ...FACTS, ...facts })
}

/** The recording with another event in the place of some; undefined drops it. */
function changed (change: (event: NodeEvent) => NodeEvent | undefined): Recorded[] {
  return recordedRun().flatMap(({ at, event }) => {
    const other = change(event)
    return other === undefined ? [] : [{ at, event: other }]
  })
}

function near (value: number | null | undefined, want: number): boolean { return value != null && Math.abs(value - want) < 1e-9 }

test('a whole run is complete, and every task of every client is in the table', t => {
  const summary = summaryOf(recordedRun())
  t.true(summary.complete)
  t.deepEqual(summary.missing, [])
  t.is(summary.tasks.length, 10)
  const [digit] = summary.tasks
  t.like(digit, { id: 'digit', client: 'mnist', metric: 'accuracy', higherIsBetter: true, support: 400, servedBy: 'ensemble' })
  t.true(near(digit?.local, 0.78) && near(digit?.served, 0.811) && near(digit?.twoLocals, 0.786) && near(digit?.gain, 0.031))
  t.deepEqual(JSON.parse(JSON.stringify(summary)), summary as unknown)
  t.like(summary, { seed: 7, data: 'digits', strategy: 'fmtl', merge: 'select', runner: 'process' })
})

test('gain is counted against the better of the two local models; the deep one stays beside it', t => {
  const summary = summaryOf(withSimple(0.02))
  const [digit] = summary.tasks
  t.true(near(digit?.local, 0.78) && near(digit?.simple, 0.8) && near(digit?.bestLocal, 0.8) && near(digit?.gain, 0.011))
  t.true(near(summary.tasks.find(task => task.metric === 'mae')?.gain, -0.02)) // local is served, simple was better
  const { accuracy } = summary.means
  t.true(near((accuracy?.bestLocal as number) - (accuracy?.local as number), 0.02))
  t.true(near(accuracy?.simple, accuracy?.bestLocal as number))
  t.true(near(accuracy?.gain, (accuracy?.served as number) - (accuracy?.bestLocal as number)))
  const ranked = summary.tasks.filter(task => task.higherIsBetter && task.gain !== null)
  const over = (of: 'local' | 'bestLocal'): number => ranked.reduce((sum, task) => sum + (task.served as number) - (task[of] as number), 0) / ranked.length
  t.true(over('bestLocal') < 0 && over('local') > 0)
  t.regex(summary.verdict, new RegExp(`^Collaboration made no clear difference: ${over('bestLocal').toFixed(3)} \\+- 0\\.007 against the best local model, averaged over 8 tasks; `))
  t.true(summary.verdict.includes(`; +${over('local').toFixed(3)} over the local deep models alone; `), summary.verdict)
})

test('where the hold-out prefers the deep local model, it is the one to beat', t => {
  const run = withSimple(-0.05, 'local')
  const [digit] = summaryOf(run).tasks
  t.true(near(digit?.local, 0.78) && near(digit?.simple, 0.73) && near(digit?.bestLocal, 0.78) && near(digit?.gain, 0.031))
})

test('without a simple model the local one is the best, and without any there is no gain', t => {
  const summary = summaryOf(recordedRun())
  t.true(summary.tasks.every(task => task.bestLocal === task.local && task.simple === undefined))
  t.is(summary.means.accuracy?.bestLocal, summary.means.accuracy?.local)
  t.false(summary.verdict.includes('deep'))
  const alone = changed(event => event.type !== 'report'
    ? event
    : { ...event, report: { ...event.report, tasks: event.report.tasks.map(task => ({ ...task, scores: { federated: task.scores.federated as never, served: task.scores.federated as never } })) } })
  t.true(summaryOf(alone).tasks.every(task => task.bestLocal === null && task.gain === null))
})

test('a best local model without a score is no reason to compare with the other one', t => {
  const run = changed(event => event.type !== 'report'
    ? event
    : { ...event, report: { ...event.report, tasks: event.report.tasks.map(task => ({ ...task, scores: { ...task.scores, bestLocal: { ...task.scores.local as Scores, value: Number.NaN } } })) } })
  t.true(summaryOf(run).tasks.every(task => task.local !== null && task.bestLocal === null && task.gain === null))
})

test('times count from the start, to the first round and to the end', t => {
  const summary = summaryOf(recordedRun())
  t.is(summary.firstRoundSeconds, 5.005)
  t.is(summary.seconds, 9.9)
})

test('nodes are named, not shown by their peer ids', t => {
  const summary = summaryOf(recordedRun())
  t.deepEqual(summary.clients.map(({ attachedTo }) => attachedTo), [['host-1'], ['host-2'], ['host-1', 'host-2'], ['host-2']])
  t.deepEqual(summary.clients[2]?.detaches, [{ host: 'host-1', reason: 'the connection closed' }])
  t.deepEqual(summary.rounds.map(({ host, round }) => `${host} ${round}`), ['host-1 1', 'host-1 2', 'host-1 3', 'host-2 1', 'host-2 2', 'host-2 3'])
  t.deepEqual(summary.rounds[0]?.merged, ['host-1', 'host-2'])
  t.deepEqual(summary.rounds[1]?.missing, ['client-3: left at step 25: the connection closed'])
  const { clients, hosts, ...texts } = summary
  t.false(JSON.stringify(texts).includes(peerOf('host-1')))
  t.is(hosts[0]?.peer, peerOf('host-1'))
  t.is(clients[0]?.peer, peerOf('client-1'))
})

test('conflicts are summed over rounds, cosines weighted by pairs', t => {
  const { conflicts } = summaryOf(recordedRun())
  t.like(conflicts, { pairs: 240, conflictPairs: 36, minDirectionCosine: 0.0001, minUpdateCosine: -0.031, conflictFree: true })
  t.true(near(conflicts.meanCosine, 0.11) && near(conflicts.minCosine, -0.3) && near(conflicts.removedShare, 0.04))
})

test('a round without pairs has no cosines, and a step against a task is a conflict', t => {
  const run = changed(event => event.type !== 'round'
    ? event
    : { ...event, report: { ...event.report, pairs: 0, conflictPairs: 0, meanCosine: 0, minCosine: 0, minDirectionCosine: -0.2 } })
  const { conflicts, rounds } = summaryOf(run)
  t.is(rounds[0]?.minCosine, null)
  t.like(conflicts, { pairs: 0, meanCosine: null, minCosine: null, conflictFree: false })
})

test('memory is summed per process, tensors are measured from the first round on', t => {
  const summary = summaryOf(recordedRun())
  const peaks = [360, 370, 380, 390, 400, 410].map(mebibytes => mebibytes * 2 ** 20)
  t.is(summary.peakRssBytes, peaks.reduce((sum, peak) => sum + peak))
  t.is(summary.largestRssBytes, 410 * 2 ** 20)
  t.deepEqual(summary.hosts[0]?.liveTensors, { first: 120, last: 120, max: 120 })
  t.like(summary.hosts[0], { node: 'host-1', backend: 'tensorflow', rounds: 3, merges: 2, samplesPerSecond: 1840, loopLagP99Ms: 12.5, bytesSent: 2_400_000 })
  t.deepEqual(summary.clients[3]?.bytes, { sent: 2_400_000, received: 3_000_000 })
  t.is(summary.backend, 'mixed')
  t.deepEqual(summary.backends, ['tensorflow', 'wasm'])
  const together = changed(event => event.type === 'node:started' ? { ...event, pid: 1 } : event)
  t.is(summaryOf(together).peakRssBytes, 410 * 2 ** 20)
})

test('means take the ranked tasks of metrics where higher is better', t => {
  const { means, tasks } = summaryOf(recordedRun())
  t.deepEqual(Object.keys(means), ['accuracy'])
  t.is(means.accuracy?.tasks, 8) // ten, less an error in its own unit and a task with seven positives
  t.true(near(means.accuracy?.gain, (5 * 0.031 - 2 * 0.012) / 8))
  const small = tasks.find(task => task.client === 'semeion' && task.id === 'ge5')
  t.is(small?.positives, 7)
  t.is(small?.gain, null)
})

test('steps and merges without an answer of the rule\'s own are counted and said in one line, figures between hosts are summed', t => {
  const between = { hosts: 2, pairs: 1, conflictPairs: 0, meanCosine: 0.5, minCosine: 0.5, removedShare: 0.1, minDirectionCosine: 0.2 }
  const run = changed(event => event.type !== 'round' || event.report.round === 3
    ? event
    : { ...event, report: { ...event.report, ...event.report.round === 1 ? { fallbacks: 3, between } : { between: { ...between, conflictPairs: 1, meanCosine: -0.5, minCosine: -0.5, minDirectionCosine: 0, fallback: true as const } } } })
  const { conflicts, verdict, rounds } = summaryOf(run)
  t.deepEqual(conflicts.fallbacks, { steps: 6, merges: 2 })
  t.deepEqual(conflicts.between, { merges: 4, pairs: 4, conflictPairs: 2, meanCosine: 0, minCosine: -0.5, removedShare: 0.1, minDirectionCosine: 0 })
  t.deepEqual(rounds.map(({ fallbacks }) => fallbacks ?? 0), [3, 0, 0, 3, 0, 0])
  t.regex(verdict, / 1 stayed level\. The gradient rule found no answer of its own in 6 steps and 2 merges, and gave the one that it falls back to\.$/)
  const plain = summaryOf(recordedRun()).conflicts
  t.false('fallbacks' in plain || 'between' in plain)
})

test('the verdict says who gained and who lost', t => {
  t.regex(summaryOf(recordedRun()).verdict, /^Collaboration gained \+0\.016 \+- 0\.007 over the best local model, averaged over 8 tasks; \+0\.010 over two local models without peers; errors unchanged on average \(1 task\)\. mnist and semeion gained, optdigits \(-0\.012\) lost, 1 stayed level\.$/)
})

const verdicts = [
  { id: 'a gain of nothing', gain: () => 0, want: /^Collaboration made no clear difference: 0\.000 \+- 0\.000 against the best local model, averaged over 8 tasks\. No client gained, nobody lost, 4 stayed level\.$/ },
  { id: 'a loss', gain: () => -0.02, want: /^Collaboration did not pay: what is served scores -0\.020 \+- 0\.000 against the best local model/ },
  { id: 'everybody gains', gain: () => 0.02, want: /All 4 clients gained\.$/ }
]
for (const { id, gain, want } of verdicts) {
  test(`the verdict is honest about ${id}`, t => {
    const run = changed(event => event.type !== 'report'
      ? event
      : {
          ...event,
          report: {
            ...event.report,
            tasks: event.report.tasks.filter(task => task.higherIsBetter).map(task => {
              const { local } = task.scores
              return local === undefined ? task : { ...task, scores: { local, served: { ...local, value: local.value + gain() } } }
            })
          }
        })
    t.regex(summaryOf(run).verdict, want)
  })
}

test('errors that fall count as a gain', t => {
  const run = changed(event => event.type !== 'report' || event.node !== 'client-4'
    ? event
    : { ...event, report: { ...event.report, tasks: event.report.tasks.map(task => ({ ...task, scores: { ...task.scores, served: task.scores.ensemble ?? task.scores.served as never } })) } })
  const summary = summaryOf(run)
  t.true(near(summary.tasks.find(task => task.metric === 'mae')?.gain, 0.4))
  t.regex(summary.verdict, /errors 5\.5 % lower on average \(1 task\)/)
})

const losses: Array<{ id: string, change: (event: NodeEvent) => NodeEvent | undefined, facts?: Partial<RunFacts>, want: string[] }> = [
  {
    id: 'a client without a report',
    change: event => event.type === 'report' && event.node === 'client-2' ? undefined : event,
    want: ['client-2: no report']
  },
  {
    id: 'a client that waited to the end',
    change: event => event.node === 'client-2' && (event.type === 'report' || event.type === 'client:attached') ? undefined : event,
    want: ['client-2: no report; was waiting: no host has announced itself']
  },
  {
    id: 'a client that was killed',
    change: event => event.node !== 'client-2' || event.type !== 'node:stopped'
      ? (event.node === 'client-2' && event.type === 'report' ? undefined : event)
      : { ...event, exitCode: 137, reason: 'SIGKILL' },
    want: ['client-2: no report; stopped with exit status 137: SIGKILL']
  },
  {
    id: 'a host that failed',
    change: event => event.node === 'host-1' && event.type === 'node:stopped' ? { ...event, exitCode: 1, reason: 'out of memory' } : event,
    want: ['host-1: stopped with exit status 1: out of memory']
  },
  { id: 'a node that never spoke', change: event => event, facts: { nodes: ['host-1', 'client-9'] }, want: ['client-9: never started'] },
  { id: 'a run without rounds', change: event => event.type === 'round' ? undefined : event, want: ['no round was closed'] }
]
for (const { id, change, facts, want } of losses) {
  test(`${id} makes a run incomplete`, t => {
    const summary = summaryOf(changed(change), facts)
    t.false(summary.complete)
    t.deepEqual(summary.missing, want)
    t.regex(summary.verdict, /^Incomplete run/)
  })
}

test('a node that came back after a crash is not missing, and its traffic is of both processes', t => {
  const run = recordedRun()
  const crash: Recorded[] = [
    { at: 6500, event: { type: 'node:stopped', node: 'client-1', exitCode: 137, reason: 'SIGKILL' } },
    { at: 6600, event: { ...run.find(({ event }) => event.type === 'node:started' && event.node === 'client-1')?.event as Extract<NodeEvent, { type: 'node:started' }>, pid: 999 } }
  ]
  const summary = summaryOf([...run, ...crash].sort((a, b) => a.at - b.at))
  t.true(summary.complete)
  t.is(summary.clients[0]?.bytesSent, 30 * 40_000 + 60 * 40_000)
})

test('no events at all are an incomplete run, not a crash', t => {
  const summary = summaryOf([], { nodes: ['client-1'] })
  t.like(summary, { complete: false, missing: ['client-1: never started', 'no round was closed'], tasks: [], firstRoundSeconds: null, peakRssBytes: 0 })
})
