import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { spawnSync } from 'node:child_process'
import test from 'ava'
import { ruleNames, ruleOptions, ruleSource } from '../../src/projection/index.ts'
import { strategies } from '../../src/strategies/index.ts'
import { weightingNames, weightingOptions, weightingSource } from '../../src/weighting/index.ts'

const COMMAND = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'scripts', 'fmtl-node.mjs')

function run (...args: string[]): string { return spawnSync(process.execPath, [COMMAND, 'strategies', ...args], { encoding: 'utf8' }).stdout }

test('every strategy, gradient rule and loss weighting is listed with its source', t => {
  const lines = run('--format', 'json').trimEnd().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
  t.deepEqual(lines.filter(({ type }) => type === 'rule'), ruleNames.map(name => ({ type: 'rule', name, source: ruleSource(name), options: Object.keys(ruleOptions(name)) })))
  t.deepEqual(lines.filter(({ type }) => type === 'weighting'), weightingNames.map(name => ({ type: 'weighting', name, source: weightingSource(name), options: Object.keys(weightingOptions(name)) })))
  t.deepEqual(lines.filter(({ type }) => type === undefined).map(({ name }) => name), strategies.map(({ name }) => name))
  t.deepEqual(lines.at(-1), { type: 'summary', strategies: strategies.length, rules: ruleNames, weightings: weightingNames })
  const text = run('--format', 'text')
  for (const name of ruleNames) t.true(text.includes(`${name} `) && text.includes(ruleSource(name)), name)
  for (const name of weightingNames) t.true(text.includes(`${name} `) && text.includes(weightingSource(name)), name)
})
