/** Both ways to train one model: planned first, then run, then compared with what was carried. */
import test from 'ava'
import { asFedAvg, asSplit, compareTraffic, modelFloats, payloadBytes } from '../../src/planning/index.ts'
import { backendOn } from '../helpers/rungs.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { describeClient } from '../../src/training/client-description.ts'
import { findStrategy, settingsOf } from '../../src/strategies/index.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { smallCharter } from '../helpers/federation.ts'
import { LEVEL, SIDE, THREE, syntheticDataset } from '../helpers/synthetic.ts'
import type { Charter, CharterOptions } from '../../src/federation/charter.ts'
import type { Comparison, Traffic } from '../../src/planning/index.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import type { ExecutionContext } from 'ava'
import type { RoundReport } from '../../src/backbone/frames.ts'

const backend = await backendOn('wasm')
const MARGIN = 0.05

interface Sizes {
  readonly id: string
  readonly dataset: Dataset
  readonly hosts: readonly string[]
  readonly changes: Partial<CharterOptions>
  /** Least parameters of the trunk. */
  readonly trunk: number
  readonly fewer: Comparison['fewer']
}

const SIZES: readonly Sizes[] = [
  {
    id: 'a small trunk',
    dataset: syntheticDataset({ clients: THREE }),
    hosts: ['host'],
    changes: { training: { rounds: 3, stepsPerRound: 10, batch: 6 } },
    trunk: 0,
    fewer: 'fedavg'
  },
  {
    id: 'a small trunk at two hosts',
    dataset: syntheticDataset({ clients: THREE }),
    hosts: ['a', 'b'],
    changes: { training: { rounds: 3, stepsPerRound: 10, batch: 6 }, merge: { mode: 'all' } },
    trunk: 0,
    fewer: 'fedavg'
  },
  {
    id: 'a trunk of more than 20 M parameters',
    dataset: syntheticDataset({ clients: [{ id: 'ada', tasks: [SIDE, LEVEL] }], rows: [4, 2, 2] }),
    hosts: ['host'],
    changes: { model: { width: 1024, hidden: 10_240, layers: 1, attention: false, embedder: { patch: 8 } }, training: { rounds: 1, stepsPerRound: 1, batch: 2, optimiser: 'sgd' } },
    trunk: 20e6,
    fewer: 'split'
  }
]

for (const { id, dataset, hosts, changes, trunk, fewer } of SIZES) {
  test.serial(`${fewer === 'split' ? 'split training' : 'FedAvg'} of ${id} moves fewer bytes a round, as planned before and within 5 %`, async t => {
    const charter = smallCharter(dataset.tasks, changes)
    t.true(modelFloats(charter, []).trunk >= trunk)
    const plans = await Promise.all(dataset.clientIds.map(async client => {
      return compareTraffic(charter, describeClient(charter, await dataset.client(client)), { sizeOf: payloadBytes, clients: 1, otherHosts: hosts.length - 1 })
    }))
    for (const plan of plans) t.is(plan.fewer, fewer)
    const carried: Record<string, number> = {}
    for (const [way, counterpart] of [['split', asSplit(charter)], ['fedavg', asFedAvg(charter)]] as const) {
      const of = (plan: Comparison): Traffic => plan.ways.find(each => each.way === way)?.round as Traffic
      const planned = { up: sum(plans.map(plan => of(plan).up)), down: sum(plans.map(plan => of(plan).down)) }
      const { rounds, bytes } = await simulate({ charter: counterpart, dataset, backend, hosts, clients: dataset.clientIds, control: false, baseline: false })
      t.is(rounds.length, hosts.length * counterpart.training.rounds)
      const measured = perRound(way === 'split' ? closed(rounds) : bytes, counterpart)
      within(t, `${way}, up`, planned.up, measured.up)
      within(t, `${way}, down`, planned.down, measured.down)
      carried[way] = measured.up + measured.down
    }
    t.is((carried.split as number) < (carried.fedavg as number) ? 'split' : 'fedavg', fewer)
    t.log(`${carried.split} bytes a round split, ${carried.fedavg} by FedAvg`)
  })
}

/** Of all hosts: a split run without the evaluation that follows its last round. */
function closed (reports: readonly RoundReport[]): Traffic {
  return { up: sum(reports.map(({ bytesUp }) => bytesUp)), down: sum(reports.map(({ bytesDown }) => bytesDown)) }
}

/** Of whole models the run: the change of a round is sent after its report, and nothing else is. */
function perRound ({ up, down }: Traffic, { training: { rounds } }: Charter): Traffic { return { up: up / rounds, down: down / rounds } }

function within (t: ExecutionContext, what: string, planned: number, carried: number): void {
  t.true(carried > 0, `${what}: nothing was carried`)
  t.true(Math.abs(planned / carried - 1) <= MARGIN, `${what}: ${planned} planned, ${carried} carried`)
}

function sum (values: readonly number[]): number { return values.reduce((total, value) => total + value, 0) }

const tasks = [LEVEL, SIDE]

function charterOf (strategy: string): Charter {
  const settings = settingsOf(findStrategy(strategy), {}, {})
  return smallCharter(tasks, { ...settings, training: { lrLocal: 1e-3, ...settings.training, rounds: 2, ...settings.training.localSteps === undefined ? { stepsPerRound: 6 } : { stepsPerRound: 2, localSteps: 3 } } })
}

for (const { name, kind } of ['fedbone', 'mtsl', 'splitfed', 'fedavg', 'fedprox', 'fedper', 'fedln', 'ditto', 'pfedme'].map(findStrategy)) {
  test(`a charter of ${name} has a counterpart of each kind with as many gradient steps a round`, t => {
    const charter = charterOf(name)
    const [split, fedavg] = [asSplit(charter), asFedAvg(charter)]
    t.is(split.model.trunk, undefined)
    t.is(fedavg.model.trunk, 'client')
    t.deepEqual(fedavg.shared, ['trunk', 'embed/image', 'head/level', 'head/side'])
    for (const { training } of [split, fedavg]) t.is(training.stepsPerRound * (training.localSteps ?? 1), 6)
    t.is(fedavg.training.stepsPerRound, kind === 'split' ? 1 : 2)
    if (kind === 'split') t.is(split, charter)
    if (name === 'fedavg') t.is(charterHash(fedavg), charterHash(charter))
  })
}

const OWN: ReadonlyArray<{ strategy: string, own: string }> = [
  { strategy: 'fedbone', own: 'split' },
  { strategy: 'splitfed', own: 'split' },
  { strategy: 'fedavg', own: 'fedavg' },
  { strategy: 'ditto', own: 'fedavg' },
  { strategy: 'fedper', own: 'charter' }
]
for (const { strategy, own } of OWN) {
  test(`${strategy} sends what the row '${own}' says`, async t => {
    const charter = charterOf(strategy)
    const site = describeClient(charter, await syntheticDataset({ clients: [{ id: 'ada', tasks }] }).client('ada'))
    const { ways } = compareTraffic(charter, site, { sizeOf: payloadBytes, clients: 3, otherHosts: 0 })
    t.deepEqual(ways.filter(way => way.own).map(({ way }) => way), [own])
    for (const { round, atHost } of ways) t.is(atHost, 3 * (round.up + round.down))
  })
}

test('FedAvg is eight bytes a parameter, split training eight times rows, tokens and width twice', async t => {
  const charter = charterOf('fedbone')
  const site = describeClient(charter, await syntheticDataset({ clients: [{ id: 'ada', tasks }] }).client('ada'))
  const { ways: [split, fedavg] } = compareTraffic(charter, site, { sizeOf: payloadBytes, clients: 1, otherHosts: 0 })
  const { trunk, parts } = modelFloats(charter, site.tasks)
  t.is((fedavg?.round.up as number) + (fedavg?.round.down as number), 8 * (trunk + sum(Object.values(parts))))
  t.is((split?.round.up as number) + (split?.round.down as number), 6 * 8 * site.batch * 2 * 4 * 8)
})

test('deltas are counted at whoever fetches them', async t => {
  const charter = charterOf('fedavg')
  const site = describeClient(charter, await syntheticDataset({ clients: [{ id: 'ada', tasks }] }).client('ada'))
  for (const { round, atHost, gossip } of compareTraffic(charter, site, { sizeOf: payloadBytes, clients: 2, otherHosts: 3 }).ways) {
    t.true(gossip.packed >= gossip.exact && gossip.exact > 0)
    t.is(atHost, 2 * (round.up + round.down) + 3 * gossip.packed)
  }
})
