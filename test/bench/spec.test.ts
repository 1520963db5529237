import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { KIND, TABLE, peerCharter } from '../helpers/peer-sites.ts'
import { architecturesOf, publicationSteps } from '../../src/bench/spec.ts'
import { charterHash, createCharter, readCharter } from '../../src/federation/charter.ts'
import { findStrategy, settingsOf } from '../../src/strategies/index.ts'
import { smallCharter } from '../helpers/federation.ts'
import type { BenchSpec } from '../../src/bench/spec.ts'
import type { CharterOptions } from '../../src/federation/charter.ts'

const charter = peerCharter([KIND], 1)

function made (changes: Partial<CharterOptions>): () => unknown {
  const { model, merge } = charter
  const { backbone, ...parts } = model
  return () => createCharter({ name: 'peers', seed: 1, input: TABLE, tasks: [KIND], model: { ...backbone, ...parts }, merge, bench: {}, ...changes })
}

test('a charter without a bench has no such key, one with a bench shares nothing and has another hash', t => {
  t.false('bench' in smallCharter([KIND]))
  const { bench, ...rest } = charter
  t.not(charterHash(charter), charterHash(rest))
  t.deepEqual(charter.shared, [])
  t.like(bench, { cap: 32, maxBytes: 2 ** 24, diversity: 'pang', combination: 'soft', maxMembers: 5 })
  t.false('rounds' in (bench as BenchSpec))
  t.deepEqual(readCharter(JSON.parse(JSON.stringify(charter))), charter)
})

test('architectures are the charter\'s model with their changes, under names that follow from their shape', t => {
  const [first, second] = architecturesOf(charter.bench as BenchSpec, charter.model, charter.input)
  t.deepEqual(first?.model, charter.model)
  t.deepEqual(second?.model, { ...charter.model, backbone: { ...charter.model.backbone, width: 8, hidden: 32 } })
  t.regex(first?.id ?? '', /^[0-9a-f]{16}$/)
  t.not(first?.id, second?.id)
  t.is(architecturesOf({ ...charter.bench as BenchSpec, architectures: [{ width: 16 }] }, charter.model, charter.input)[0]?.id, first?.id, 'a change that changes nothing')
})

test('a site publishes once when it is trained, or as often as the charter says', t => {
  const { training, bench } = charter
  t.deepEqual(publicationSteps(bench as BenchSpec, training), [100])
  t.deepEqual(publicationSteps({ ...bench as BenchSpec, rounds: 4 }, training), [25, 50, 75, 100])
  t.deepEqual(publicationSteps({ ...bench as BenchSpec, rounds: 7 }, { ...training, rounds: 1, stepsPerRound: 3 }), [1, 2, 3])
})

test('settings stand over the strategy\'s', t => {
  const { bench } = settingsOf(findStrategy('fedpae'), {}, { bench: { cap: 9 } })
  t.like(bench, { cap: 9, architectures: findStrategy('fedpae').bench?.architectures })
})

for (const { id, changes, message } of [
  { id: 'an unknown setting', changes: { bench: { colour: 1 } }, message: /^bench\.colour is not a setting$/ },
  { id: 'no architecture', changes: { bench: { architectures: [] } }, message: /^bench\.architectures must be a list of 1 to 8/ },
  { id: 'an architecture that cannot be', changes: { bench: { architectures: [{ attention: true, width: 7, heads: 2 }] } }, message: /^bench\.architectures\[0\]: model\.width 7 does not divide by model\.heads 2$/ },
  { id: 'an architecture that is none', changes: { bench: { architectures: [{}, { trunk: 'host' }] } }, message: /^bench\.architectures\[1\]\.trunk is not a setting$/ },
  { id: 'no place for others', changes: { bench: { architectures: [{}, {}], cap: 2 } }, message: /^bench\.cap 2 leaves no place beside 2 models of the site itself$/ },
  { id: 'a diversity of no known name', changes: { bench: { diversity: 'colour' } }, message: /^bench\.diversity cannot be 'colour'$/ },
  { id: 'no round', changes: { bench: { rounds: 0 } }, message: /^bench\.rounds must be a whole number from 1 to 1000, got 0$/ },
  { id: 'a split model', changes: { model: {} }, message: /^bench needs the whole model at the client$/ },
  { id: 'hosts that merge', changes: { merge: { mode: 'all' } }, message: /^merge\.mode all needs hosts, and a bench has none$/ },
  { id: 'shared heads', changes: { model: { trunk: 'client', sharedHeads: 'all' }, training: { proximal: 0.1 } }, message: /^model\.sharedHeads, training\.proximal: a site's models are its own here, nothing is averaged$/ },
  { id: 'groups of tasks', changes: { grouping: {} }, message: /^grouping is for a model that sites train together, and a bench has none$/ },
  { id: 'a method on the sites\' changes', changes: { method: { name: 'fesem' } }, message: /^method is for a model that sites train together, and a bench has none$/ }
] as Array<{ id: string, changes: Partial<CharterOptions>, message: RegExp }>) {
  test(`refused in one line: ${id}`, t => {
    const error = t.throws(made(changes), { instanceOf: InvalidParametersError })
    t.regex(error?.message ?? '', message)
  })
}
