/** A mistake in the configuration ends a command in one line, with exit status 2, whichever way it came. */
import { join } from 'node:path'
import test from 'ava'
import { createProgram, runProgram } from '../../node/cli/program.ts'
import { folderOf } from '../helpers/files.ts'
import { loadConfig } from '../../node/config/config.ts'
import { nearest } from '../../node/config/nearest.ts'
import type { Voice } from '../../node/cli/program.ts'

/** `plan` reads the configuration first, and does nothing else where that fails. */
async function command (...args: string[]): Promise<{ status: unknown, stdout: string, stderr: string }> {
  const said = { stdout: '', stderr: '' }
  const voice: Voice = { stdout: { write: text => { said.stdout += text } }, stderr: { write: text => { said.stderr += text } } }
  await runProgram(createProgram(), ['node', 'fmtl-node', 'plan', ...args], voice)
  return { status: voice.exitCode, ...said }
}

const FILES: ReadonlyArray<{ id: string, text: string, want: RegExp }> = [
  { id: 'an unknown key', text: 'node: { colour: red }', want: /node\.colour is no setting; next: known: name, home/ },
  { id: 'a slip of the finger', text: 'node: { slot: 3 }', want: /node\.slot is no setting; next: did you mean slots\? known: / },
  { id: 'two letters swapped', text: 'charter: { clock: { qourum: 2 } }', want: /charter\.clock\.qourum is no setting; next: did you mean quorum\?/ },
  { id: 'a slip in a section', text: 'netwrok: {}', want: /netwrok is no setting; next: did you mean network\?/ },
  { id: 'a key in capitals', text: 'node: { Name: x }', want: /did you mean name\?/ },
  { id: 'a wrong type', text: 'node: { slots: many }', want: /node\.slots is "many", not a whole number/ },
  { id: 'a number as text', text: 'node: { slots: "4" }', want: /node\.slots is "4", not a whole number/ },
  { id: 'a section as a list', text: 'node: [a]', want: /node is \["a"\], not a section/ },
  { id: 'nothing where a section is expected', text: 'network:', want: /network is null, not a section/ },
  { id: 'port -1', text: 'network: { listen: [/ip4/0.0.0.0/tcp/-1] }', want: /network\.listen: '\/ip4\/0\.0\.0\.0\/tcp\/-1' is no address: port -1 is no number from 0 to 65535; next: / },
  { id: 'port 65536', text: 'network: { listen: [/ip4/0.0.0.0/tcp/65536] }', want: /port 65536 is no number from 0 to 65535/ },
  { id: 'a port in words', text: 'network: { bootstrap: [/ip4/192.0.2.7/tcp/http] }', want: /network\.bootstrap: .* port http is no number/ },
  { id: 'an address that is none', text: 'network: { listen: [192.0.2.7:4001] }', want: /'192\.0\.2\.7:4001' is no address: [^\n]+; next: write it as \/ip4/ },
  { id: 'an IP that is none', text: 'network: { listen: [/ip4/999.0.0.1/tcp/1] }', want: /is no address/ },
  { id: '__proto__', text: '__proto__: { slots: 1 }', want: /__proto__ is no setting/ },
  { id: '__proto__ deep down', text: 'charter: { model: { embedder: { __proto__: { kind: x } } } }', want: /__proto__ is no setting/ },
  { id: 'a huge file', text: `node: { name: a }\n${'#'.repeat(2 ** 20)}`, want: /1048594 bytes, at most 262144 are read/ },
  { id: 'a huge text', text: `node: { name: ${'x'.repeat(200_000)} }`, want: /node\.name is "x+\.\.\., it must NOT have more than 64 characters/ },
  { id: 'an endless key', text: `${'k'.repeat(900)}: 1`, want: /k{900} is no setting/ }
]
for (const { id, text, want } of FILES) {
  test(`${id} in the file is one line and exit status 2`, async t => {
    const file = join(await folderOf(t, { 'settings.yaml': text }), 'settings.yaml')
    const { status, stdout, stderr } = await command('--config', file)
    t.is(status, 2, stderr)
    t.regex(stderr, /^fmtl-node: [^\n]+\n$/)
    t.regex(stderr, want)
    t.is(stdout, '')
    t.is(({} as Record<string, unknown>).slots, undefined)
  })
}

const SETS: ReadonlyArray<{ id: string, set: string, want: RegExp }> = [
  { id: 'a slip of the finger', set: 'charter.merge.momentun=0.9', want: /did you mean momentum\?/ },
  { id: 'a port above all', set: 'network.listen=/ip4/127.0.0.1/tcp/70000', want: /port 70000 is no number/ },
  { id: '__proto__', set: 'charter.model.__proto__.a=1', want: /__proto__ is no setting/ }
]
for (const { id, set, want } of SETS) {
  test(`${id} in --set is one line and exit status 2, also as JSON`, async t => {
    const { status, stdout, stderr } = await command('--set', set, '--format', 'json')
    t.is(status, 2)
    t.regex(stderr, want)
    t.is(stderr.trimEnd().split('\n').length, 1)
    t.like(JSON.parse(stdout), { success: false, code: 'ERR_INVALID_PARAMETERS' })
  })
}

test('port 0 is any free port, and addresses of every kind are read', t => {
  const listen = ['/ip4/127.0.0.1/tcp/0', '/ip6/::/tcp/65535', '/dns4/hub.example/tcp/4001']
  t.deepEqual(loadConfig({ env: { FMTL_HOME: '/absent' }, flags: { 'network.listen': listen } }).network.listen, listen)
})

test('the nearest word is near', t => {
  t.is(nearest('rolle', ['role', 'rows']), 'role')
  t.is(nearest('colour', ['name', 'home', 'role']), undefined)
  t.is(nearest('x', ['y']), 'y')
  t.is(nearest('x'.repeat(65), ['x'.repeat(64)]), undefined)
})
