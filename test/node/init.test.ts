import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, readFile, readdir, stat } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import test from 'ava'
import { InvalidParametersError, ResourceError } from '../../src/errors.ts'
import { configTemplate } from '../../node/config/template.ts'
import { describeInit, initHome } from '../../node/cli/init.ts'
import { folderOf } from '../helpers/files.ts'
import { loadConfig } from '../../node/config/config.ts'
import { loadOrCreateIdentity } from '../../node/store/identity.ts'
import schema from '../../node/config/config.schema.json' with { type: 'json' }
import type { Examination } from '../../node/cli/doctor.ts'
import type { ExecutionContext } from 'ava'
import type { InitFlags, InitReport } from '../../node/cli/init.ts'

const COMMAND = fileURLToPath(new URL('../../scripts/fmtl-node.mjs', import.meta.url))
const ENV = { ...process.env, FMTL_BACKEND: 'wasm', FMTL_HOME: '', FMTL_CONFIG: '', FMTL_PASSPHRASE: '', FMTL_PASSPHRASE_FILE: '' }

const HERE: Examination = { backend: 'cpu', rungs: [{ name: 'cpu', loads: true, gflops: 2, trainStepMs: 40, device: null, software: false, reason: null }], problems: [], next: 'fmtl-node testnet up' }

async function init (flags: InitFlags, env: Record<string, string> = {}): Promise<InitReport> {
  return await initHome(flags, { env, look: async () => HERE })
}

async function command (env: Record<string, string>, ...args: string[]): Promise<{ status: number, stdout: string, stderr: string }> {
  return await new Promise(resolve => {
    execFile(process.execPath, [COMMAND, 'init', ...args], { env: { ...ENV, ...env }, timeout: 60_000 }, (err, stdout, stderr) => {
      resolve({ status: err === null ? 0 : Number(err.code), stdout, stderr })
    }).stdin?.end()
  })
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
  const report = await init({ home, name: 'Clinic A' })
  t.like(report, { success: true, home, name: 'Clinic A', sealed: false, changed: ['home', 'identity', 'config.yaml'], problems: [], backend: 'cpu, 2 GFLOPS, 40 ms per training step' })
  t.is(report.peer, (await loadOrCreateIdentity(join(home, 'identity'))).publicKey.toString())
  if (process.platform !== 'win32') {
    t.is((await stat(home)).mode & 0o777, 0o700)
    for (const path of (await filesOf(home)).keys()) t.is((await stat(path)).mode & 0o777, 0o600, path)
  }
  t.is(loadConfig({ env: { FMTL_HOME: home } }).node.name, 'Clinic A')

  const before = await filesOf(home)
  const again = await init({ home })
  t.deepEqual(again, { ...report, changed: [] })
  t.regex(describeInit(again), /^nothing to do: /)
  t.regex(describeInit(again), new RegExp(`${report.peer}.*\\n[^]*\\n {2}fmtl-node data check `))
  t.deepEqual(await filesOf(home), before)
})

test('an existing key is sealed and opened in place, and another name in config.yaml is left as it is', async t => {
  const home = join(await folderOf(t, {}), 'home')
  const { peer } = await init({ home, name: 'A' })
  const plain = await readFile(join(home, 'identity'))
  const secret = { FMTL_PASSPHRASE: 'a secret of some length' }
  await t.throwsAsync(init({ home, passphrase: true, yes: true }), { instanceOf: InvalidParametersError, message: /needs a passphrase/ })
  t.deepEqual(await readFile(join(home, 'identity')), plain)

  const sealed = await init({ home, passphrase: true, name: 'B' }, secret)
  t.like(sealed, { peer, sealed: true, name: 'A', changed: ['identity (sealed)'] })
  t.regex(sealed.problems.join(), /node\.name there is A/)
  t.not((await readFile(join(home, 'identity'))).length, plain.length)
  await t.throwsAsync(init({ home }, { FMTL_PASSPHRASE: 'another' }), { instanceOf: InvalidParametersError, message: /does not open/ })

  const unasked = await t.throwsAsync<InvalidParametersError>(init({ home, passphrase: false }, secret), { instanceOf: InvalidParametersError, message: /needs a yes/ })
  t.is(unasked?.next, 'add --yes')
  t.like(await init({ home, passphrase: false, yes: true }, secret), { peer, sealed: false, changed: ['identity (opened)'] })
  t.deepEqual(await readFile(join(home, 'identity')), plain)
})

test('what cannot be is refused and nothing is made', async t => {
  const folder = await folderOf(t, { file: '' })
  const home = join(folder, 'home')
  for (const name of ['two\nlines', 'x'.repeat(80), '', ' a', '\u202eevil']) await t.throwsAsync(init({ home, name }), { instanceOf: InvalidParametersError }, name)
  await t.throwsAsync(init({ home: join(folder, 'file', 'home') }), { instanceOf: ResourceError })
  t.deepEqual(await readdir(folder), ['file'])
})

test('a home that others may look into is said', async t => {
  const home = await folderOf(t, {})
  await chmod(home, 0o755)
  const { problems } = await init({ home })
  t.regex(problems.join(), process.platform === 'win32' ? /^$/ : /^other users may look into \S+: chmod 700 /)
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
  // settings are '# key: value' and '#   key: value'; what has no default shows <what it takes>
  const known = new Set(keysOf(schema as Shape))
  const settings = configTemplate({}).split('\n').map(line => line.replace(/^# /, '')).filter(line => {
    const [, key = '', value = ''] = /^ *([a-zA-Z]+):(.*)$/.exec(line) ?? []
    return known.has(key) && !value.includes('<') && key !== 'home' && key !== 'tasks' && key !== 'data'
  })
  const file = join(await folderOf(t, { 'config.yaml': settings.join('\n') }), 'config.yaml')
  const [shown, defaults] = [loadConfig({ env: { FMTL_HOME: '/absent' }, file }), loadConfig({ env: { FMTL_HOME: '/absent' } })]
  t.deepEqual({ ...shown, charter: undefined }, { ...defaults, charter: undefined })
  t.like(shown.charter, { projection: { strict: 'update' }, clock: { quorum: 1 }, cutCodec: 'f32' })
})

interface Shape { readonly properties?: Readonly<Record<string, Shape>> }
function keysOf ({ properties = {} }: Shape): string[] { return Object.entries(properties).flatMap(([key, shape]) => [key, ...keysOf(shape)]) }

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
  const child = spawn(process.execPath, [COMMAND, 'up', '--home', home, '--data', 'scenes', '--client', 'camera-0', '--role', 'host', '--profile', 'testnet', '--format', 'json'],
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
  test.serial(`after init and a run ${secret === undefined ? 'without' : 'under'} a passphrase, the key is in no file and no log but the identity`, async t => {
    const home = join(await folderOf(t, {}), 'home')
    const env: Record<string, string> = secret === undefined ? {} : { FMTL_PASSPHRASE: secret }
    const made = await command(env, '--home', home, ...secret === undefined ? [] : ['--passphrase'], '--yes', '--format', 'json')
    t.is(made.status, 0, made.stderr)
    t.true((JSON.parse(made.stdout) as InitReport).success)
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
