import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { spawnSync } from 'node:child_process'
import test from 'ava'
import { folderOf } from '../helpers/files.ts'
import { methods } from '../../src/methods/index.ts'
import { ruleNames, ruleOptions, ruleSource } from '../../src/projection/index.ts'
import { strategies } from '../../src/strategies/index.ts'
import { weightingNames, weightingOptions, weightingSource } from '../../src/weighting/index.ts'

const COMMAND = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'scripts', 'fmtl-node.mjs')

const REPOSITORY = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const MEDIAN = 'examples/strategies/median-rule.ts'

function command (...args: string[]): { status: number | null, stdout: string, stderr: string } {
  return spawnSync(process.execPath, [COMMAND, ...args], { encoding: 'utf8', cwd: REPOSITORY })
}

function run (...args: string[]): string { return command('strategies', ...args).stdout }

test('every strategy, gradient rule and loss weighting is listed with its source', t => {
  const lines = run('--format', 'json').trimEnd().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
  t.deepEqual(lines.filter(({ type }) => type === 'rule'), ruleNames.map(name => ({ type: 'rule', name, source: ruleSource(name), options: Object.keys(ruleOptions(name)) })))
  t.deepEqual(lines.filter(({ type }) => type === 'weighting'), weightingNames.map(name => ({ type: 'weighting', name, source: weightingSource(name), options: Object.keys(weightingOptions(name)) })))
  t.deepEqual(lines.filter(({ type }) => type === undefined).map(({ name }) => name), strategies.map(({ name }) => name))
  t.deepEqual(lines.at(-1), { type: 'summary', strategies: strategies.length, methods: methods.map(({ name }) => name), rules: ruleNames, weightings: weightingNames })
  t.deepEqual(lines.filter(({ type }) => type === 'method').map(({ name }) => name), methods.map(({ name }) => name))
  const text = run('--format', 'text')
  for (const { name } of methods) t.true(text.includes(`method ${name} `) && text.includes(`\n${name} `), name)
  for (const name of ruleNames) t.true(text.includes(`${name} `) && text.includes(ruleSource(name)), name)
  for (const name of weightingNames) t.true(text.includes(`${name} `) && text.includes(weightingSource(name)), name)
})

test('a strategy file is checked: what it says and how charters will name its rule, or what is wrong with it', async t => {
  const { rule, sha256, ...rest } = JSON.parse(run(MEDIAN, '--format', 'json')) as Record<string, string>
  t.deepEqual(rest, { type: 'summary', name: 'median-backbone', source: 'after Yin et al., arXiv 1803.01498', kind: 'split', file: MEDIAN })
  t.is(rule, `median#${sha256}`)
  t.regex(run(`./${MEDIAN}`), new RegExp(`^\\./${MEDIAN} is in order\nstrategy +median-backbone, split .*\nrule +${rule}, as charters will name it\nmerging +select\n$`))
  const path = join(await folderOf(t, { 'mine.mjs': 'export const strategies = {}' }), 'mine.mjs')
  const { status, stdout, stderr } = command('strategies', path)
  t.deepEqual([status, stdout, stderr], [2, '', `fmtl-node: ${path}: exports 'strategies'; next: a strategy file exports strategy and, if it has a gradient rule of its own, rule\n`])
})

test('a charter of a strategy file says so; a node without that file, or with another version, says which one it needs', async t => {
  const folder = await folderOf(t, { 'other.ts': `${await readFile(join(REPOSITORY, MEDIAN), 'utf8')}// another version\n` })
  const charter = join(folder, 'charter.json')
  const made = command('charter', '--data', 'scenes', '--strategy', MEDIAN, '--out', charter)
  t.is(made.status, 0, made.stderr)
  const rule = /^every member needs examples\/strategies\/median-rule\.ts too, this very version: (median#[0-9a-f]{16})$/m.exec(made.stdout)?.[1] as string
  t.is((JSON.parse(await readFile(charter, 'utf8')) as { projection: { rule: string } }).projection.rule, rule)
  const hash = rule.split('#')[1] as string
  const config = join(folder, 'config.yaml')
  await writeFile(config, 'node: { strategy: other.ts }')
  const up = (...args: string[]): ReturnType<typeof command> => command('up', '--charter', charter, '--home', join(folder, 'home'), '--role', 'client', '--data', 'scenes', '--client', 'camera-0', ...args)
  for (const [args, says] of [
    [[], 'and there is none here'],
    [['--strategy', join(folder, 'other.ts')], `${join(folder, 'other.ts')} holds 'median' with `],
    [['--config', config], `${join(folder, 'other.ts')} holds 'median' with `]
  ] as const) {
    const { status, stderr } = up(...args)
    t.is(status, 2, stderr)
    t.regex(stderr, new RegExp(`^fmtl-node: the charter's gradient rule 'median' is from a strategy file with sha-256 ${hash}\\.\\.\\., [^\n]*; next: get the file whose sha-256 begins with ${hash} [^\n]*--strategy FILE, or node\\.strategy in config\\.yaml\n$`))
    t.true(stderr.includes(says), stderr)
  }
})

test('found writes the file down for `up`, and does not found with another one than its charter names', async t => {
  const folder = await folderOf(t, { 'other.ts': `${await readFile(join(REPOSITORY, MEDIAN), 'utf8')}// another version\n` })
  const [home, charter] = [join(folder, 'home'), join(folder, 'charter.json')]
  t.is(command('charter', '--data', 'scenes', '--strategy', MEDIAN, '--out', charter).status, 0)
  const other = command('found', 'Lab', '--charter', charter, '--strategy', join(folder, 'other.ts'), '--home', home)
  t.is(other.status, 2)
  t.regex(other.stderr, /^fmtl-node: the charter's gradient rule 'median' [^\n]*\n$/)
  const founded = command('found', 'Lab', '--charter', charter, '--strategy', MEDIAN, '--home', home)
  t.is(founded.status, 0, founded.stderr)
  t.regex(founded.stdout, /update +rule median#[0-9a-f]{16}, strict update/)
  t.true((await readFile(join(home, 'config.yaml'), 'utf8')).includes(`\n  strategy: ${join(REPOSITORY, MEDIAN)}\n`))
})
