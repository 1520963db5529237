import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { Command } from 'commander'
import { InvalidParametersError } from '../../src/errors.ts'
import { ruleNames } from '../../src/projection/index.ts'
import { registerAggregate } from '../../testnet/bench/aggregate.ts'

const CLI = fileURLToPath(new URL('../../scripts/fmtl-node.ts', import.meta.url))

async function bench (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Array<Record<string, unknown>>> {
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, 'bench', 'aggregate', ...args, '--format', 'json'], { env: { ...process.env, ...env } })
  return stdout.trim().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
}

test('bench aggregate gives a row per rule and implementation; one that cannot run says why', async t => {
  const rows = await bench(['--rows', '4', '--floats', '70001', '--impl', 'fmtl,plain,stream,numpy', '--runs', '2'], { FMTL_PYTHON: 'no-such-python' })
  t.like(rows.pop(), { type: 'summary', rows: 12 })
  t.deepEqual(rows.map(({ rule, impl }) => `${String(rule)} ${String(impl)}`), ['gp', 'mean', 'upgrad'].flatMap(rule => ['fmtl', 'plain', 'stream', 'numpy'].map(impl => `${rule} ${impl}`)))
  for (const row of rows) {
    t.like(row, { bench: 'aggregate', rows: 4, floats: 70001 })
    if (row.impl === 'numpy') {
      t.is(row.seconds, null)
      t.regex(String(row.reason), /no-such-python/)
    } else {
      const { median, min, max, runs } = row.seconds as Record<string, number>
      t.true(Number(min) > 0 && Number(min) <= Number(median) && Number(median) <= Number(max))
      t.is(runs, 2)
      t.true(Number(row.peakBytes) > 0)
    }
  }
})

test('bench aggregate takes every rule, beside numpy where that has a counterpart of it', async t => {
  const rows = await bench(['--rules', ruleNames.join(','), '--rows', '5', '--floats', '20011', '--impl', 'fmtl,plain,stream,numpy', '--runs', '1'])
  t.like(rows.pop(), { type: 'summary', rows: 4 * ruleNames.length })
  for (const { rule, impl, seconds, reason } of rows) {
    if (impl !== 'numpy') t.true(Number((seconds as Record<string, number>).median) > 0, `${String(rule)} ${String(impl)}`)
    else if (!['gp', 'mean', 'upgrad'].includes(String(rule))) t.true(seconds === null && /no counterpart of|no numpy|ENOENT/.test(String(reason)), String(reason))
  }
})

for (const { id, args } of [
  { id: 'an unknown rule', args: ['--rules', 'gp,best'] },
  { id: 'an unknown implementation', args: ['--impl', 'fortran'] },
  { id: 'no rows', args: ['--rows', '0'] }
]) {
  test(`bench aggregate refuses ${id}`, async t => {
    const program = new Command()
    registerAggregate(program)
    await t.throwsAsync(program.parseAsync(['aggregate', ...args], { from: 'user' }), { instanceOf: InvalidParametersError })
  })
}
