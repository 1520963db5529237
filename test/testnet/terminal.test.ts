import { stripVTControlCharacters } from 'node:util'
import test from 'ava'
import { displayWidth } from '../../node/cli/format.ts'
import { SummaryBuilder } from '../../testnet/summary.ts'
import { createNdjsonView } from '../../testnet/view/ndjson.ts'
import { createTerminalView } from '../../testnet/view/terminal.ts'
import { Screen } from './helpers/screen.ts'
import { STARTED_AT, recordedRun, withSimple } from './helpers/recording.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { Recorded } from './helpers/recording.ts'
import type { Summary } from '../../testnet/summary.ts'
import type { TerminalViewInit } from '../../testnet/view/terminal.ts'

interface Shown { readonly text: string, readonly writes: readonly string[], readonly summary: Summary }

function show (init: Omit<TerminalViewInit, 'stream'>, run: readonly Recorded[] = recordedRun(), end: 'summary' | 'close' = 'summary'): Shown {
  const writes: string[] = []
  let now = STARTED_AT
  const view = createTerminalView({ stream: { write: text => writes.push(text) }, env: {}, now: () => now, consortium: 'four sites', ...init })
  const builder = new SummaryBuilder(() => now)
  for (const { at, event } of run) {
    now = STARTED_AT + at
    view.event(event)
    builder.add(event)
  }
  const summary = builder.build({ seed: 7, data: 'digits', strategy: 'fmtl', merge: 'select', runner: 'process', startedAt: STARTED_AT })
  if (end === 'summary') view.summary(summary)
  view.close()
  view.close()
  return { text: writes.join(''), writes, summary }
}

test('a log has a plain line per fact and ends with the tables', t => {
  const { text } = show({ isTTY: false })
  t.is(stripVTControlCharacters(text), text)
  t.snapshot(text)
})

test('a log repeats no reason for waiting', t => {
  const waits = (reason: string): Recorded => ({ at: 0, event: { type: 'waiting', node: 'host-1', reason } })
  const { text } = show({ isTTY: false }, [waits('a'), waits('a'), waits('b'), waits('b')], 'close')
  t.is(text, '0:00 host-1 waits: a\n0:00 host-1 waits: b\n')
})

test('the closing table at 80 columns', t => {
  const { text } = show({ isTTY: false, columns: 79 })
  t.snapshot(text.slice(text.indexOf('Complete:')))
})

test('the closing table has the simple and the best local model where clients have one', t => {
  const { text } = show({ isTTY: false, columns: 120 }, withSimple(0.02))
  t.regex(text, /n +local +simple +best local +2 locals/)
  t.regex(text, /mnist +digit +↑ accuracy +400 +0\.780 +0\.800 +0\.800 .* 0\.811 +\+0\.011 +ensemble$/m)
  t.regex(text, /gain: served against best local, /)
  t.regex(text, /digit accuracy 0\.800 -> 0\.811.*\(best local -> served, by ensemble\)/)
  t.notRegex(show({ isTTY: false, columns: 120 }).text, / best local +2 locals|against best local/)
})

test('the closing lines and the log say how hosts stood to each other, and where a rule had no answer of its own', t => {
  const between = { hosts: 2, pairs: 1, conflictPairs: 1, meanCosine: -0.25, minCosine: -0.25, removedShare: 0.1, minDirectionCosine: 0.125 }
  const run = recordedRun().map(({ at, event }) => ({ at, event: event.type === 'round' ? { ...event, report: { ...event.report, fallbacks: 2, between } } : event }))
  const text = show({ isTTY: false, columns: 120 }, run).text.replace(/\s+/g, ' ')
  t.true(text.includes('deltas of 2 hosts: 1 of 1 pair in conflict, cos min -0.250, min d.delta cos 0.125; no answer of the rule\'s own in 2 of 20 steps;'), text)
  t.true(text.includes('between hosts, 6 merges: 100.0 % of 6 pairs of deltas in conflict; cos mean -0.250, min -0.250; 10.0 % removed; min d.delta cos 0.125'), text)
  t.is(text.split('The gradient rule found no answer of its own in 12 steps').length, 3, 'under conflicts, and in the verdict')
})

for (const columns of [40, 60, 80, 120, 200]) {
  test(`at ${columns} columns no line is longer than the terminal`, t => {
    const { writes } = show({ isTTY: true, columns, rows: 40 })
    // eslint-disable-next-line no-control-regex
    for (const write of writes) for (const line of write.split('\n')) t.true(displayWidth(line.replace(/\x1b\[\d*[AJKhl]/g, '')) < columns, line)
    // eslint-disable-next-line no-control-regex
    for (const write of show({ isTTY: true, columns, rows: 40 }, withSimple(0.02)).writes) for (const line of write.split('\n')) t.true(displayWidth(line.replace(/\x1b\[\d*[AJKhl]/g, '')) < columns, line)
  })
}

for (const end of ['summary', 'close'] as const) {
  test(`the cursor is hidden while the view draws and back after ${end}`, t => {
    const { text } = show({ isTTY: true, columns: 80, rows: 40 }, recordedRun(), end)
    t.is(text.split('\x1b[?25l').length, 2)
    t.is(text.split('\x1b[?25h').length, 2)
    t.true(text.endsWith('\x1b[?25h'))
  })
}

test('the live area is redrawn in place and gives way to the closing table', t => {
  const screen = new Screen(80)
  screen.write('$ fmtl-node testnet up\n')
  for (const write of show({ isTTY: true, columns: 80, rows: 24 }).writes) screen.write(write)
  t.is(screen.lines[0], '$ fmtl-node testnet up')
  t.true(screen.lines[1]?.startsWith('Complete: 4 clients'))
  t.true(screen.lines.every(line => !line.includes('progress')))
})

const moments = [
  { id: 'waiting for hosts', until: 1960 },
  { id: 'a client between two hosts', until: 5575 },
  { id: 'evaluating', until: 9500 }
]
for (const { id, until } of moments) {
  test(`live: ${id}`, t => {
    const screen = new Screen(80)
    for (const write of show({ isTTY: true, columns: 80, rows: 24 }, recordedRun().filter(({ at }) => at <= until), 'close').writes) screen.write(write)
    t.snapshot(screen.lines.join('\n'))
  })
}

test('a host that waits makes its clients wait, and a step ends both', t => {
  const live = (extra: readonly NodeEvent[]): string => {
    const run = [...recordedRun().filter(({ at }) => at <= 8000), ...extra.map(event => ({ at: 8200, event }))]
    const screen = new Screen(80)
    for (const write of show({ isTTY: true, columns: 80, rows: 24 }, run, 'close').writes) screen.write(write)
    return screen.lines.join('\n')
  }
  const waits: NodeEvent = { type: 'waiting', node: 'host-1', reason: 'waiting: 1 of 2 clients attached' }
  t.regex(live([waits]), /^ {2}waits: 1 of 2 clients attached$/m)
  t.regex(live([waits]), /^client-1 +host-1 +waiting +host-1: 1 of 2 clients attached$/m)
  t.notRegex(live([waits, { type: 'step', node: 'host-1', step: 51, total: 60, losses: {} }]), /waits|waiting/)
})

test('an update longer than the plain mean is not called a negative removal', t => {
  const run = recordedRun().map(({ at, event }) => ({ at, event: event.type === 'round' ? { ...event, report: { ...event.report, removedShare: -0.071 } } : event }))
  const { text } = show({ isTTY: false }, run)
  t.false(text.includes('-7.1 %'))
  t.is(text.split('nothing removed (7.1 % longer than the mean)').length - 1, 6 + 1) // rounds and the closing report
})

test('at most ten frames a second', t => {
  const { writes } = show({ isTTY: true, columns: 80, rows: 24 })
  t.true(writes.length <= 10 * 9.9 + 3, String(writes.length))
})

test('more clients than rows: those that wait are shown, the rest counted, nothing scrolls', t => {
  const run: Recorded[] = Array.from({ length: 50 }, (_, i) => i + 1).flatMap(i => {
    const node = `client-${i}`
    const events: NodeEvent[] = [
      { type: 'client:ready', node, tasks: ['digit'], samples: { train: 1, holdout: 1, test: 1 } },
      i === 40 ? { type: 'waiting', node, reason: 'no free slot' } : { type: 'client:attached', node, host: 'host-1', step: 0 }
    ]
    return events.map(event => ({ at: i, event }))
  })
  run.push({ at: 100, event: { type: 'step', node: 'host-1', step: 1, total: 10, losses: { digit: 1 } } })
  const screen = new Screen(80)
  const { writes } = show({ isTTY: true, columns: 80, rows: 20 }, run, 'close')
  for (const write of writes) screen.write(write)
  t.true(screen.lines.length <= 20)
  t.true(screen.lines.some(line => /client-40 .* waiting +no free slot/.test(line)))
  t.true(screen.lines.some(line => /… and \d+ more: \d+ training/.test(line)))
})

test('NO_COLOR keeps colours out of the live view, dumb terminals get a log', t => {
  // eslint-disable-next-line no-control-regex
  t.notRegex(show({ isTTY: true, columns: 80, rows: 24, env: { NO_COLOR: '1' } }).text, /\x1b\[[\d;]*m/)
  t.false(show({ isTTY: true, env: { TERM: 'dumb' } }).text.includes('\x1b'))
})

test('what peers say cannot steer the terminal', t => {
  const run: Recorded[] = [{ at: 0, event: { type: 'waiting', node: 'host-\x1b[2J1', reason: 'a\x1b]0;owned\x07b\rc\n0:00 host-2 stopped' } }]
  t.is(show({ isTTY: false }, run, 'close').text, '0:00 host-1 waits: ab c 0:00 host-2 stopped\n')
})

test('an incomplete run says so first, and names who is missing', t => {
  const { text } = show({ isTTY: false }, recordedRun().filter(({ event }) => event.type !== 'report' || event.node !== 'client-2'))
  t.regex(text, /^INCOMPLETE: /m)
  t.regex(text, /^missing +client-2: no report$/m)
})

test('no reports at all: the end says there is nothing to compare', t => {
  const { text } = show({ isTTY: false }, recordedRun().filter(({ event }) => event.type !== 'report'))
  t.regex(text, /^no client sent a report, so there is nothing to compare$/m)
  t.regex(text, /Nothing can be said about gains/)
})

test('ndjson: one object a line, the summary last', t => {
  const lines: string[] = []
  const view = createNdjsonView({ stream: { write: text => lines.push(text) } })
  const run = recordedRun()
  for (const { event } of run) view.event(event)
  view.summary(show({ isTTY: false }).summary)
  view.close()
  t.is(lines.length, run.length + 1)
  for (const line of lines) t.regex(line, /^\{[^\n]*\}\n$/)
  t.deepEqual(lines.slice(0, -1).map(line => JSON.parse(line) as NodeEvent), run.map(({ event }) => event))
  t.is((JSON.parse(lines.at(-1) as string) as Summary).type, 'summary')
})
