import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { threadSettings } from '../../src/backend/compat.ts'
import { RUNGS, loadBestRung, loadRung } from '../../src/backend/ladder.ts'
import { probe } from '../../src/backend/probe.ts'
import { BackendError } from '../../src/errors.ts'
import type { ExecutionContext } from 'ava'

const run = promisify(execFile)
const require = createRequire(import.meta.url)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Prints the rung that serves and the falls on the way, from the copy of src/ below `dir`. */
const SCRIPT = `
import { loadBestRung } from './src/backend/ladder.ts'
const falls = []
const rung = await loadBestRung({ prefer: 'tensorflow', onFall: line => falls.push(line) })
console.log(JSON.stringify({ name: rung.name, falls, listeners: process.listenerCount('unhandledRejection') }))
`

for (const name of RUNGS) {
  // One after the other: all of them set the backend of one tfjs-core.
  test.serial(`${name} multiplies and trains, or says in one line why it does not load`, async t => {
    let rung
    try {
      rung = await loadRung(name)
    } catch (err) {
      t.true(err instanceof BackendError)
      t.is((err as BackendError).code, 'ERR_BACKEND')
      t.regex((err as Error).message, new RegExp(`^${name} does not load: [^\\n]+$`))
      if (name === 'wasm' || name === 'cpu') t.fail((err as Error).message)
      else t.log((err as Error).message)
      return
    }
    const { tf } = rung
    t.is(tf.getBackend(), name)
    t.true(rung.memoryBytes > 0)
    // An uneven size, so that every vector width has a rest: row i of a holds i, so row i of a b is i times b's column sums.
    const [rows, inner, columns] = [13, 37, 5]
    const product = tf.tidy(() => tf.matMul(
      tf.tensor2d(Float32Array.from({ length: rows * inner }, (_, at) => Math.floor(at / inner)), [rows, inner]),
      tf.tensor2d(Float32Array.from({ length: inner * columns }, (_, at) => at % columns), [inner, columns])))
    const want = Array.from({ length: rows * columns }, (_, at) => Math.floor(at / columns) * (at % columns) * inner)
    t.deepEqual([...await product.data()], want)
    product.dispose()

    const before = tf.memory().numTensors
    const { gflops, trainStepMs } = await probe(rung)
    t.true(gflops > 0 && trainStepMs > 0)
    t.is(tf.memory().numTensors, before, 'the probe left tensors behind')
  })
}

test.serial('the ladder starts at the rung asked for', async t => {
  const falls: string[] = []
  const rung = await loadBestRung({ prefer: 'wasm', onFall: line => falls.push(line) })
  t.is(rung.name, 'wasm')
  t.deepEqual(falls, [])
})

test('loading wasm leaves the native library alone', async t => {
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', `
    import { createRequire } from 'node:module'
    const { loadRung } = await import(${JSON.stringify(new URL('../../src/backend/ladder.ts', import.meta.url).href)})
    await loadRung('wasm')
    console.log(Object.keys(createRequire(${JSON.stringify(ROOT)}).cache).filter(file => /tfjs-node|\\.node$/.test(file)).length)
  `])
  t.is(stdout, '0\n')
})

test('wasm loads in a worker thread, and leaves no listener that turns a rejection into a crash', async t => {
  const worker = new Worker(`
    const { parentPort } = require('node:worker_threads')
    import(${JSON.stringify(new URL('../../src/backend/ladder.ts', import.meta.url).href)})
      .then(async ({ loadRung }) => (await loadRung('wasm')).name)
      .then(name => parentPort.postMessage({ name, listeners: process.listenerCount('unhandledRejection') }))
  `, { eval: true })
  t.teardown(async () => { await worker.terminate() })
  t.deepEqual(await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject)), { name: 'wasm', listeners: 0 })
})

const tfjsNode = dirname(require.resolve('@tensorflow/tfjs-node/package.json'))
const hasNative = await loadRung('tensorflow').then(() => true, () => false)

/** A checkout of its own, whose tfjs-node is a copy that the test may break; everything else is linked. */
async function brokenCheckout (t: ExecutionContext, damage: (tfjsNode: string) => Promise<void>): Promise<{ name: string, falls: string[], listeners: number }> {
  const dir = await mkdtemp(join(tmpdir(), 'fmtl-ladder-'))
  t.teardown(async () => { await rm(dir, { recursive: true, force: true }) })
  const modules = join(ROOT, 'node_modules')
  const linkAll = async (from: string, to: string, except: string): Promise<void> => {
    await mkdir(to, { recursive: true })
    for (const name of await readdir(from)) {
      if (name !== except) await symlink(join(from, name), join(to, name))
    }
  }
  await linkAll(modules, join(dir, 'node_modules'), '@tensorflow')
  await linkAll(join(modules, '@tensorflow'), join(dir, 'node_modules', '@tensorflow'), 'tfjs-node')
  const copy = join(dir, 'node_modules', '@tensorflow', 'tfjs-node')
  await cp(tfjsNode, copy, { recursive: true, verbatimSymlinks: true }) // the library itself stays a link
  await cp(join(ROOT, 'src'), join(dir, 'src'), { recursive: true })
  await writeFile(join(dir, 'package.json'), '{ "type": "module" }')
  await writeFile(join(dir, 'load.ts'), SCRIPT)
  await damage(copy)
  const { stdout } = await run(process.execPath, [join(dir, 'load.ts')])
  return JSON.parse(stdout) as { name: string, falls: string[], listeners: number }
}

const binding = (dir: string): string => join(dir, 'lib', 'napi-v8', 'tfjs_binding.node')

const damages: Array<{ id: string, damage: (tfjsNode: string) => Promise<void>, want: RegExp }> = [
  { id: 'a binding cut off in its code', damage: async dir => { await truncate(binding(dir), 30_000) }, want: /tfjs_binding\.node is cut off: 30000 of at least \d+ bytes$/ },
  { id: 'an empty binding', damage: async dir => { await truncate(binding(dir), 0) }, want: /tfjs_binding\.node is cut off: 0 bytes$/ },
  { id: 'a binding that is something else', damage: async dir => { await rm(binding(dir)); await writeFile(binding(dir), 'x'.repeat(4096)) }, want: /tfjs_binding\.node is not a shared library$/ },
  { id: 'no binding', damage: async dir => { await rm(binding(dir)) }, want: /its native binding is not built$/ },
  {
    id: 'a library that is gone',
    damage: async dir => {
      for (const name of await readdir(join(dir, 'deps', 'lib'))) {
        await rm(join(dir, 'deps', 'lib', name))
        await symlink(join(dir, 'nowhere', name), join(dir, 'deps', 'lib', name))
      }
    },
    want: /libtensorflow\S* points to a file that is gone$/
  }
]

for (const { id, damage, want } of damages) {
  // The length check reads ELF; the loaders of other systems have their own words.
  const native = hasNative && process.platform === 'linux' ? test : test.skip
  native(`${id} is one line, and the next rung serves`, async t => {
    const { name, falls, listeners } = await brokenCheckout(t, damage)
    t.is(name, 'wasm')
    t.is(falls.length, 1)
    t.regex(falls[0] ?? '', /^tensorflow does not load: [^\n]+$/)
    t.regex(falls[0] ?? '', want)
    t.is(listeners, 0)
  })
}

test('lanes and what runs inside them do not ask for more threads than there are', t => {
  const settings = [1, 2, 3, 16].map(threads => Object.values(threadSettings(threads)).join())
  t.deepEqual(settings, ['1,1', '2,1', '3,1', '16,8'])
})
