<<<<<<< HEAD
/** Tasks that are split without a server: daemons over TCP do what the simulator does, and agree where somebody is missing. */
import test from 'ava'
=======
/** A consortium that splits its tasks, from the plan to what a person and a program read of it. */
import test from 'ava'
import { closingLines } from '../../testnet/view/closing.ts'
import { createNdjsonView } from '../../testnet/view/ndjson.ts'
import { factOf } from '../../node/cli/facts.ts'
import { painter } from '../../node/cli/format.ts'
>>>>>>> masnet
import { runTestnet } from '../../testnet/testnet.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { Summary } from '../../testnet/summary.ts'
import type { TestnetOptions } from '../../testnet/plan.ts'

<<<<<<< HEAD
const small: Omit<TestnetOptions, 'runner'> = {
  hosts: 1,
  clients: 3,
  data: 'scenes',
  rows: 24,
  strategy: 'mas',
  spread: false,
  seed: 11,
  backend: 'wasm',
  control: false,
  charter: {
    model: { width: 16, layers: 1, heads: 2, hidden: 16, embedder: { kind: 'patches', patch: 8 } },
    training: { rounds: 4, stepsPerRound: 1, localSteps: 3, batch: 8, warmup: 2 },
    grouping: { mergedRounds: 2, affinityRounds: 1, every: 1, groups: 2, exact: true }
  }
}

interface Run { readonly summary: Summary, readonly events: readonly NodeEvent[] }

async function run (options: Omit<TestnetOptions, 'runner'>, runner: TestnetOptions['runner']): Promise<Run> {
  const events: NodeEvent[] = []
  const summary = await runTestnet({ ...options, runner }, event => { events.push(event) }, AbortSignal.timeout(200_000))
  return { summary, events }
}

function metrics ({ tasks }: Summary): Array<[string, number[]]> {
  return tasks
    .map(({ client, id, local, federated, ensemble, served }): [string, number[]] => [`${client} ${id}`, [local, federated, ensemble, served].map(Number)])
    .sort(([a], [b]) => a < b ? -1 : 1)
}

function partitions ({ events }: Run): Map<string, string> {
  return new Map(events.flatMap(event => event.type === 'affinity' ? [[event.node, event.partition.hash]] : []))
}

test.serial('daemons over TCP split the tasks as the simulator does, and end with the same metrics', async t => {
  const simulated = await run(small, 'in-process')
  const networked = await run(small, 'process')
  t.true(simulated.summary.complete, simulated.summary.missing.join('; '))
  t.true(networked.summary.complete, networked.summary.missing.join('; '))
  t.is(partitions(networked).size, 4)
  t.deepEqual(new Set(partitions(networked).values()), new Set(partitions(simulated).values()))
  t.deepEqual(networked.summary.affinity, simulated.summary.affinity)
  t.is(networked.summary.affinity?.groups.length, 2)
  const [want, got] = [metrics(simulated.summary), metrics(networked.summary)]
  t.deepEqual(got.map(([name]) => name), want.map(([name]) => name))
  for (const [i, [name, values]] of want.entries()) {
    values.forEach((value, j) => { t.true(Math.abs(value - (got[i]?.[1][j] ?? Number.NaN)) <= 1e-6, `${name}: ${value} simulated, ${got[i]?.[1][j]} over TCP`) })
  }
  const titles = (node: string): string[] => networked.events.flatMap(event => event.type === 'phase' && event.node === node ? [event.title] : [])
  const [first = [], second = []] = networked.summary.affinity?.groups ?? []
  t.deepEqual(titles('host-1').slice(0, 1), ['merged'])
  t.is(titles('host-1').length, 3)
  t.true(titles('host-1')[1]?.startsWith('group 1 of 2: task') === true && titles('host-1')[1]?.endsWith(first.join(', ')) === true)
  t.true(titles('host-1')[2]?.endsWith(second.join(', ')) === true)
})

test.serial('a client that dies before it has told what it measured holds nobody up, and everybody else agrees', async t => {
  const { summary, events } = await run({ ...small, kill: 'camera-2@0', charter: { ...small.charter, grouping: { ...small.charter?.grouping, affinityRounds: 2 } } }, 'process')
  const splits = events.flatMap(event => event.type === 'affinity' ? [event] : [])
  t.deepEqual(splits.map(({ node }) => node).sort(), ['camera-0', 'camera-1', 'host-1'])
  t.is(new Set(splits.map(({ partition }) => partition.hash)).size, 1)
  t.deepEqual([...new Set(summary.tasks.map(({ client }) => client))].sort(), ['camera-0', 'camera-1'])
  t.is(summary.tasks.length, 8, 'both report every task')
  t.true(summary.missing.every(line => line.startsWith('camera-2')), summary.missing.join('; '))
=======
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
>>>>>>> masnet
})
