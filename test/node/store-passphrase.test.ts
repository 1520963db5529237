import { EventEmitter } from 'node:events'
import { chmod, readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { privateKeyToProtobuf } from '@libp2p/crypto/keys'
import test from 'ava'
import fc from 'fast-check'
import { DataError, DecodeError, FmtlError, InvalidParametersError, ResourceError } from '../../src/errors.ts'
import { encodeCanonical } from '../../src/membership/encoding.ts'
import { findPassphrase } from '../../node/store/passphrase.ts'
import { folderOf } from '../helpers/files.ts'
import { identityAt, loadOrCreateIdentity, protectIdentity } from '../../node/store/identity.ts'
import { isSealed, readSealed, sealKey } from '../../node/store/sealed-key.ts'
import type { IdentityInit } from '../../node/store/identity.ts'
import type { Terminal } from '../../node/store/passphrase.ts'

/** The real cost takes half a second a try. */
const CHEAP = { N: 2 ** 8, r: 8, p: 1 }
const SECRET = 'correct horse battery staple'
const GIVEN: IdentityInit = { env: { FMTL_PASSPHRASE: SECRET }, cost: CHEAP }
const NO_TERMINAL: Terminal = { input: Object.assign(new EventEmitter(), { isTTY: false, setRawMode: () => {}, resume: () => {}, pause: () => {} }) as Terminal['input'], output: { write: () => {} } }
const onPosix = process.platform === 'win32' ? test.skip : test

function oneLine (err: FmtlError | undefined): string {
  const line = `${err?.message}; next: ${err?.next}`
  return line.includes('\n') || line.includes(SECRET) ? 'several lines, or the secret itself' : line
}

test('a key under a passphrase is found again, and its file shows none of it', async t => {
  const path = join(await folderOf(t, {}), 'home', 'identity')
  const made = await identityAt(path, GIVEN)
  t.deepEqual([made.made, made.sealed], [true, true])
  const found = await identityAt(path, GIVEN)
  t.deepEqual([found.made, found.sealed, found.key.equals(made.key)], [false, true, true])
  const bytes = await readFile(path)
  t.false(bytes.includes(Buffer.from(made.key.raw).subarray(0, 32)))
  t.true(bytes.byteLength < 400)
  t.is((await stat(path)).mode & 0o777, 0o600)
})

test('two files of one key share neither salt nor nonce', async t => {
  const key = new Uint8Array(68).fill(7)
  const [a, b] = await Promise.all([1, 2].map(async () => readSealed(await sealKey(key, Buffer.from(SECRET), CHEAP))))
  t.notDeepEqual(a?.salt, b?.salt)
  t.notDeepEqual(a?.nonce, b?.nonce)
})

test('the default cost is 128 MiB of scrypt, and the loop goes on meanwhile', async t => {
  let turns = 0
  const timer = setInterval(() => { turns++ }, 5)
  const file = await sealKey(new Uint8Array(68), Buffer.from(SECRET))
  clearInterval(timer)
  t.deepEqual(readSealed(file).cost, { N: 2 ** 17, r: 8, p: 1 })
  t.true(turns > 5, `${turns} turns`)
})

test('a wrong passphrase, and none, are one line each', async t => {
  const path = join(await folderOf(t, {}), 'identity')
  await loadOrCreateIdentity(path, GIVEN)
  const wrong = await t.throwsAsync(loadOrCreateIdentity(path, { env: { FMTL_PASSPHRASE: `${SECRET}!` } }), { instanceOf: InvalidParametersError })
  t.regex(oneLine(wrong), /^the passphrase does not open .*identity; next: try again/)
  const none = await t.throwsAsync(loadOrCreateIdentity(path, { env: {}, terminal: NO_TERMINAL }), { instanceOf: InvalidParametersError })
  t.regex(oneLine(none), /^the identity needs a passphrase and none is given; next: set FMTL_PASSPHRASE_FILE/)
})

test('a file with any byte flipped or cut off is refused as damaged, before a passphrase is asked for, and left as it is', async t => {
  const path = join(await folderOf(t, {}), 'identity')
  await loadOrCreateIdentity(path, GIVEN)
  const good = await readFile(path)
  const changed = [...good.keys()].flatMap(i => [good.subarray(0, i), good.with(i, (good[i] as number) ^ 1), good.with(i, (good[i] as number) ^ 0x80)])
  for (const [i, bytes] of [...changed, Buffer.concat([good, Buffer.from([0])]), Buffer.alloc(5000)].entries()) {
    await writeFile(path, bytes)
    const err = await t.throwsAsync(loadOrCreateIdentity(path, { env: {}, terminal: NO_TERMINAL }), { instanceOf: DataError }, `change ${i}`)
    t.regex(oneLine(err), /^\S+identity is no Ed25519 key, or a damaged one; next: restore it/)
    t.deepEqual(new Uint8Array(await readFile(path)), new Uint8Array(bytes))
  }
})

test('whoever repairs the checksum after a change still does not get past the seal', async t => {
  const path = join(await folderOf(t, {}), 'identity')
  await loadOrCreateIdentity(path, GIVEN)
  const good = await readFile(path)
  const body = good.subarray(48)
  let opened = 0
  for (const i of body.keys()) {
    const forged = body.with(i, (body[i] as number) ^ 1)
    await writeFile(path, Buffer.concat([good.subarray(0, 16), createHash('sha256').update(forged).digest(), forged]))
    const err = await t.throwsAsync(loadOrCreateIdentity(path, GIVEN), { instanceOf: FmtlError }, `byte ${i}`)
    t.regex(oneLine(err), /does not open|is no Ed25519 key/)
    if (err instanceof InvalidParametersError) opened++
  }
  t.true(opened > 100, `${opened} of ${body.byteLength} reached the seal`)
})

function forge (header: Record<string, unknown>, sealed: unknown = new Uint8Array(84)): Buffer {
  const body = encodeCanonical([header, sealed])
  return Buffer.concat([Buffer.from('fmtl identity 1\n'), createHash('sha256').update(body).digest(), body])
}

const HEADER = { kdf: 'scrypt', N: 2 ** 17, r: 8, p: 1, salt: new Uint8Array(16), cipher: 'chacha20-poly1305', nonce: new Uint8Array(12) }
const HOSTILE: ReadonlyArray<{ id: string, change: Record<string, unknown>, message: RegExp }> = [
  { id: 'gigabytes', change: { N: 2 ** 24 }, message: /16385 MiB|16384 MiB/ },
  { id: 'gigabytes by r', change: { N: 2 ** 17, r: 64 }, message: /MiB, at most 256/ },
  { id: 'an N above all', change: { N: 2 ** 40 }, message: /N must be/ },
  { id: 'an N that is no power of two', change: { N: 100_000 }, message: /power of two/ },
  { id: 'an N of nought', change: { N: 0 }, message: /N must be/ },
  { id: 'a negative r', change: { r: -1 }, message: /r must be/ },
  { id: 'an r of text', change: { r: '8' }, message: /r must be/ },
  { id: 'a p of thousands', change: { p: 5000 }, message: /p must be/ },
  { id: 'a short salt', change: { salt: new Uint8Array(8) }, message: /salt must be/ },
  { id: 'another kdf', change: { kdf: 'none' }, message: /kdf must be/ },
  { id: 'another cipher', change: { cipher: 'null' }, message: /cipher must be/ },
  { id: 'a field too many', change: { more: 1 }, message: /'more' is no field/ }
]
for (const { id, change, message } of HOSTILE) {
  test(`a file that asks for ${id} is refused before anything is computed`, t => {
    t.notThrows(() => readSealed(forge(HEADER)))
    t.throws(() => readSealed(forge({ ...HEADER, ...change })), { instanceOf: DecodeError, message })
  })
}

test('any bytes behind the magic are a sealed key or a DecodeError', t => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, sound) => {
    const head = Buffer.from('fmtl identity 1\n')
    const hash = sound ? createHash('sha256').update(bytes).digest() : Buffer.alloc(32)
    try {
      readSealed(Buffer.concat([head, hash, bytes]))
    } catch (err) {
      if (!(err instanceof DecodeError)) throw err
    }
  }), { numRuns: 3000 })
  t.pass()
})

test('a plain key is sealed in place and opened again, and stays the same key', async t => {
  const folder = await folderOf(t, {})
  const path = join(folder, 'identity')
  const { key } = await identityAt(path, { env: {} })
  const plain = await readFile(path)
  t.true(await protectIdentity(path, true, GIVEN))
  t.false(await protectIdentity(path, true, GIVEN))
  t.true(isSealed(await readFile(path)))
  t.true((await loadOrCreateIdentity(path, GIVEN)).equals(key))
  t.true(await protectIdentity(path, false, GIVEN))
  t.false(await protectIdentity(path, false, GIVEN))
  t.deepEqual(await readFile(path), plain)
  t.deepEqual(await readdir(folder), ['identity'])
  t.is((await stat(path)).mode & 0o777, 0o600)
})

test('a plain key needs no passphrase, also where one is set', async t => {
  const path = join(await folderOf(t, {}), 'identity')
  const { key } = await identityAt(path, { env: {} })
  t.false((await identityAt(path, GIVEN)).sealed)
  t.deepEqual(await readFile(path), Buffer.from(privateKeyToProtobuf(key)))
})

onPosix('the passphrase may lie in a file, which only its owner may read', async t => {
  const folder = await folderOf(t, { secret: `${SECRET}\n`, empty: '\n', long: 'x'.repeat(5000) })
  for (const name of ['secret', 'empty', 'long']) await chmod(join(folder, name), 0o600)
  const env = (name: string): IdentityInit => ({ env: { FMTL_PASSPHRASE_FILE: join(folder, name) }, terminal: NO_TERMINAL })
  t.is(Buffer.from(await findPassphrase('open', env('secret'))).toString(), SECRET)
  t.regex(oneLine(await t.throwsAsync(findPassphrase('open', env('empty')), { instanceOf: InvalidParametersError })), /is empty/)
  t.regex(oneLine(await t.throwsAsync(findPassphrase('open', env('long')), { instanceOf: InvalidParametersError })), /at most 1024 bytes/)
  t.regex(oneLine(await t.throwsAsync(findPassphrase('open', env('absent')), { instanceOf: ResourceError })), /there is no file/)
  await chmod(join(folder, 'secret'), 0o640)
  t.regex(oneLine(await t.throwsAsync(findPassphrase('open', env('secret')), { instanceOf: ResourceError })), /other users may read .*mode 640.*; next: chmod 600/)
})

class FakeTerminal extends EventEmitter {
  readonly isTTY = true
  readonly modes: boolean[] = []
  readonly answers: string[]
  shown = ''
  constructor (...answers: string[]) {
    super()
    this.answers = answers
  }

  readonly terminal: Terminal = { input: this, output: { write: text => { this.shown += text } } }
  setRawMode (raw: boolean): void { this.modes.push(raw) }
  resume (): void {
    const answer = this.answers.shift()
    if (answer !== undefined) setImmediate(() => { for (const letter of answer) this.emit('data', Buffer.from(letter)) })
  }

  pause (): void {}
}

test('a terminal asks once to open and twice to set, and shows nothing of the answer', async t => {
  const once = new FakeTerminal(`wrög\x7f\x7f\x7f\x7f${SECRET}\r`)
  t.is(Buffer.from(await findPassphrase('open', { env: {}, terminal: once.terminal })).toString(), SECRET)
  t.deepEqual([once.shown, once.modes, once.listenerCount('data')], ['Passphrase of the identity: \n', [true, false], 0])
  const twice = new FakeTerminal(`${SECRET}\n`, `${SECRET}\n`)
  t.is(Buffer.from(await findPassphrase('set', { env: {}, terminal: twice.terminal })).toString(), SECRET)
  t.false(twice.shown.includes('correct'))
})

const ANSWERS: ReadonlyArray<{ id: string, answers: string[], code: string }> = [
  { id: 'two answers that differ', answers: ['one\n', 'two\n'], code: 'ERR_INVALID_PARAMETERS' },
  { id: 'an empty answer', answers: ['\n'], code: 'ERR_INVALID_PARAMETERS' },
  { id: 'an answer without end', answers: ['x'.repeat(2000)], code: 'ERR_INVALID_PARAMETERS' },
  { id: 'Ctrl-C', answers: ['abc\x03'], code: 'ERR_INTERRUPTED' },
  { id: 'no answer', answers: [], code: 'ERR_DEADLINE' }
]
for (const { id, answers, code } of ANSWERS) {
  test(`${id} ends the question, and the terminal echoes again`, async t => {
    const fake = new FakeTerminal(...answers)
    const err = await t.throwsAsync<FmtlError>(findPassphrase('set', { env: {}, terminal: fake.terminal, answerMs: answers.length === 0 ? 20 : 5000 }), { instanceOf: FmtlError, code })
    t.false(oneLine(err).includes('several'))
    t.is(fake.modes.at(-1), false)
    t.is(fake.listenerCount('data'), 0)
  })
}
