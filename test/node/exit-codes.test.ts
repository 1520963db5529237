import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { spawnSync } from 'node:child_process'
import test from 'ava'
import { EXIT_ROWS, exitStatus } from '../../node/cli/exit-codes.ts'
import { createProgram, runProgram } from '../../node/cli/program.ts'
import type { ExitRow } from '../../node/cli/exit-codes.ts'
import type { Voice } from '../../node/cli/program.ts'

const REPOSITORY = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const COMMAND = join(REPOSITORY, 'scripts', 'fmtl-node.mjs')
/** Codes of Node itself that the sources ask for. */
const NODES_OWN = new Set(['ERR_BUFFER_TOO_LARGE', 'ERR_SCRIPT_EXECUTION_TIMEOUT', 'ERR_WORKER_OUT_OF_MEMORY'])

function run (...args: string[]): { status: number | null, stdout: string, stderr: string } {
  return spawnSync(process.execPath, [COMMAND, ...args], { encoding: 'utf8' })
}

function codesIn (text: string): string[] { return [...text.matchAll(/\bERR_[A-Z_]+[A-Z]\b/g)].map(([code]) => code) }

test('every error code in the sources has an exit status', t => {
  const files = ['src', 'protocols', 'node', 'testnet', 'scripts'].flatMap(folder => (readdirSync(join(REPOSITORY, folder), { recursive: true }) as string[])
    .filter(name => /\.(ts|mjs)$/.test(name))
    .map(name => join(folder, name)))
  const codes = new Set(files.flatMap(file => codesIn(readFileSync(join(REPOSITORY, file), 'utf8'))))
  t.true(codes.size > 20, `${codes.size} codes in ${files.length} files`)
  const rows = new Set(EXIT_ROWS.map(({ code }) => code))
  t.deepEqual([...codes].filter(code => !rows.has(code) && !NODES_OWN.has(code)), [])
  t.deepEqual(codesIn("throw new FmtlError('ERR_NEW', x)"), ['ERR_NEW'])
})

test('a code has one row, a status is one that a shell can tell, and only 0, 3 and 55 are no errors', t => {
  const codes = EXIT_ROWS.flatMap(({ code }) => code ?? [])
  t.is(new Set(codes).size, codes.length)
  for (const { status, meaning } of EXIT_ROWS) {
    t.true(Number.isInteger(status) && status >= 0 && (status < 126 || status === 130), String(status))
    t.regex(meaning, /^[^\n]{4,80}$/)
  }
  t.deepEqual(EXIT_ROWS.filter(({ code }) => code === undefined).map(({ status }) => status), [0, 3, 55])
  t.is(exitStatus('ERR_DATA'), 10)
  t.is(exitStatus('ERR_NO_SUCH'), 1)
})

test('the table is printed as text, as JSON and as help', t => {
  const text = run('exit-codes')
  const json = run('exit-codes', '--format', 'json')
  t.deepEqual([text.status, json.status], [0, 0])
  t.regex(text.stdout, /^ +50 {2}ERR_PRIVACY +something that must stay at home/m)
  const rows = json.stdout.trimEnd().split('\n').map(line => JSON.parse(line) as ExitRow)
  t.deepEqual(rows.map(({ code, status }) => [code, status]), EXIT_ROWS.map(({ code, status }) => [code ?? null, status] as never))
  t.regex(run('help', 'exit-codes').stdout, /ERR_PRIVACY/)
})

const MISUSES: ReadonlyArray<{ id: string, args: string[], stderr: RegExp }> = [
  { id: 'an unknown option', args: ['doctor', '--formt', 'json'], stderr: /^fmtl-node: unknown option '--formt'; next: did you mean --format\?\n$/ },
  { id: 'an unknown command', args: ['docter'], stderr: /^fmtl-node: unknown command 'docter'; next: did you mean doctor\?\n$/ },
  { id: 'an unknown command of a group', args: ['data', 'chck'], stderr: /^fmtl-node: unknown command 'chck'; next: did you mean check\?\n$/ },
  { id: 'a missing argument', args: ['data', 'check'], stderr: /^fmtl-node: missing required argument 'path'; next: [^\n]+\n$/ },
  { id: 'one argument too many', args: ['doctor', 'twice'], stderr: /^fmtl-node: too many arguments[^\n]+; next: [^\n]+\n$/ },
  { id: 'an option without its value', args: ['up', '--home'], stderr: /^fmtl-node: option '--home <folder>' argument missing; next: [^\n]+\n$/ },
  { id: 'a format that is none', args: ['doctor', '--format', 'xml'], stderr: /^fmtl-node: option '--format <format>' argument 'xml' is invalid\. Allowed choices are text, json\.; next: [^\n]+\n$/ }
]
for (const { id, args, stderr } of MISUSES) {
  test(`${id} is one line and exit status 2`, async t => {
    const said = { stdout: '', stderr: '' }
    const voice: Voice = {
      stdout: { write: text => { said.stdout += text } },
      stderr: { write: text => { said.stderr += text } }
    }
    await runProgram(createProgram(), ['node', 'fmtl-node', ...args], voice)
    t.is(voice.exitCode, 2)
    t.regex(said.stderr, stderr)
    t.is(said.stdout, '')
  })
}

test('with --format json an error is also the last line of standard output', t => {
  for (const [args, code, status] of [
    [['doctor', '--format=json', '--fx'], 'ERR_INVALID_PARAMETERS', 2],
    [['up', '--format', 'json', '--charter', 'nowhere.json'], 'ERR_DATA', 10],
    [['testnet', 'up', '--format', 'json', '--data', 'nowhere'], 'ERR_DATA', 10]
  ] as const) {
    const result = run(...args)
    t.is(result.status, status)
    t.regex(result.stderr, /^fmtl-node: [^\n]+\n$/)
    const last = JSON.parse(result.stdout.trimEnd().split('\n').at(-1) as string) as Record<string, unknown>
    t.deepEqual([last.success, last.code, Object.keys(last)], [false, code, ['success', 'code', 'message', 'next']])
    t.true(result.stderr.includes(last.message as string))
  }
})

test('a node that fails while it runs says so in the same form', t => {
  const result = run('up', '--data', 'scenes', '--client', 'camera-0', '--role', 'client', '--backend', 'cpu', '--memory', '1', '--profile', 'testnet', '--format', 'json')
  t.is(result.status, 20, result.stderr)
  const lines = result.stdout.trimEnd().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
  t.like(lines.at(-1), { success: false, code: 'ERR_RESOURCE' })
  t.regex(result.stderr, /^fmtl-node: [^\n]+MiB[^\n]+\n$/m)
})

test('help and version are no errors', t => {
  t.is(run('--version').status, 0)
  t.is(run('up', '--help').status, 0)
  const group = run('data')
  t.is(group.status, 2)
  t.regex(group.stderr, /check/)
})
