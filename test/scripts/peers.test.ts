import test from 'ava'
import { measure, rowsOf } from '../../scripts/bench/peers/command.ts'
import { inTurn, overTurns, ratios } from '../../scripts/bench/peers/turns.ts'

const turns = new Map<string, readonly (number | undefined)[]>([['fmtl', [10, 30, undefined, 40]], ['torch', [20, 20, 20, 10]], ['absent', [undefined]]])

test('a ratio compares figures of the same turn, not of the medians', t => {
  t.deepEqual(ratios(turns, 'fmtl', 'torch'), { median: 1.5, min: 0.5, max: 4, runs: 3 })
})

test('without a turn of both there is no ratio, and without a figure no spread', t => {
  t.is(ratios(turns, 'fmtl', 'absent'), undefined)
  t.is(ratios(turns, 'nobody', 'torch'), undefined)
  t.is(overTurns(turns, 'absent'), undefined)
  t.deepEqual(overTurns(turns, 'fmtl'), { median: 30, min: 10, max: 40, runs: 3 })
})

test('every contestant begins once', t => {
  t.deepEqual([0, 1, 2, 3].map(turn => inTurn(['a', 'b', 'c'], turn).join('')), ['abc', 'bca', 'cab', 'abc'])
})

test('rows are read between the lines that frameworks print', t => {
  const row = { bench: 'split', impl: 'fmtl', samplesPerSecond: 3 }
  t.deepEqual(rowsOf(`INFO : hello\n${JSON.stringify(row)}\n{broken\n{"type":"summary"}\n`), [row as never])
})

test('a command that fails says why, one that hangs is ended with what it started', async t => {
  const node = (script: string): Parameters<typeof measure>[0] => ({ name: 'bench', file: process.execPath, args: ['-e', script] })
  const failed = await measure(node('console.error("no such thing"); process.exit(3)'), 30_000)
  t.is(failed.reason, 'bench: no such thing (status 3)')
  t.regex((await measure({ name: 'x', file: '/nowhere/at-all', args: [] }, 30_000)).reason ?? '', /ENOENT/)
  const hung = await measure(node('require("child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "inherit" }); setInterval(() => {}, 1000)'), 500)
  t.regex(hung.reason ?? '', /^bench: no result after 0\.5 s$/) // its output closes only when the child of the child has ended too
})
