import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, readdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { CheckpointStore } from '../../node/store/checkpoints.ts'
import { InvalidParametersError, ResourceError } from '../../src/errors.ts'
import { Random } from '../../src/random.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'
import type { ExecutionContext } from 'ava'

const WRITER = fileURLToPath(new URL('./checkpoint-writer.ts', import.meta.url))

async function folder (t: ExecutionContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fmtl-checkpoints-'))
  t.teardown(async () => { await rm(dir, { recursive: true, force: true }) })
  return dir
}

function state (step: number): NamedTensor[] {
  return [
    { name: 'head/a', tensor: { shape: [2, 3], data: Float32Array.of(step, 1, 2, 3, 4, 5) } },
    { name: 'head/a.step', tensor: { shape: [1], data: Float32Array.of(step) } }
  ]
}

async function newest (dir: string, suffix = '.safetensors'): Promise<string> {
  const names = (await readdir(dir)).filter(name => name.endsWith(suffix)).sort()
  return join(dir, names.at(-1) as string)
}

test('what was saved is loaded, and the last three are kept', async t => {
  const dir = join(await folder(t), 'checkpoints')
  const store = new CheckpointStore(dir)
  t.is(await store.latest(), undefined)
  for (const step of [1, 2, 10, 9, 11]) {
    const { bytes } = await store.save(step, state(step), { round: 'r' })
    t.true(bytes > 32)
  }
  t.deepEqual(await store.latest(), { step: 11, tensors: state(11), meta: { round: 'r' } })
  t.deepEqual((await readdir(dir)).map(name => Number(name.slice(0, 12))), [9, 10, 11])
  t.deepEqual(await new CheckpointStore(dir).latest(), await store.latest())
})

test('a step saved twice is the later one', async t => {
  const dir = await folder(t)
  const store = new CheckpointStore(dir, { keep: 2 })
  for (const [step, value] of [[1, 1], [2, 2], [2, 7], [2, 7]] as const) await store.save(step, state(value))
  t.deepEqual((await store.latest())?.tensors, state(7))
  t.is((await readdir(dir)).length, 2)
})

test('saves that overlap are written one after the other', async t => {
  const dir = await folder(t)
  const store = new CheckpointStore(dir)
  await Promise.all([1, 2, 3, 4, 5].map(async step => await store.save(step, state(step))))
  t.is((await store.latest())?.step, 5)
  t.is((await readdir(dir)).length, 3)
})

test('a step that is none is refused', async t => {
  const store = new CheckpointStore(await folder(t))
  for (const step of [-1, 1.5, NaN, 1e12]) await t.throwsAsync(store.save(step, []), { instanceOf: InvalidParametersError })
  t.throws(() => new CheckpointStore('', { keep: 0 }), { instanceOf: InvalidParametersError })
})

const damages: Array<{ id: string, count: number, damage: (path: string, bytes: Buffer, i: number) => Promise<void> }> = [
  { id: 'cut at 20 places', count: 20, damage: async (path, bytes, i) => { await truncate(path, Math.floor(bytes.length * i / 20)) } },
  {
    id: 'with one bit flipped at 200 places',
    count: 200,
    damage: async (path, bytes, i) => {
      const at = Math.floor(bytes.length * i / 200)
      await writeFile(path, bytes.with(at, (bytes[at] as number) ^ (1 << i % 8)))
    }
  }
]
for (const { id, count, damage } of damages) {
  test(`a checkpoint ${id} is always found out, and the one before it used`, async t => {
    const dir = await folder(t)
    for (let i = 0; i < count; i++) {
      const lines: string[] = []
      const store = new CheckpointStore(dir, { onDamaged: line => { lines.push(line) } })
      await store.save(2 * i, state(2 * i))
      await store.save(2 * i + 1, state(2 * i + 1))
      const path = await newest(dir)
      await damage(path, await readFile(path), i)
      t.is((await store.latest())?.step, 2 * i, `damage ${i}`)
      t.is(lines.length, 1)
      t.regex(lines[0] ?? '', /^checkpoint .*sha-256.*\.corrupt$/)
      await stat(`${path}.corrupt`)
    }
  })
}

test('where every checkpoint is damaged there is none', async t => {
  const dir = await folder(t)
  const lines: string[] = []
  const store = new CheckpointStore(dir, { onDamaged: line => { lines.push(line) } })
  for (const step of [1, 2]) {
    await store.save(step, state(step))
    await truncate(await newest(dir), 0)
  }
  t.is(await store.latest(), undefined)
  t.is(lines.length, 2)
})

test('a checkpoint under the name of another step is not used', async t => {
  const dir = await folder(t)
  const lines: string[] = []
  const store = new CheckpointStore(dir, { onDamaged: line => { lines.push(line) } })
  await store.save(1, state(1))
  const path = await newest(dir)
  await rename(path, path.replace('000000000001-', '000000000009-'))
  t.is(await store.latest(), undefined)
  t.regex(lines[0] ?? '', /it is of step 1/)
})

test('a checkpoint of another charter is refused with both hashes', async t => {
  const dir = await folder(t)
  await new CheckpointStore(dir, { expect: { charter: 'aaaa1111' } }).save(1, state(1))
  t.deepEqual((await new CheckpointStore(dir, { expect: { charter: 'aaaa1111' } }).latest())?.meta, { charter: 'aaaa1111' })
  const err = await t.throwsAsync(new CheckpointStore(dir, { expect: { charter: 'bbbb2222' } }).latest(), { instanceOf: InvalidParametersError })
  t.regex(err?.message ?? '', /^[^\n]*aaaa1111[^\n]*bbbb2222[^\n]*$/)
  t.is((await readdir(dir)).length, 1)
})

test('what a kill left half-written is cleared at the start', async t => {
  const dir = await folder(t)
  await new CheckpointStore(dir).save(1, state(1))
  await writeFile(`${await newest(dir)}.99-0.tmp`, 'half')
  await writeFile(join(dir, 'notes.txt'), 'not ours')
  t.is((await new CheckpointStore(dir).latest())?.step, 1)
  t.deepEqual((await readdir(dir)).map(name => name.replace(/^.*\./, '')), ['safetensors', 'txt'])
})

test('kill -9 at any moment leaves a whole checkpoint, not older than the last acknowledged', async t => {
  const dir = await folder(t)
  const random = new Random(7)
  let next = 0
  for (let run = 0; run < 10; run++) {
    const child = spawn(process.execPath, [WRITER, dir, String(next)], { stdio: ['ignore', 'pipe', 'inherit'] })
    let printed = ''
    child.stdout.on('data', (chunk: Buffer) => { printed += chunk.toString() })
    await once(child.stdout, 'data')
    await sleep(Math.floor(random.next() * 60))
    child.kill('SIGKILL')
    await once(child, 'close')
    const acknowledged = Number(printed.trimEnd().split('\n').at(-1))
    const found = await new CheckpointStore(dir, { onDamaged: line => { t.fail(line) } }).latest()
    t.true(found !== undefined && found.step >= acknowledged && found.step <= acknowledged + 1, `run ${run}: ${acknowledged}, then ${found?.step}`)
    t.true(found?.tensors[0]?.tensor.data.every(value => value === found.step))
    t.true((await readdir(dir)).every(name => name.endsWith('.safetensors')))
    next = acknowledged + 2
  }
})

const onPosix = process.platform === 'win32' ? test.skip : test

onPosix('a write that breaks off is one line, and the checkpoint before stays', async t => {
  const dir = await folder(t)
  await new CheckpointStore(dir).save(1, state(1))
  // No file above 64 blocks of 512 or 1024 bytes: the write of 200 kB fails half-way, as on a full disk.
  const { stderr } = await promisify(execFile)('sh', ['-c', 'ulimit -f 64; exec "$@"', 'sh', process.execPath, WRITER, dir, '2'])
  t.regex(stderr, /^ERR_RESOURCE [^\n]*larger than the system's limit[^\n]*$/)
  t.is((await readdir(dir)).length, 1)
  t.is((await new CheckpointStore(dir).latest())?.step, 1)
})

test('a folder that cannot be is one line, and the store works when it can', async t => {
  const blocked = join(await folder(t), 'file')
  await writeFile(blocked, '')
  const store = new CheckpointStore(join(blocked, 'checkpoints'))
  const err = await t.throwsAsync(store.save(1, state(1)), { instanceOf: ResourceError })
  t.false(err?.message.includes('\n'))
  await rm(blocked)
  await store.save(1, state(1))
  t.is((await store.latest())?.step, 1)
})
