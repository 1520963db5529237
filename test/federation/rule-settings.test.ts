/** Rules and their options as a charter has them: what is refused, what reaches the rule, and what leaves a charter as it was. */
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { Random } from '../../src/random.ts'
import { charterHash, readCharter } from '../../src/federation/charter.ts'
import { createRule, ruleNames } from '../../src/projection/index.ts'
import { mergeTerms } from '../../src/training/merge.ts'
import { projectionRule, weightingSettings } from '../../src/training/rules.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { smallCharter } from '../helpers/federation.ts'
import { backendOn } from '../helpers/rungs.ts'
import { LEVEL, SIDE, THREE, syntheticDataset } from '../helpers/synthetic.ts'
import type { Charter, CharterOptions, MergeSpec, ProjectionSpec } from '../../src/federation/charter.ts'

const charterWith = (changes: Partial<CharterOptions>): Charter => smallCharter([LEVEL, SIDE], changes)

test('charters that set none of it keep the hash that they had', t => {
  // computed by the version before there were rules between hosts, and options
  t.is(charterHash(charterWith({})), 'ba13635820b06b30')
  t.is(charterHash(charterWith({ projection: { rule: 'cagrad', weighting: 'dwa' }, merge: { mode: 'all' } })), 'd3429d78d3987474')
  t.false('options' in charterWith({}).projection)
  t.false('rule' in charterWith({}).merge || 'options' in charterWith({}).merge)
})

test('rule and options are part of what both ends must agree on, and a charter with them is read back', t => {
  const base = { training: { stepsPerRound: 1 } }
  const hashes = [{}, { rule: 'gp' }, { rule: 'cagrad' }, { rule: 'cagrad', options: { c: 0.2 } }].map(merge => {
    const charter = charterWith({ ...base, merge })
    t.deepEqual(readCharter(JSON.parse(JSON.stringify(charter))), charter)
    return charterHash(charter)
  })
  const options = charterWith({ ...base, projection: { rule: 'cagrad', options: { c: 0.2, rescale: 2 } } })
  t.deepEqual(readCharter(JSON.parse(JSON.stringify(options))), options)
  t.is(new Set([...hashes, charterHash(options), charterHash(charterWith({ ...base, projection: { rule: 'cagrad' } }))]).size, 6)
})

const REFUSED: ReadonlyArray<{ id: string, projection?: Record<string, unknown>, merge?: Record<string, unknown>, steps?: number, says: RegExp, next: RegExp }> = [
  { id: 'an option that the rule does not know', projection: { rule: 'cagrad', options: { tau: 1 } }, says: /^projection\.options\.tau is no option of rule cagrad$/, next: /known: c, rescale$/ },
  { id: 'an option of a rule that has none', projection: { rule: 'imtl-g', options: { c: 1 } }, says: /^projection\.options\.c is no option of rule imtl-g$/, next: /has no options/ },
  { id: 'an option of a weighting that is not set', projection: { options: { temperature: 1 } }, says: /temperature is no option of rule gp$/, next: /known: tau, order$/ },
  { id: 'an option that neither rule nor weighting knows', projection: { weighting: 'dwa', options: { alpha: 1 } }, says: /alpha is no option of rule gp or weighting dwa$/, next: /known: tau, order, temperature$/ },
  { id: 'attention among the options, which is a setting', projection: { options: { attention: 'none' } }, says: /attention is no option/, next: /known/ },
  { id: 'a negative radius', projection: { rule: 'cagrad', options: { c: -1 } }, says: /^projection\.options\.c must be a number from 0, got -1$/, next: /^$/ },
  { id: 'a radius that is a text', projection: { rule: 'cagrad', options: { c: '0.4' } }, says: /got "0\.4"$/, next: /^$/ },
  { id: 'a rescaling of 3', projection: { rule: 'cagrad', options: { rescale: 3 } }, says: /must be 0, 1 or 2, got 3$/, next: /^$/ },
  { id: 'a leak above one', projection: { rule: 'graddrop', options: { leak: 2 } }, says: /must be a number from 0 to 1, got 2$/, next: /^$/ },
  { id: 'an order that there is not', projection: { options: { order: 'random' } }, says: /must be ids or round, got "random"$/, next: /^$/ },
  { id: 'a temperature of zero', projection: { weighting: 'dwa', options: { temperature: 0 } }, says: /must be a number above 0, got 0$/, next: /^$/ },
  { id: 'a negative alpha', projection: { weighting: 'gradnorm', options: { alpha: -1 } }, says: /must be a number from 0 to 10, got -1$/, next: /^$/ },
  { id: 'a longest update that no file can hold', projection: { rule: 'nash-mtl', options: { maxNorm: Infinity } }, says: /maxNorm cannot be Infinity$/, next: /default/ },
  { id: 'options that are a list', projection: { options: [1] }, says: /^projection\.options must be a section of settings, got \[1\]$/, next: /^$/ },
  { id: 'an unknown rule between hosts', merge: { rule: 'best' }, says: /^merge\.rule cannot be 'best'$/, next: /cagrad, gp/ },
  { id: 'options between hosts without a rule', merge: { options: { c: 0.1 } }, says: /merge\.rule, which is not set$/, next: /set merge\.rule/ },
  { id: 'an option between hosts that the rule does not know', merge: { rule: 'gp', options: { c: 0.1 } }, steps: 1, says: /^merge\.options\.c is no option of rule gp$/, next: /known: attention, tau, order, weighting$/ },
  { id: 'a rule between hosts that never meet', merge: { rule: 'mean', mode: 'none' }, says: /hosts never meet by merge\.mode none$/, next: /all or select/ },
  { id: 'gp between hosts on rounds of three steps', merge: { rule: 'gp' }, steps: 3, says: /^merge\.rule 'gp' needs rounds of one step: on deltas of 3 steps pairwise projection ranks last$/, next: /stepsPerRound to 1, or merge\.rule to mean or cagrad$/ },
  { id: 'a wide cagrad between hosts on rounds of three steps', merge: { rule: 'cagrad', options: { c: 0.5 } }, steps: 3, says: /^merge\.options\.c must be at most 0\.4, got 0\.5/, next: /lower it/ }
]
for (const { id, projection = {}, merge = {}, steps = 3, says, next } of REFUSED) {
  test(`a charter refuses ${id}, in one line`, t => {
    const error = t.throws(() => charterWith({ projection, merge: merge as Partial<MergeSpec>, training: { stepsPerRound: steps } }), { instanceOf: InvalidParametersError, message: says })
    t.regex(error?.next ?? '', next)
    t.false(error?.message.includes('\n'))
  })
}

test('between hosts, every rule is taken on rounds of one step, and mean and cagrad on longer ones and on whole models\' local steps', t => {
  const taken = (training: Record<string, number>, model = {}): string[] => ruleNames.filter(rule => {
    try {
      charterWith({ training, model, projection: { rule: 'mean' }, merge: { rule } })
      return true
    } catch (error) {
      t.true(error instanceof InvalidParametersError)
      return false
    }
  })
  t.deepEqual(taken({ stepsPerRound: 1 }), [...ruleNames])
  t.deepEqual(taken({ stepsPerRound: 20 }), ['cagrad', 'mean'])
  t.deepEqual(taken({ stepsPerRound: 1, localSteps: 5 }, { trunk: 'client' }), ['cagrad', 'mean'])
  t.notThrows(() => charterWith({ merge: { rule: 'cagrad', options: { c: 0.4 } } }))
})

test('the terms of a merge say all that it depends on', t => {
  const charter = charterWith({ seed: 9, projection: { strict: 'off' }, merge: { mode: 'all', rule: 'cagrad', options: { c: 0.3 } } })
  t.deepEqual(mergeTerms(charter), { mode: 'all', rate: 1, momentum: 0.5, shareCap: 0.5, clip: 3, projection: { rule: 'cagrad', options: { c: 0.3 }, strict: false, seed: 9 } })
  t.false('projection' in mergeTerms(charterWith({})))
})

test('options reach the rule of a step and the weighting, each its own', t => {
  const rows = [[2, 0, 1], [-1, 1, 0], [0, -1, 3]].map(row => Float32Array.from(row))
  const by = (projection: Partial<ProjectionSpec>): Float32Array => projectionRule(charterWith({ projection: { strict: 'off', ...projection } }).projection).aggregate(rows, { ids: ['a', 'b', 'c'], random: new Random(1) }).update
  const CHOICES: ReadonlyArray<readonly [string, Record<string, string | number>]> = [['cagrad', { c: 0.2 }], ['cagrad', { rescale: 2 }], ['mgda', { normalisation: 'l2' }], ['nash-mtl', { maxNorm: 0.5 }], ['graddrop', { leak: 0.5 }], ['pcgrad', { reduce: 'mean' }]]
  for (const [rule, options] of CHOICES) {
    t.deepEqual(by({ rule, options }), createRule(rule, { strict: false, ...options }).aggregate(rows, { ids: ['a', 'b', 'c'], random: new Random(1) }).update, rule)
    t.notDeepEqual(by({ rule, options }), by({ rule }), rule)
  }
  const both: Partial<ProjectionSpec> = { rule: 'cagrad', weighting: 'gradnorm', options: { c: 0.2, alpha: 0.5 } }
  t.deepEqual(by(both), by({ rule: 'cagrad', options: { c: 0.2 } }))
  t.deepEqual(weightingSettings(charterWith({ projection: both }).projection), { alpha: 0.5 })
  t.deepEqual(weightingSettings(charterWith({ projection: { weighting: 'dwa', options: { tau: 2, temperature: 3 } } }).projection), { temperature: 3 })
})

test.serial('options change what a training ends with', async t => {
  const dataset = syntheticDataset({ clients: THREE })
  const backend = await backendOn('wasm')
  const end = async (projection: Partial<ProjectionSpec>): Promise<string | undefined> => (await simulate({
    charter: smallCharter(dataset.tasks, { training: { rounds: 3, stepsPerRound: 2 }, projection }), dataset, backend, hosts: ['host'], clients: dataset.clientIds, control: false, baseline: false
  })).fingerprints.host
  for (const [plain, options] of [[{ rule: 'cagrad' }, { c: 0 }], [{ weighting: 'dwa' }, { temperature: 0.1 }]] as const) {
    t.not(await end({ ...plain, options }), await end(plain), JSON.stringify(options))
  }
})
