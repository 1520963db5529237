import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import test from 'ava'
import { loadOrCreateIdentity, seededIdentity } from '../../node/store/identity.ts'
import { DataError, ResourceError } from '../../src/errors.ts'
import type { ExecutionContext } from 'ava'

async function home (t: ExecutionContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fmtl-identity-'))
  t.teardown(async () => { await rm(dir, { recursive: true, force: true }) })
  return dir
}

const onPosix = process.platform === 'win32' ? test.skip : test

test('a key is made once and found again', async t => {
  const dir = join(await home(t), 'new', 'home')
  const made = await loadOrCreateIdentity(join(dir, 'identity'))
  const found = await loadOrCreateIdentity(join(dir, 'identity'))
  t.is(made.type, 'Ed25519')
  t.true(found.equals(made))
  t.deepEqual(await readdir(dir), ['identity'])
})

onPosix('nobody but the owner can read the key or its folder', async t => {
  const dir = join(await home(t), 'home')
  await loadOrCreateIdentity(join(dir, 'identity'))
  t.is((await stat(dir)).mode & 0o777, 0o700)
  t.is((await stat(join(dir, 'identity'))).mode & 0o777, 0o600)
})

for (const mode of [0o640, 0o604, 0o620, 0o666]) {
  onPosix(`a key with mode ${mode.toString(8)} is refused, with the command that mends it`, async t => {
    const path = join(await home(t), 'identity')
    await loadOrCreateIdentity(path)
    await chmod(path, mode)
    const err = await t.throwsAsync(loadOrCreateIdentity(path), { instanceOf: ResourceError })
    t.false(err?.message.includes('\n'))
    t.is(err?.next, `chmod 600 ${path}`)
    await chmod(path, 0o600)
    await t.notThrowsAsync(loadOrCreateIdentity(path))
  })
}

test('a key with any byte changed or cut off is refused and left as it is', async t => {
  const path = join(await home(t), 'identity')
  await loadOrCreateIdentity(path)
  const good = await readFile(path)
  const damaged = [
    ...good.keys().map(i => good.subarray(0, i)),
    ...good.keys().map(i => good.with(i, (good[i] as number) ^ 1)),
    new Uint8Array(5000)
  ]
  for (const [i, bytes] of damaged.entries()) {
    await writeFile(path, bytes)
    await t.throwsAsync(loadOrCreateIdentity(path), { instanceOf: DataError }, `damage ${i}`)
    t.deepEqual(new Uint8Array(await readFile(path)), new Uint8Array(bytes))
  }
})

test('a key of another kind is refused', async t => {
  const path = join(await home(t), 'identity')
  await writeFile(path, privateKeyToProtobuf(await generateKeyPair('secp256k1')), { mode: 0o600 })
  await t.throwsAsync(loadOrCreateIdentity(path), { instanceOf: DataError })
})

test('a home that cannot be is one line', async t => {
  const file = join(await home(t), 'file')
  await writeFile(file, '')
  const err = await t.throwsAsync(loadOrCreateIdentity(join(file, 'home', 'identity')), { instanceOf: ResourceError })
  t.false(err?.message.includes('\n'))
})

test('seeded keys depend on seed and label and nothing else', async t => {
  const ids = await Promise.all([[1, 'host0'], [1, 'host0'], [2, 'host0'], [1, 'host1'], [12, ''], [1, '2']].map(async ([seed, label]) =>
    (await seededIdentity(seed as number, label as string)).publicKey.toString()))
  t.is(ids[0], ids[1])
  t.is(new Set(ids).size, 5)
})
