/** `--strategy ./mine.ts`: what a strategy file may say, what it may not, and who holds which version. */
import { createHash } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { charterHash, readCharter } from '../../src/federation/charter.ts'
import { folderOf } from '../helpers/files.ts'
import { loadStrategy, openStrategy, readStrategyFile, ruleFile } from '../../src/strategies/outside.ts'
import { refuse } from '../../src/federation/admission.ts'
import { settingsOf } from '../../src/strategies/index.ts'
import { smallCharter } from '../helpers/federation.ts'
import { LEVEL, SIDE } from '../helpers/synthetic.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Strategy } from '../../src/strategies/index.ts'

const MEDIAN = fileURLToPath(new URL('../../examples/strategies/median-rule.ts', import.meta.url))
const DOCUMENT = fileURLToPath(new URL('../../docs/strategies.md', import.meta.url))
const SETTINGS = "name: 'mine', source: 'a test', kind: 'split', projection: { rule: 'mean' }, merge: { mode: 'none' }"
const PLAIN = `export const strategy = { ${SETTINGS} }\n`
const RULED = `export const strategy = { ${SETTINGS.replace("'mean'", "'first'")} }\nexport const rule = { name: 'first', aggregate: gradients => gradients[0] }\n`

const charterOf = (strategy: Strategy): Charter => smallCharter([LEVEL, SIDE], settingsOf(strategy, {}, {}))

test('the example is a strategy and a rule, which its charter names by the hash of the file', async t => {
  const { strategy, rule, file } = await openStrategy(MEDIAN)
  const hash = createHash('sha256').update(await readFile(MEDIAN)).digest('hex').slice(0, 16)
  t.like(strategy, { name: 'median-backbone', kind: 'split', projection: { rule: `median#${hash}`, strict: 'update', balance: 'norm' }, merge: { mode: 'select' } })
  t.like(rule, { id: `median#${hash}`, file: MEDIAN })
  t.like(file, { path: MEDIAN, hash })
})

test('the example of the document works as it stands there, and the document is short', async t => {
  const text = await readFile(DOCUMENT, 'utf8')
  t.true(text.trimEnd().split('\n').length <= 30)
  const source = /```ts\n(.*?)```/s.exec(text)?.[1] ?? ''
  const { strategy, rule } = await openStrategy(join(await folderOf(t, { 'mine.ts': source }), 'mine.ts'))
  t.is(strategy.name, 'shorter-first')
  const update = rule?.rule.aggregate([Float32Array.of(3, 0), Float32Array.of(0, 1)], { norms: [3, 1] } as never)
  t.deepEqual([...update ?? []], [0.75, 0.75]) // weights 1/4 and 3/4
})

test('a name is one of ours, a path is a file, a file without a rule has settings alone', async t => {
  t.deepEqual(Object.keys(await openStrategy('mtsl')), ['strategy'])
  t.is((await openStrategy('mtsl')).strategy.name, 'mtsl')
  await t.throwsAsync(openStrategy('nosuch'), { instanceOf: InvalidParametersError, message: /no strategy 'nosuch'/ })
  const folder = await folderOf(t, { 'a.ts': PLAIN.replace('= {', ': object = {'), 'a.js': PLAIN, 'a.mjs': PLAIN })
  for (const name of ['a.ts', 'a.js', 'a.mjs']) {
    const opened = await openStrategy(join(folder, name))
    t.deepEqual(opened.strategy, { name: 'mine', source: 'a test', kind: 'split', projection: { rule: 'mean' }, merge: { mode: 'none' } })
    t.is(opened.rule, undefined)
    t.is(ruleFile(charterOf(opened.strategy), opened), undefined)
  }
})

test('settings are a copy: what the file does to its object later changes nothing', async t => {
  const source = `${PLAIN}setImmediate(() => { strategy.merge.mode = 'all'; strategy.colour = 'red' })\n`
  const { strategy } = await openStrategy(join(await folderOf(t, { 'mine.js': source }), 'mine.js'))
  await new Promise(resolve => { setImmediate(resolve) })
  await new Promise(resolve => { setImmediate(resolve) })
  t.deepEqual(strategy.merge, { mode: 'none' })
  t.false('colour' in strategy)
})

test('what was read is what runs, also when the file changes meanwhile', async t => {
  const folder = await folderOf(t, { 'mine.js': RULED })
  const before = await readStrategyFile(join(folder, 'mine.js'))
  const after = { ...before, source: RULED.replace('gradients[0]', 'gradients[1]'), hash: 'f'.repeat(16) }
  const rows = [Float32Array.of(1), Float32Array.of(2)]
  const [one, two, again] = [await loadStrategy(before), await loadStrategy(after), await loadStrategy(before)]
  t.deepEqual([one, two, again].map(({ rule }) => rule?.rule.aggregate(rows, {} as never)[0]), [1, 2, 1])
})

const edited = (from: string, to: string, source = PLAIN): string => {
  if (!source.includes(from)) throw new Error(`no ${from}`)
  return source.replace(from, to)
}
const REFUSED: ReadonlyArray<{ id: string, source: string | Uint8Array, message: RegExp, next?: RegExp, file?: string }> = [
  { id: 'no export', source: 'const strategy = 1', message: /does not export strategy$/, next: /export const strategy = \{ name,/ },
  { id: 'a default export', source: `export default { ${SETTINGS} }`, message: /exports 'default'$/, next: /exports strategy and/ },
  { id: 'a third export', source: `${PLAIN}export const rules = []`, message: /exports 'rules'$/ },
  { id: 'a strategy that is no object', source: 'export const strategy = []', message: /strategy is a list, not an object of settings/ },
  { id: 'an unknown setting', source: edited("kind: 'split'", "kind: 'split', colour: 1"), message: /strategy\.colour is no setting$/, next: /known: name, source, kind, projection, merge, model, training/ },
  { id: 'a missing setting', source: edited(", merge: { mode: 'none' }", ''), message: /strategy\.merge is missing$/ },
  { id: 'a name of ours', source: edited("'mine'", "'mtsl'"), message: /strategy\.name is 'mtsl', which is one of ours/ },
  { id: 'a name that is none', source: edited("'mine'", "'My\\nown'"), message: /strategy\.name cannot be 'My own'/ },
  { id: 'a source that is no text', source: edited("'a test'", '7'), message: /strategy\.source is 7$/ },
  { id: 'an unknown kind', source: edited("'split'", "'halves'"), message: /strategy\.kind is 'halves'$/, next: /split, whole/ },
  { id: 'a projection that is a text', source: edited("{ rule: 'mean' }", "'mean'"), message: /strategy\.projection is 'mean', not an object/ },
  { id: 'a function as setting', source: edited("{ mode: 'none' }", '{ mode: () => 1 }'), message: /strategy\.merge\.mode is a function, not a text, a number/ },
  { id: 'a setting that is no number', source: edited("{ mode: 'none' }", '{ rate: NaN }'), message: /strategy\.merge\.rate is NaN/ },
  { id: 'a setting of a class of its own', source: edited("{ mode: 'none' }", 'new Map()'), message: /strategy\.merge is an object, not an object of settings/ },
  { id: 'settings that contain themselves', source: `const model = {}\nmodel.model = model\n${edited("kind: 'split'", "kind: 'split', model")}`, message: /levels deep$/ },
  { id: 'a prototype as setting', source: edited("{ mode: 'none' }", "JSON.parse('{\"__proto__\": { \"polluted\": true }}')"), message: /strategy\.merge\.__proto__ is no setting/ },
  { id: 'a rule that is a function', source: `${PLAIN}export const rule = () => 1`, message: /rule is a function$/ },
  { id: 'a rule without aggregate', source: `${PLAIN}export const rule = { name: 'first' }`, message: /rule\.aggregate is undefined$/ },
  { id: 'a rule with something else', source: edited("name: 'first', ag", "name: 'first', strict: true, ag", RULED), message: /rule\.strict is not known$/ },
  { id: 'a rule with a name of ours', source: RULED.replaceAll("'first'", "'gp'"), message: /rule\.name is 'gp', which is one of ours/ },
  { id: 'a rule that the strategy does not name', source: edited("rule: 'first'", "rule: 'last'", RULED), message: /strategy\.projection\.rule is 'last', its rule is 'first'/ },
  { id: 'a rule for whole models', source: edited("'split'", "'whole'", RULED), message: /has a rule and is of kind 'whole'/ },
  { id: 'no JavaScript', source: 'export const = 1', message: /cannot be loaded: SyntaxError: / },
  { id: 'TypeScript that has to be compiled', source: `enum Kind { Split }\n${PLAIN}`, file: 'mine.ts', message: /cannot be loaded: .*enum is not supported/ },
  { id: 'a file that throws', source: `${PLAIN}\nthrow new Error('as it\\nlikes')`, message: /cannot be loaded: Error: as it likes \(line 3\)$/ },
  { id: 'a second file', source: `import './other.js'\n${PLAIN}`, message: /imports '\.\/other\.js'$/, next: /one file/ },
  { id: 'a package', source: `import ajv from 'ajv'\n${PLAIN}`, message: /imports 'ajv'$/ },
  { id: 'a file by its full path', source: `const x = await import('file:///etc/hostname')\n${PLAIN}`, message: /imports 'file:\/\/\/etc\/hostname'$/ },
  { id: 'too large a file', source: `${PLAIN}//${' '.repeat(64 * 1024)}`, message: /has \d+ bytes, at most 65536 are read$/ },
  { id: 'no text', source: Uint8Array.of(0xff, 0xfe, 0x00), message: /is no UTF-8 text$/ },
  { id: 'another ending', source: PLAIN, file: 'mine.json', message: /ends in \.ts, \.js or \.mjs$/, next: /fedbone, mtsl/ }
]
for (const { id, source, file = 'mine.js', message, next } of REFUSED) {
  test(`refused in one line: ${id}`, async t => {
    const path = join(await folderOf(t, { [file]: source }), file)
    const error = await t.throwsAsync(openStrategy(path), { instanceOf: InvalidParametersError, message })
    t.true(error.message.startsWith(`${path}: `))
    t.notRegex(`${error.message}${error.next}`, /\n/)
    if (next !== undefined) t.regex(error.next ?? '', next)
    t.is(({} as Record<string, unknown>).polluted, undefined)
  })
}

test('a path that is no file is refused', async t => {
  const folder = await folderOf(t, {})
  await mkdir(join(folder, 'mine.ts'))
  await t.throwsAsync(openStrategy(join(folder, 'mine.ts')), { instanceOf: InvalidParametersError, message: /the strategy is no file$|cannot be read \(EISDIR\)$/ })
  await t.throwsAsync(openStrategy(join(folder, 'none.ts')), { instanceOf: InvalidParametersError, message: /cannot be read \(ENOENT\)$/ })
})

test('another version of the file is another charter: refused at attach, and named where it is missing', async t => {
  const folder = await folderOf(t, { 'mine.js': RULED, 'other.js': `${RULED}// one more remark\n` })
  const [mine, other] = [await openStrategy(join(folder, 'mine.js')), await openStrategy(join(folder, 'other.js'))]
  const [charter, another] = [charterOf(mine.strategy), charterOf(other.strategy)]
  t.not(charterHash(charter), charterHash(another))
  t.deepEqual(readCharter(JSON.parse(JSON.stringify(charter))), charter)
  const request = { client: 'ada', name: 'ada', model: charterHash(another), tasks: ['side'], cut: [4, 8], samples: 1, batch: 1 }
  t.like(refuse(request, charter, { slots: 1, attached: [] }), { code: 'MODEL' })
  t.is(refuse({ ...request, model: charterHash(charter) }, charter, { slots: 1, attached: [] }), undefined)
  t.is(ruleFile(charter, mine)?.hash, mine.file?.hash)
  const [have, want] = [other.file?.hash as string, mine.file?.hash as string]
  const cases = [
    [{}, `the charter's gradient rule 'first' is from a strategy file with sha-256 ${want}..., and there is none here`],
    [await openStrategy('mtsl'), 'and there is none here'],
    [other, `${join(folder, 'other.js')} holds 'first' with ${have}...`]
  ] as const
  for (const [opened, says] of cases) {
    const error = t.throws(() => ruleFile(charter, opened), { instanceOf: InvalidParametersError })
    t.true(error?.message.includes(says), error?.message)
    t.regex(error?.next ?? '', new RegExp(`${want}.*--strategy FILE, or node\\.strategy in config\\.yaml`))
  }
})

test('no rule of another shape passes for one from a file', t => {
  const charter = smallCharter([LEVEL, SIDE])
  t.is(charter.projection.rule, 'gp')
  for (const rule of ['first', 'first#12', `../first#${'0'.repeat(16)}`]) {
    t.throws(() => readCharter({ ...charter, projection: { ...charter.projection, rule } }), { instanceOf: InvalidParametersError, message: /projection\.rule cannot be/ })
  }
})
