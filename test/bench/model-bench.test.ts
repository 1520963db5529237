import test from 'ava'
import { testProp, fc } from '@fast-check/ava'
import { ModelBench, modelIdOf } from '../../src/bench/model-bench.ts'
import { KIND, REACH } from '../helpers/peer-sites.ts'
import { cardTask, labelSpace } from '../../src/bench/card.ts'
import type { Architecture } from '../../src/bench/spec.ts'
import type { BenchEntry } from '../../src/bench/model-bench.ts'
import type { ModelCard } from '../../src/bench/card.ts'
import type { ModelSpec } from '../../src/models/spec.ts'

const ARCHITECTURES: Architecture[] = ['aa', 'bb'].map(id => ({ id, model: {} as ModelSpec }))

function benchOf (cap = 4, ownTasks = ['kind', 'reach']): ModelBench {
  return new ModelBench({ peer: 'me', cap, maxBytes: 1000, architectures: ARCHITECTURES, tasks: [KIND, REACH].map(cardTask), ownTasks, parametersOf: ({ id }, tasks) => (id === 'aa' ? 100 : 50) + 10 * tasks.length })
}

function card (changes: Partial<ModelCard> = {}): ModelCard {
  return { peer: 'ada', modelId: 'model-1', version: 1, arch: 'aa', parameters: 110, bytes: 440, sha256: '00', tasks: [cardTask(KIND)], ...changes }
}

function entry (changes: Partial<ModelCard> = {}, accuracy = 0.5): BenchEntry {
  return { card: card(changes), own: changes.peer === 'me', accuracy, answers: new Map() }
}

const peersOf = (bench: ModelBench): string[] => bench.entries.map(({ card: { peer, version } }) => `${peer}@${version}`)

for (const { id, changes, reason } of [
  { id: 'the site\'s own', changes: { peer: 'me' }, reason: /^it is from here$/ },
  { id: 'an unknown architecture', changes: { arch: 'cc' }, reason: /^model-1 of architecture cc is none of the charter's$/ },
  { id: 'a second one of an architecture', changes: { modelId: 'model-9' }, reason: /^model-9 of architecture aa is none of the charter's$/ },
  { id: 'too many bytes', changes: { bytes: 1001 }, reason: /^1001 bytes, the charter allows 1000$/ },
  { id: 'a task twice', changes: { tasks: [cardTask(KIND), cardTask(KIND)] }, reason: /^it names a task twice$/ },
  { id: 'another label space', changes: { tasks: [{ ...cardTask(KIND), space: labelSpace({ ...KIND, channels: 7 }) }] }, reason: /^its labels of task kind are not those of the charter$/ },
  { id: 'a task of no charter', changes: { tasks: [{ ...cardTask(KIND), id: 'other' }] }, reason: /^its labels of task other are not those of the charter$/ },
  { id: 'weights that the architecture does not have', changes: { parameters: 111 }, reason: /^111 weights, a model of this architecture has 110$/ }
]) {
  test(`not wanted, with the reason: ${id}`, t => {
    const { wanted, reason: why } = benchOf().wanted(card(changes))
    t.false(wanted)
    t.regex(why, reason)
  })
}

test('a model of tasks that the site does not train is not wanted', t => {
  t.regex(benchOf(4, ['reach']).wanted(card()).reason, /^it answers kind, none of which is trained here$/)
  t.true(benchOf(4, ['reach']).wanted(card({ parameters: 120, tasks: [KIND, REACH].map(cardTask) })).wanted)
})

test('a higher version replaces, the same or a lower one is not wanted', t => {
  const bench = benchOf()
  bench.put(entry({ version: 2 }))
  t.regex(bench.wanted(card({ version: 2 })).reason, /^version 2 is not newer than 2/)
  t.false(bench.wanted(card({ version: 1 })).wanted)
  t.true(bench.wanted(card({ version: 3 })).wanted)
  bench.put(entry({ version: 3 }))
  t.deepEqual(peersOf(bench), ['ada@3'])
})

test('above the cap the least accurate leaves that is neither own nor in a committee, and is not wanted again', t => {
  const bench = benchOf()
  const seated = entry({ peer: 'ada' }, 0.1)
  for (const each of [entry({ peer: 'me' }, 0), seated, entry({ peer: 'ben' }, 0.3), entry({ peer: 'cyd' }, 0.4)]) bench.put(each)
  bench.seat([seated])
  t.like(bench.put(entry({ peer: 'dan' }, 0.35)), { kept: true, reason: 'in the place of model-1 of ben, the least accurate here' })
  t.deepEqual(peersOf(bench), ['ada@1', 'cyd@1', 'dan@1', 'me@1'])
  t.false(bench.put(entry({ peer: 'eve' }, 0.2)).kept, 'a newcomer may be the one to leave')
  t.deepEqual(peersOf(bench), ['ada@1', 'cyd@1', 'dan@1', 'me@1'])
  for (const peer of ['ben', 'eve']) t.false(bench.wanted(card({ peer })).wanted, peer)
  t.true(bench.wanted(card({ peer: 'ben', version: 2 })).wanted)
  t.is(bench.put(entry({ peer: 'fay' }, Number.NaN)).kept, false, 'without a hold-out nothing speaks for it')
  bench.seat([])
  bench.put(entry({ peer: 'gil' }, 0.9))
  t.deepEqual(peersOf(bench), ['cyd@1', 'dan@1', 'gil@1', 'me@1'], 'who has left the committee can go')
})

testProp('which newcomers stay does not depend on who came first', [fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 12 }), fc.infiniteStream(fc.nat())], (t, accuracies, order) => {
  const entries = accuracies.flatMap((accuracy, i) => ARCHITECTURES.map(({ id }, a) => entry({ peer: `p${i}`, arch: id, modelId: modelIdOf(a) }, accuracy)))
  const fill = (all: readonly BenchEntry[]): string[] => {
    const bench = benchOf()
    for (const each of all) bench.put(each)
    return bench.entries.map(({ card: { peer, modelId } }) => `${peer} ${modelId}`)
  }
  const shuffled = entries.map(each => ({ each, at: order.next().value as number })).sort((a, b) => a.at - b.at).map(({ each }) => each)
  t.deepEqual(fill(shuffled), fill(entries))
})
