import { spawnSync } from 'node:child_process'
import test from 'ava'
import { CODECS } from '../../src/compression/index.ts'
import type { Spread } from '../../testnet/bench/report.ts'

const source = (path: string): string => JSON.stringify(new URL(`../../${path}`, import.meta.url).href)
const SCRIPT = `
import { Command } from 'commander'
import { registerBench } from ${source('testnet/bench/index.ts')}
import { runProgram } from ${source('node/cli/program.ts')}
const program = new Command('fmtl-node')
registerBench(program)
await runProgram(program)`

function bench (...args: string[]): { status: number | null, stdout: string, stderr: string } {
  return spawnSync(process.execPath, ['--input-type=module', '-e', SCRIPT, 'bench', 'codec', ...args], { encoding: 'utf8' })
}

test('every codec is timed in both directions, then comes the summary', t => {
  const { status, stdout } = bench('--floats', '300,1024', '--runs', '3', '--format', 'json')
  t.is(status, 0)
  const rows = stdout.trimEnd().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
  t.deepEqual(rows.slice(0, -1).map(({ bench, impl, direction, floats }) => [bench, impl, direction, floats]),
    [300, 1024].flatMap(floats => CODECS.flatMap(codec => ['encode', 'decode'].map(direction => ['codec', codec, direction, floats]))))
  for (const row of rows.slice(0, -1)) {
    const { median, min, max, runs } = row.GBPerSecond as Spread
    t.true(min > 0 && min <= median && median <= max && Number.isFinite(max))
    t.is(runs, 3)
  }
  t.like(rows.at(-1), { type: 'summary', rows: 16 })
})

for (const args of [['--codecs', 'int4'], ['--floats', '0'], ['--runs', 'many']]) {
  test(`${args.join(' ')} is refused in one line`, t => {
    const { status, stderr } = bench(...args)
    t.is(status, 2)
    t.regex(stderr, /^fmtl-node: [^\n]+\n$/)
  })
}
