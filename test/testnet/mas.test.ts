/** A consortium that splits its tasks, from the plan to what a person and a program read of it. */
import test from 'ava'
import { closingLines } from '../../testnet/view/closing.ts'
import { createNdjsonView } from '../../testnet/view/ndjson.ts'
import { factOf } from '../../node/cli/facts.ts'
import { painter } from '../../node/cli/format.ts'
import { runTestnet } from '../../testnet/testnet.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { Summary } from '../../testnet/summary.ts'
import type { TestnetOptions } from '../../testnet/plan.ts'

const OPTIONS: TestnetOptions = {
  hosts: 1,
  clients: 2,
  rounds: 3,
  data: 'scenes',
  tasks: ['depth', 'edge', 'cls'],
  rows: 16,
  strategy: 'mas',
  seed: 7,
  runner: 'in-process',
  backend: 'wasm',
  control: false,
  baseline: false,
  charter: { model: { width: 8, layers: 1, heads: 2, hidden: 12 }, training: { localSteps: 4, batch: 6, warmup: 2 }, grouping: { every: 1 } }
}

test.serial('scenes, small and seeded: the split is told with its matrix, its reason and its cost', async t => {
  const events: NodeEvent[] = []
  const summary = await runTestnet(OPTIONS, event => { events.push(event) }, new AbortController().signal)
  t.true(summary.complete, summary.missing.join())
  const { affinity } = summary
  if (affinity === undefined) return t.fail('no split in the summary')
  t.log(affinity.groups.map(group => group.join(' + ')).join(' | '), affinity.reason)
  t.log(affinity.matrix.map(row => row.map(value => value?.toFixed(3)).join(' ')).join(' / '))
  t.deepEqual(affinity.tasks, ['depth', 'edge', 'cls'])
  t.true(affinity.matrix.flat().every(value => value !== null && Number.isFinite(value)), 'clients have all tasks, and so measure all cells')
  for (const [i, row] of affinity.matrix.entries()) t.true((row[i] as number) > 0, 'a step on a task helps the task itself')
  t.deepEqual(affinity.groups.flat().sort(), ['cls', 'depth', 'edge'])
  t.true((affinity.best?.value as number) >= (affinity.allInOne as number))
  // One round merged and measured at all of its four steps, two rounds in groups; two clients with three tasks.
  const groups = affinity.groups.length
  t.deepEqual(affinity.encoderSteps, { merged: 8, probes: 24, groups: affinity.groups.map(() => 16), total: 32 + 16 * groups, allInOne: 24, oneByOne: 72 })
  t.deepEqual(summary.rounds.map(({ round, group }) => `${round} ${group?.join() ?? 'merged'}`), ['0 merged', ...affinity.groups.flatMap(group => [1, 2].map(round => `${round} ${group.join()}`))])
  t.deepEqual(summary.clients.map(({ tasks }) => tasks.length), [3, 3])
  t.is(events.filter(({ type }) => type === 'client:ready').length, 2)

  const [told] = events.filter(event => event.type === 'affinity')
  t.regex(factOf(told as NodeEvent, name => name) ?? '', /^host-1 splits the tasks: .*\d encoder steps, as one model 24$/)
  const steps = events.flatMap(event => event.type === 'step' ? [event.step] : [])
  t.deepEqual(steps, [...new Set(steps)].sort((a, b) => a - b), 'the clock goes on through the groups')
  t.is(steps.at(-1), 1 + 2 * groups)

  const lines: string[] = []
  const ndjson = createNdjsonView({ stream: { write: text => lines.push(text) } })
  ndjson.event(told as NodeEvent)
  ndjson.summary(summary)
  t.like(JSON.parse(lines[0] as string), { type: 'affinity', node: 'host-1', partition: { hash: affinity.hash, reason: affinity.reason, tasks: affinity.tasks } })
  t.deepEqual((JSON.parse(lines[1] as string) as Summary).affinity, affinity)

  const text = closingLines(summary, { width: 100, paint: painter(false) }).join('\n')
  t.regex(text, /a step on +depth +edge +cls/)
  for (const shown of [...affinity.groups.map(group => group.join(' + ')), affinity.reason.slice(0, 20), 'all in one', `${affinity.encoderSteps.total} steps of the encoder`]) t.true(text.includes(shown), `${shown} in\n${text}`)
})

test.serial('with one task a client nobody can measure: one group, and it says what that takes', async t => {
  const { affinity, complete } = await runTestnet({ ...OPTIONS, tasks: ['depth', 'cls'], spread: true, rounds: 2 }, () => {}, new AbortController().signal)
  t.true(complete)
  t.deepEqual(affinity?.groups, [['depth', 'cls']])
  t.is(affinity?.reason, 'one group: nobody has measured, which takes a client with two tasks or more')
  t.deepEqual(affinity?.matrix, [[null, null], [null, null]])
  t.is(affinity?.allInOne, null)
})
