/** Several hosts that project each other's deltas: tasks at a host, then hosts. */
import test from 'ava'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { chooseMerge } from '../../src/federation/merge-decision.ts'
import { Random } from '../../src/random.ts'
import { ruleNames } from '../../src/projection/index.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { queued } from '../../src/compute/remote.ts'
import { smallCharter } from '../helpers/federation.ts'
import { backendOn } from '../helpers/rungs.ts'
import { LEVEL, MASK, SIDE, THREE, syntheticDataset } from '../helpers/synthetic.ts'
import type { CandidateScore, RoundReport } from '../../src/backbone/frames.ts'
import type { CharterOptions, MergeSpec } from '../../src/federation/charter.ts'
import type { DeltaEntry } from '../../src/training/host-trainer.ts'
import type { MergeDecision } from '../../src/federation/merge-decision.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'
import type { SimulationResult } from '../../src/federation/simulator.ts'

const backend = await backendOn('wasm')
const dataset = syntheticDataset({ clients: THREE })
const HOSTS = ['h1', 'h2', 'h3']
const single = { rounds: 4, stepsPerRound: 1 }

async function run (changes: Partial<CharterOptions>, of = dataset): Promise<SimulationResult> {
  return await simulate({ charter: smallCharter(of.tasks, changes), dataset: of, backend, hosts: HOSTS, clients: of.clientIds, control: false, baseline: false })
}

const key = ({ round, host }: RoundReport): string => `${round} ${host}`
const plain = ({ rounds }: SimulationResult): unknown[] => [...rounds].sort((a, b) => key(a) < key(b) ? -1 : 1).map(({ seconds, ...rest }) => rest)

for (const rule of ruleNames) {
  test.serial(`rounds of one step, hosts merge by ${rule}: one trunk everywhere, no host worked against, the figures between hosts in every report`, async t => {
    const { fingerprints, rounds, clients } = await run({ training: single, merge: { mode: 'all', rule } })
    t.is(new Set(HOSTS.map(host => fingerprints[host])).size, 1)
    t.is(rounds.length, 12)
    for (const { between, mergeReason, merged } of rounds) {
      t.deepEqual(merged, HOSTS)
      t.like(between, { hosts: 3, pairs: 3 })
      t.true((between?.minDirectionCosine as number) >= -1e-6, `${between?.minDirectionCosine}`)
      t.true(mergeReason.startsWith(`all hosts by charter and ${rule}`), mergeReason)
      t.false(mergeReason.includes('without history'), mergeReason)
    }
    for (const { tasks } of clients) for (const { scores } of tasks) t.true(Number.isFinite(scores.federated?.value))
  })
}

test.serial('the rule between hosts matters, its options do, and left out it is the mean with its figures', async t => {
  const prints = async (merge: Partial<MergeSpec>): Promise<string | undefined> => (await run({ training: single, merge: { mode: 'all', ...merge } })).fingerprints.h1
  const { fingerprints, rounds } = await run({ training: single, merge: { mode: 'all' } })
  for (const { between, mergeReason } of rounds) {
    t.like(between, { hosts: 3, pairs: 3 })
    t.is(mergeReason, 'all hosts by charter')
  }
  const all = [fingerprints.h1, await prints({ rule: 'gp' }), await prints({ rule: 'gp', options: { attention: 'none' } }), await prints({ rule: 'cagrad' }), await prints({ rule: 'cagrad', options: { c: 0.1 } })]
  t.is(new Set(all).size, all.length, all.join(', '))
})

for (const [title, changes] of [
  ['gp, rounds of one step', { training: single, merge: { mode: 'all', rule: 'gp' } }],
  ['cagrad, rounds of three', { merge: { mode: 'all', rule: 'cagrad' } }],
  ['whole models, upgrad, one local step', { training: single, model: { trunk: 'client', sharedEmbedder: true }, projection: { rule: 'mean' }, merge: { mode: 'all', rule: 'upgrad' } }]
] as const satisfies ReadonlyArray<readonly [string, Partial<CharterOptions>]>) {
  test.serial(`the order in which clients come changes nothing: ${title}`, async t => {
    const six = (order: readonly number[]) => syntheticDataset({
      clients: order.map(i => ({ id: `c${i}`, tasks: [[SIDE, LEVEL], [MASK], [LEVEL, MASK]][i % 3] as typeof THREE[number]['tasks'] }))
    })
    // client i attaches to host i mod 3: everybody keeps their host
    const [first, second] = [await run(changes, six([0, 1, 2, 3, 4, 5])), await run(changes, six([3, 4, 5, 0, 1, 2]))]
    t.deepEqual(second.fingerprints, first.fingerprints)
    t.deepEqual(plain(second), plain(first))
    t.is(new Set(HOSTS.map(host => first.fingerprints[host])).size, 1)
  })
}

test.serial('hosts that choose have what the rule makes as one candidate more, and two runs choose alike', async t => {
  const changes = { training: single, merge: { mode: 'select', rule: 'gp' } } as const
  const [first, second] = [await run(changes), await run(changes)]
  t.deepEqual(second.fingerprints, first.fingerprints)
  for (const { mergeReason, between, merged } of first.rounds) {
    if (merged.length > 1) t.regex(mergeReason, /; by gp [+-]?\d/)
    t.is(between?.hosts, merged.length > 1 ? merged.length : undefined)
  }
  t.true(first.rounds.some(({ merged }) => merged.length > 1))
})

/** Two hosts of one charter with deltas of their own. */
async function pair (): Promise<{ charter: ReturnType<typeof smallCharter>, deltas: DeltaEntry[] }> {
  const charter = smallCharter([LEVEL], { training: single, merge: { mode: 'all', rule: 'gp' } })
  const trainer = new HostTrainer(backend, charter)
  const size = trainer.unitSizes().trunk as number
  trainer.dispose()
  const random = new Random(5)
  return { charter, deltas: ['a', 'b'].map(id => ({ id, weight: 1, units: { trunk: Float32Array.from({ length: size }, () => 0.01 * random.normal()) } })) }
}

test('a host that lacks what was agreed on says so, and then no host looks at it: states stay one', async t => {
  const { charter, deltas } = await pair()
  const [one, two, lacking] = [0, 1, 2].map(() => new HostTrainer(backend, charter)) as [HostTrainer, HostTrainer, HostTrainer]
  const merge = (host: HostTrainer, histories: ReadonlyArray<string | undefined>, round: number): ReturnType<HostTrainer['proposeMerge']> & ReturnType<HostTrainer['accept']> => ({
    ...host.proposeMerge('merged', deltas.map((delta, i) => ({ ...delta, ...histories[i] === undefined ? {} : { history: histories[i] } })), round),
    ...host.accept('merged')
  })
  for (const host of [one, two]) {
    t.is(host.delta().history, undefined)
    t.like(merge(host, [undefined, undefined], 0), { without: undefined, history: undefined }, 'the first round needs none')
  }
  const history = one.delta().history as string
  t.is(two.delta().history, history)
  const restored = new HostTrainer(backend, charter)
  restored.load(one.save())
  t.is(restored.delta().history, history, 'a checkpoint keeps it')
  restored.dispose()
  // one that took another way here
  lacking.load(one.save().filter(({ name }) => name !== 'agreed') as NamedTensor[])
  t.is(lacking.delta().history, undefined)
  const told = [merge(one, [history, undefined], 1), merge(lacking, [history, undefined], 1)]
  for (const { without, history } of told) {
    t.is(without, 'without history: b lacked the delta of the round before')
    t.is(history, undefined)
  }
  t.is(lacking.fingerprint(), one.fingerprint())
  t.is(merge(two, [history, history], 1).history, history, 'where both have it, it is looked at')
  t.not(two.fingerprint(), one.fingerprint())
  // from then on they agree again
  const again = one.delta().history as string
  t.is(lacking.delta().history, again)
  t.is(merge(one, [again, again], 2).history, again)
  t.is(merge(lacking, [again, again], 2).history, again)
  t.is(lacking.fingerprint(), one.fingerprint())
  t.is(merge(two, ['00'.repeat(32), two.delta().history], 2).without, 'without history: hosts hold different deltas of the round before')
  for (const host of [one, two, lacking]) host.dispose()
})

/** Verdicts that a test may set, by candidate: difference from 'own'. */
async function decide (differences: Readonly<Record<string, number>>, peers: number): Promise<MergeDecision> {
  const { charter, deltas: [own, other] } = await pair() as { charter: ReturnType<typeof smallCharter>, deltas: [DeltaEntry, DeltaEntry] }
  const trainer = new HostTrainer(backend, charter)
  try {
    return await chooseMerge({
      mode: 'select',
      round: 0,
      rule: 'gp',
      own,
      others: Array.from({ length: peers }, (_, i) => ({ ...other, id: `peer-${i}`, staleness: 0 })),
      trainer: queued(trainer),
      random: new Random(1),
      evaluate: async candidates => candidates.map((candidate): CandidateScore => ({ candidate, loss: 1, samples: 9, difference: differences[candidate] ?? 0, standardError: 0.01 }))
    })
  } finally {
    trainer.dispose()
  }
}

const CHOICES: Array<{ id: string, differences: Record<string, number>, peers: number, want: string, taken: number }> = [
  { id: 'nothing speaks against it', differences: {}, peers: 2, want: 'projected', taken: 3 },
  { id: 'it is a little worse, within the noise', differences: { projected: 0.015 }, peers: 1, want: 'projected', taken: 2 },
  { id: 'clients speak against it, not against the mean', differences: { projected: 0.05 }, peers: 2, want: 'merged', taken: 3 },
  { id: 'clients speak against it, and there is one peer', differences: { projected: 0.05 }, peers: 1, want: 'peer-0', taken: 2 },
  { id: 'the mean is better on evidence', differences: { merged: -0.05 }, peers: 2, want: 'merged', taken: 3 },
  { id: 'clients speak against both', differences: { projected: 0.05, merged: 0.05 }, peers: 2, want: 'own', taken: 1 },
  { id: 'no peer helps', differences: { 'peer-0': 0.05 }, peers: 1, want: 'own', taken: 1 }
]
for (const { id, differences, peers, want, taken } of CHOICES) {
  test(`a host that chooses takes ${want} where ${id}`, async t => {
    const decision = await decide(differences, peers)
    t.is(decision.accepted, want)
    t.is(decision.taken.length, taken)
    t.is(decision.between === undefined, taken === 1)
    t.false(decision.reason.includes('undefined'))
  })
}
