/** Tasks that are split without a server: daemons over TCP do what the simulator does, and agree where somebody is missing. */
import test from 'ava'
import { expectSame, runBy, scoresOf } from '../helpers/testnets.ts'
import type { TestnetInit, TestnetRun } from '../helpers/testnets.ts'

const small: TestnetInit = {
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
    grouping: { mergedRounds: 2, affinityRounds: 1, every: 1, groups: 2, exact: true, gain: 0 }
  }
}

function partitions ({ events }: TestnetRun): Map<string, string> {
  return new Map(events.flatMap(event => event.type === 'affinity' ? [[event.node, event.partition.hash]] : []))
}

test.serial('daemons over TCP split the tasks as the simulator does, and end with the same metrics', async t => {
  const simulated = await runBy('in-process', small)
  const networked = await runBy('process', small)
  t.true(simulated.summary.complete, simulated.summary.missing.join('; '))
  t.true(networked.summary.complete, networked.summary.missing.join('; '))
  t.is(partitions(networked).size, 4)
  t.deepEqual(new Set(partitions(networked).values()), new Set(partitions(simulated).values()))
  t.deepEqual(networked.summary.affinity, simulated.summary.affinity)
  t.is(networked.summary.affinity?.groups.length, 2)
  expectSame(t, scoresOf(simulated.summary), scoresOf(networked.summary))
  const titles = (node: string): string[] => networked.events.flatMap(event => event.type === 'phase' && event.node === node ? [event.title] : [])
  const [first = [], second = []] = networked.summary.affinity?.groups ?? []
  t.deepEqual(titles('host-1').slice(0, 1), ['merged'])
  t.is(titles('host-1').length, 3)
  t.true(titles('host-1')[1]?.startsWith('group 1 of 2: task') === true && titles('host-1')[1]?.endsWith(first.join(', ')) === true)
  t.true(titles('host-1')[2]?.endsWith(second.join(', ')) === true)
})

test.serial('a client that dies before it has told what it measured holds nobody up, and everybody else agrees', async t => {
  const { summary, events } = await runBy('process', { ...small, kill: 'camera-2@0', charter: { ...small.charter, grouping: { ...small.charter?.grouping, affinityRounds: 2 } } })
  const splits = events.flatMap(event => event.type === 'affinity' ? [event] : [])
  t.deepEqual(splits.map(({ node }) => node).sort(), ['camera-0', 'camera-1', 'host-1'])
  t.is(new Set(splits.map(({ partition }) => partition.hash)).size, 1)
  t.deepEqual([...new Set(summary.tasks.map(({ client }) => client))].sort(), ['camera-0', 'camera-1'])
  t.is(summary.tasks.length, 8, 'both report every task')
  t.true(summary.missing.every(line => line.startsWith('camera-2')), summary.missing.join('; '))
})
