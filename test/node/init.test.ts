import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import test from 'ava'
import { configTemplate } from '../../node/config/template.ts'
import { folderOf } from '../helpers/files.ts'
import { loadConfig } from '../../node/config/config.ts'
import { loadOrCreateIdentity } from '../../node/store/identity.ts'
import schema from '../../node/config/config.schema.json' with { type: 'json' }
import type { ExecutionContext } from 'ava'

const COMMAND = fileURLToPath(new URL('../../scripts/fmtl-node.mjs', import.meta.url))
// the cpu rung loads in no time
const ENV = { ...process.env, FMTL_BACKEND: 'cpu', FMTL_HOME: '', FMTL_CONFIG: '', FMTL_PASSPHRASE: '', FMTL_PASSPHRASE_FILE: '' }

interface Result { readonly status: number | null, readonly stdout: string, readonly stderr: string }

function init (home: string, args: readonly string[] = [], env: Record<string, string> = {}): Result {
  return spawnSync(process.execPath, [COMMAND, 'init', '--home', home, ...args], { encoding: 'utf8', env: { ...ENV, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
}

async function filesOf (folder: string): Promise<Map<string, Buffer>> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true })
  return new Map(await Promise.all(names.filter(entry => entry.isFile()).map(async entry => {
    const path = join(entry.parentPath, entry.name)
    return [path, await readFile(path)] as const
  })))
}

test('init makes a home that only its owner sees, and a second time changes nothing', async t => {
  const home = join(await folderOf(t, {}), 'deep', 'home')
  const first = init(home, ['--name', 'Clinic A', '--format', 'json'])
  t.is(first.status, 0, first.stderr)
  const report = JSON.parse(first.stdout) as Record<string, unknown>
  t.like(report, { success: true, home, name: 'Clinic A', sealed: false, changed: ['home', 'identity', 'config.yaml'], problems: [] })
  t.regex(String(report.backend), /^cpu/)
  t.is(report.peer, (await loadOrCreateIdentity(join(home, 'identity'))).publicKey.toString())
  if (process.platform !== 'win32') {
    t.is((await stat(home)).mode & 0o777, 0o700)
    for (const path of (await filesOf(home)).keys()) t.is((await stat(path)).mode & 0o777, 0o600, path)
  }
  t.is(loadConfig({ env: { FMTL_HOME: home } }).node.name, 'Clinic A')

  const before = await filesOf(home)
  const second = init(home)
  t.is(second.status, 0)
  t.regex(second.stdout, /^nothing to do: /)
  t.true(second.stdout.includes(String(report.peer)))
  t.regex(second.stdout, /\n {2}fmtl-node data check /)
  t.deepEqual(await filesOf(home), before)
})

test('an existing key is sealed and opened in place, and another name in config.yaml is left as it is', async t => {
  const home = join(await folderOf(t, {}), 'home')
  const { peer } = JSON.parse(init(home, ['--name', 'A', '--format', 'json']).stdout) as { peer: string }
  const plain = await readFile(join(home, 'identity'))
  const secret = { FMTL_PASSPHRASE: 'a secret of some length' }

  const none = init(home, ['--passphrase', '--yes'])
  t.is(none.status, 2)
  t.regex(none.stderr, /^fmtl-node: the identity needs a passphrase[^\n]+\n$/)
  t.deepEqual(await readFile(join(home, 'identity')), plain)

  const sealed = init(home, ['--passphrase', '--format', 'json', '--name', 'B'], secret)
  t.like(JSON.parse(sealed.stdout), { peer, sealed: true, name: 'A', changed: ['identity (sealed)'] })
  t.regex(sealed.stdout, /node\.name there is A/)
  t.false(sealed.stdout.includes(secret.FMTL_PASSPHRASE))
  t.not((await readFile(join(home, 'identity'))).length, plain.length)
  t.is(init(home, [], { FMTL_PASSPHRASE: 'another' }).status, 2)

  const unasked = init(home, ['--no-passphrase'], secret)
  t.is(unasked.status, 2)
  t.regex(unasked.stderr, /needs a yes.*; next: add --yes\n$/)
  t.like(JSON.parse(init(home, ['--no-passphrase', '--yes', '--format', 'json'], secret).stdout), { peer, sealed: false, changed: ['identity (opened)'] })
  t.deepEqual(await readFile(join(home, 'identity')), plain)
})

test('what cannot be is one line and its exit status', async t => {
  const home = join(await folderOf(t, { file: '' }), 'home')
  const cases = [
    [init(home, ['--name', 'two\nlines']), 2],
    [init(home, ['--name', 'x'.repeat(80)]), 2],
    [init(join(home, '..', 'file', 'home')), 20]
  ] as const
  for (const [{ status, stderr }, want] of cases) {
    t.is(status, want)
    t.regex(stderr, /^fmtl-node: [^\n]+\n$/)
  }
})

test('a home that others may look into is said', async t => {
  const home = await folderOf(t, {})
  await chmod(home, 0o755)
  const { status, stdout } = init(home)
  t.is(status, 0)
  t.regex(stdout, process.platform === 'win32' ? /home/ : /^problem: other users may look into \S+: chmod 700 /m)
})

test('the template mentions every setting and sets none but those that are given', t => {
  const text = configTemplate({ node: { name: 'Clinic: A' } })
  for (const [section, { properties = {} }] of Object.entries(schema.properties as Record<string, { properties?: object }>)) {
    t.regex(text, new RegExp(`^(# )?${section}:`, 'm'))
    for (const key of Object.keys(properties)) t.regex(text, new RegExp(`^(# )? {2}${key}:`, 'm'), `${section}.${key}`)
  }
  t.deepEqual(text.split('\n').filter(line => line !== '' && !line.startsWith('#')), ['node:', '  name: "Clinic: A"'])
})

test('the defaults that the template shows are the defaults', async t => {
  const text = configTemplate({})
  const settings = text.split('\n')
    .filter(line => /^# ( *)[a-zA-Z]+:( |$)/.test(line) && !line.includes('<') && !/ (home|name): /.test(line) && !/: [a-z]+ [a-z]+/.test(line))
    .map(line => line.slice(2))
    .filter(line => !/^[a-z]+: \w+;/.test(line.trim()))
  const file = join(await folderOf(t, {}), 'config.yaml')
  await writeFile(file, settings.join('\n'))
  const [shown, defaults] = [loadConfig({ env: {}, file, sets: ['data.path=scenes'] }), loadConfig({ env: { FMTL_CONFIG: '' }, sets: ['data.path=scenes', `node.home=${join(file, '..')}-absent`] })]
  t.deepEqual({ ...shown.node, home: '' }, { ...defaults.node, home: '' })
  t.deepEqual([shown.network, shown.logging], [defaults.network, defaults.logging])
  t.like(shown.charter, { projection: { strict: 'update' }, clock: { quorum: 1 }, cutCodec: 'f32' })
})

/** The seed in every spelling, also where it stands inside a longer base64. */
function spellings (seed: Buffer): Array<{ id: string, bytes: Buffer }> {
  const shifted = [0, 1, 2].flatMap(offset => {
    const text = Buffer.concat([Buffer.alloc(offset), seed]).toString('base64')
    return [{ id: `base64 at ${offset}`, text: text.slice(offset === 0 ? 0 : 4, 40) }]
  })
  return [
    { id: 'raw', bytes: seed },
    ...[{ id: 'hex', text: seed.toString('hex') }, { id: 'HEX', text: seed.toString('hex').toUpperCase() }, ...shifted,
      ...shifted.map(({ id, text }) => ({ id: `url ${id}`, text: text.replaceAll('+', '-').replaceAll('/', '_') }))
    ].map(({ id, text }) => ({ id, bytes: Buffer.from(text) }))
  ]
}

async function runUntilStarted (t: ExecutionContext, home: string, env: Record<string, string>): Promise<Buffer> {
  const child = spawn(process.execPath, ['--import', 'data:text/javascript,', COMMAND, 'up', '--home', home, '--data', 'scenes', '--client', 'camera-0', '--role', 'host', '--profile', 'testnet', '--format', 'json'],
    { env: { ...ENV, ...env, DEBUG: '*' }, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => { child.kill('SIGKILL') })
  const said: Buffer[] = []
  child.stderr.on('data', (part: Buffer) => { said.push(part) })
  for await (const line of createInterface({ input: child.stdout })) {
    said.push(Buffer.from(`${line}\n`))
    if (line.includes('"host:ready"')) child.kill('SIGTERM')
  }
  if (child.exitCode === null) await once(child, 'exit')
  t.is(child.exitCode, 0)
  return Buffer.concat(said)
}

for (const secret of [undefined, 'a passphrase that nobody guesses']) {
  test(`after init and a run ${secret === undefined ? 'without' : 'under'} a passphrase, the key is in no file and no log but the identity`, async t => {
    const home = join(await folderOf(t, {}), 'home')
    const env: Record<string, string> = secret === undefined ? {} : { FMTL_PASSPHRASE: secret }
    const made = init(home, [...secret === undefined ? [] : ['--passphrase'], '--yes'], env)
    t.is(made.status, 0, made.stderr)
    const seed = Buffer.from((await loadOrCreateIdentity(join(home, 'identity'), { env })).raw.subarray(0, 32))
    const log = await runUntilStarted(t, home, env)
    t.true(log.includes('node:started') && log.includes('libp2p'), 'the run is in the log, libp2p\'s own lines too')
    const looked = [...await filesOf(home), ['log', log] as const, ['init', Buffer.from(made.stdout + made.stderr)] as const]
    const found = looked.flatMap(([path, bytes]) => [...spellings(seed), ...secret === undefined ? [] : [{ id: 'passphrase', bytes: Buffer.from(secret) }]]
      .filter(spelling => bytes.includes(spelling.bytes)).map(({ id }) => `${path}: ${id}`))
    t.deepEqual(found, secret === undefined ? [`${join(home, 'identity')}: raw`] : [])
    const identity = await readFile(join(home, 'identity'))
    if (secret === undefined) t.is(privateKeyFromProtobuf(identity).type, 'Ed25519')
    // and the search can find something
    const planted = Buffer.from(`key=${Buffer.concat([Buffer.from('ab'), seed]).toString('base64url')}`)
    t.true(spellings(seed).some(({ bytes }) => planted.includes(bytes)))
  })
}
