/** Models that are traded: daemons over TCP do what the simulator does, and one that is gone holds nobody up. */
import test from 'ava'
import { closingLines } from '../../testnet/view/closing.ts'
import { expectSame, figuresOf, runBy } from '../helpers/testnets.ts'
import type { Summary } from '../../testnet/summary.ts'
import type { Figures, TestnetInit } from '../helpers/testnets.ts'

const small: TestnetInit = {
  hosts: 1,
  clients: 3,
  data: 'scenes',
  tasks: ['cls'],
  rows: 32,
  strategy: 'fedpae',
  seed: 11,
  backend: 'wasm',
  control: false,
  charter: {
    model: { width: 16, layers: 1, heads: 2, hidden: 16, embedder: { kind: 'patches', patch: 8 } },
    training: { rounds: 2, stepsPerRound: 5, batch: 8, warmup: 2 },
    bench: { architectures: [{}, { width: 8, hidden: 16 }] }
  }
}

/** Who has what does not depend on who came when; who is chosen may, where two are as good. */
function lasting (summary: Summary): Figures {
  return figuresOf(summary, ({ local, traded }) => [local, traded?.ownEnsemble, traded?.bestSingle, traded?.wholeBench].map(value => value ?? null))
}

test.serial('daemons over TCP train the same models as the simulator, and everybody gets those of everybody', async t => {
  const simulated = await runBy('in-process', small)
  const networked = await runBy('process', small)
  for (const { summary } of [simulated, networked]) {
    t.true(summary.complete, summary.missing.join('; '))
    t.deepEqual(summary.errors, [])
    t.deepEqual(summary.trading?.traders.map(({ taken, refused }) => [taken, refused]), [[4, 0], [4, 0], [4, 0]])
    t.deepEqual(summary.hosts, [])
    t.is(summary.charter?.bench?.architectures.length, 2)
  }
  t.true(lasting(simulated.summary).every(([, values]) => values.every(value => value !== null)))
  expectSame(t, lasting(simulated.summary), lasting(networked.summary))
  const { trading } = networked.summary
  t.true(trading?.traders.every(({ firstHoldout, holdout }) => (holdout as number) >= (firstHoldout as number)))
  t.deepEqual(networked.events.flatMap(event => event.type === 'node:started' ? [event.roles] : []), [['peer'], ['peer'], ['peer']])
  const lines = closingLines(networked.summary, { width: 120, paint: (_, text) => text })
  t.true(lines.some(line => line.includes('whole bench')))
  t.true(lines.some(line => /^peer +offers +version +took/.test(line)))
  t.true(lines.some(line => /of weights pulled by 3 peers; no rows/.test(line)))
})

test.serial('a peer that dies when it has offered its models is missed by nobody, and what was taken of it serves on', async t => {
  const { summary, events } = await runBy('process', { ...small, kill: 'camera-2@1' })
  t.deepEqual([...new Set(summary.tasks.map(({ client }) => client))], ['camera-0', 'camera-1'])
  t.true(summary.missing.every(line => line.startsWith('camera-2')), summary.missing.join('; '))
  const left = summary.trading?.traders.filter(({ node }) => node !== 'camera-2') ?? []
  t.true(left.every(({ taken }) => taken >= 2), 'they have at least each other\'s')
  t.true(events.every(event => event.type !== 'error' || event.node === 'camera-2'), JSON.stringify(events.filter(({ type }) => type === 'error')))
})
