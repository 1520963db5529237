/**
 * TensorFlow's C library for @tensorflow/tfjs-node, the compute rung that most nodes serve from. Three ways, in this order:
 *
 *  1. the per-user cache, where an earlier setup left what (3) made (a binding that no longer loads is made anew);
 *  2. tfjs-node's own installer, which downloads library and binding from the open internet;
 *  3. the PyPI wheel of TensorFlow, which contains the library and its C headers; the binding is then compiled from the
 *     two C++ files inside tfjs-node, against the N-API headers of the npm package `node-api-headers`.
 *
 * (3) serves closed networks where only package registries can be reached. Whatever way, the binding is loaded once in a
 * process of its own before it counts. Where none works the node computes with WebAssembly; the reason is one line.
 */
import { createHash } from 'node:crypto'
import { copyFileSync, createReadStream, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { rebuild } from './dependencies.mjs'
import { say } from './log.mjs'
import { PLATFORM, cacheDir, packageDir, which } from './paths.mjs'
import { run } from './run.mjs'
import { unzip } from './zip.mjs'

const TENSORFLOW = '2.15.1'
const NAPI = 8 // the newest that tfjs-node 4.22 knows

/**
 * Wheels for CPython 3.11 (the interpreter does not matter: nothing of it is used). linux-x64 is built and run; the others'
 * file lists were read, but nothing was compiled or run on such a machine. Windows has no row: its wheel holds one Python
 * extension and no library to link with, so (2) alone serves there.
 */
const WHEELS = {
  'linux-x64': {
    name: 'tensorflow-cpu',
    tag: 'manylinux2014_x86_64',
    sha256: '54660c074d7241a503e81edfd9f5ef5af88f64051b72e2945f26318c790f2d26'
  },
  'linux-arm64': {
    name: 'tensorflow-cpu-aws',
    tag: 'manylinux2014_aarch64',
    sha256: 'd4c3a3a9363bf42999adedbbd514e3a133be2d62f61fee9cfa46aaefb087c09e'
  },
  'darwin-arm64': {
    name: 'tensorflow',
    tag: 'macosx_12_0_arm64',
    sha256: 'aa926114d1e13ffe5b2ea59c3f195216f26646d7fe36e9e5207b291e4b7902ff'
  },
  'darwin-x64': {
    name: 'tensorflow',
    tag: 'macosx_10_15_x86_64',
    sha256: '6761efe511e6ee0f893f60738fefbcc51d6dc386eeaaafea59d21899ef369ffd'
  }
}

/** Library in the wheel -> the names under which linker and loader look for it. */
const LIBRARIES = process.platform === 'darwin'
  ? {
      'libtensorflow_cc.2.dylib': ['libtensorflow_cc.2.dylib', 'libtensorflow.2.dylib', 'libtensorflow.dylib'],
      'libtensorflow_framework.2.dylib': ['libtensorflow_framework.2.dylib', 'libtensorflow_framework.dylib']
    }
  : {
      'libtensorflow_cc.so.2': ['libtensorflow_cc.so.2', 'libtensorflow.so.2', 'libtensorflow.so'],
      'libtensorflow_framework.so.2': ['libtensorflow_framework.so.2', 'libtensorflow_framework.so']
    }
const HEADERS = ['tensorflow/c/', 'tensorflow/core/platform/', 'tsl/']

const cached = join(cacheDir(), `tensorflow-${TENSORFLOW}-${PLATFORM}`)
const BINDING = 'tfjs_binding.node'
/** Killed setups leave theirs behind: 600 MB that nobody asks for again. */
const BUILDING = 'building-'
const BUILDING_EXPIRES_MS = 3_600_000

/** Is the native part there, with no link leading nowhere? Cheap: no process is started. */
export function isTensorFlowInPlace () {
  const dir = packageDir('@tensorflow/tfjs-node')
  const libraries = dir == null ? '' : join(dir, 'deps', 'lib')
  return dir != null && existsSync(bindingIn(dir)) && existsSync(libraries) &&
    readdirSync(libraries).every(name => existsSync(join(libraries, name)))
}

/** Tools of way (3) that this machine lacks, as a person would call them. */
export function missingTools () {
  if (WHEELS[PLATFORM] == null) return []
  return [
    ...(compiler() == null ? ['a C++ compiler'] : []),
    ...((which('pip3') ?? which('pip')) == null ? ['pip'] : []) // Debian's python3 comes without it
  ]
}

/**
 * @param {string} node - a Node that will load the binding
 * @returns {Promise<{ ok: boolean, reason: string }>}
 */
export async function installTensorFlow (node) {
  const dir = packageDir('@tensorflow/tfjs-node')
  if (dir == null) return { ok: false, reason: '@tensorflow/tfjs-node is not installed' }
  if (isTensorFlowInPlace() && await loads(dir, node)) return { ok: true, reason: '' }

  if (existsSync(join(cached, BINDING))) {
    link(dir, cached)
    if (await loads(dir, node)) return done('from the cache')
    say('TensorFlow: the cached copy does not load; removed')
    rmSync(cached, { recursive: true, force: true })
  }

  const libraryDir = join(dir, 'deps')
  const own = await rebuild(['@tensorflow/tfjs-node'], {
    label: 'TensorFlow by its own installer', cwd: join(dir, '..', '..', '..'), stuck: stall(libraryDir)
  })
  if (own.ok && await loads(dir, node)) return done('by its own installer')
  const ownReason = own.ok ? 'what it installed does not load' : own.reason
  if (WHEELS[PLATFORM] == null) return fall(dir, `its own installer failed (${ownReason}) and there is no wheel for ${PLATFORM}`)
  say(`TensorFlow: its own installer failed (${ownReason}); building on the PyPI wheel`)

  const missing = missingTools()
  if (missing.length > 0) return fall(dir, `missing ${missing.join(' and ')}; ${advice(missing)}`)
  try {
    await build(dir)
  } catch (err) {
    return fall(dir, err.message)
  }
  link(dir, cached)
  return await loads(dir, node) ? done('from the PyPI wheel') : fall(dir, 'the binding was built but does not load')
}

function done (how) {
  say(`TensorFlow: ready, ${how}`)
  return { ok: true, reason: '' }
}

function fall (dir, reason) {
  rmSync(bindingIn(dir), { force: true }) // whatever is there does not load
  say(`TensorFlow: not available, computing with WebAssembly: ${reason}`)
  return { ok: false, reason }
}

function advice (missing) {
  if (process.platform === 'darwin') return 'type: xcode-select --install, then: npm run setup'
  const packages = missing.map(tool => tool === 'pip' ? 'python3-pip' : 'g++')
  return `on Debian type: apt-get install ${packages.join(' ')}, then: npm run setup`
}

/** Fills the cache folder: all of it or nothing, however many setups run at once. */
async function build (dir) {
  const wheel = WHEELS[PLATFORM]
  mkdirSync(cacheDir(), { recursive: true })
  for (const name of readdirSync(cacheDir()).filter(entry => entry.startsWith(BUILDING))) {
    const left = join(cacheDir(), name)
    if (Date.now() - statSync(left).mtimeMs > BUILDING_EXPIRES_MS) rmSync(left, { recursive: true, force: true })
  }
  const work = mkdtempSync(join(cacheDir(), BUILDING))
  try {
    await unzip(await download(wheel, work), member => {
      const path = member.replace(/^tensorflow\//, '')
      if (path in LIBRARIES) return join('lib', path)
      return HEADERS.some(header => path.startsWith(`include/${header}`)) && path.endsWith('.h') ? path : undefined
    }, work)
    readdirSync(work).filter(name => name.endsWith('.whl')).forEach(name => rmSync(join(work, name)))
    link(dir, work)
    await compile(dir, join(work, BINDING))
    rmSync(cached, { recursive: true, force: true })
    renameSync(work, cached)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

async function download ({ name, tag, sha256 }, to) {
  const args = ['download', '--quiet', '--no-deps', '--only-binary=:all:', '--python-version', '3.11', '--platform', tag,
    '--retries', '2', '--dest', to, `${name}==${TENSORFLOW}`]
  let reason = ''
  for (const [command, ...before] of [['python3', '-m', 'pip'], ['pip3'], ['pip']]) {
    if (which(command) == null) continue
    const result = await run(command, [...before, ...args], { label: `downloading ${name} ${TENSORFLOW}, 200 MB` })
    const file = readdirSync(to).find(entry => entry.endsWith('.whl'))
    if (result.ok && file != null) {
      const hash = createHash('sha256')
      await pipeline(createReadStream(join(to, file)), hash)
      if (hash.digest('hex') !== sha256) throw new Error(`${file} is not the file that was published: its hash differs`)
      return join(to, file)
    }
    reason ||= result.reason
  }
  throw new Error(`pip download failed (is a package index reachable?): ${reason}`)
}

async function compile (dir, out) {
  const headers = packageDir('node-api-headers')
  if (headers == null) throw new Error('the npm package node-api-headers is not installed')
  const mac = process.platform === 'darwin'
  const { ok, reason, output } = await run(compiler(), [
    '-O2', '-std=c++17', '-fPIC', ...(mac ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared']),
    `-DNAPI_VERSION=${NAPI}`, '-DNODE_GYP_MODULE_NAME=tfjs_binding',
    `-I${join(headers, 'include')}`, '-I.', '-I..', '-Ideps/include',
    'binding/tfjs_backend.cc', 'binding/tfjs_binding.cc', '-o', out,
    '-Ldeps/lib', '-ltensorflow', '-ltensorflow_framework', `-Wl,-rpath,${mac ? '@loader_path' : '$ORIGIN'}/../../deps/lib`
  ], { cwd: dir, label: 'compiling the binding' })
  if (!ok) throw new Error(`the binding did not compile: ${/^.*(?:fatal error|error:).*$/m.exec(output)?.[0] ?? reason}`)
}

function compiler () {
  return [process.env.CXX, 'c++', 'g++', 'clang++'].map(name => name ? which(name) : undefined).find(file => file != null)
}

/** Points the package at an unpacked library, and puts the compiled binding (if there is one yet) in its place. */
function link (dir, from) {
  rmSync(join(dir, 'deps'), { recursive: true, force: true })
  mkdirSync(join(dir, 'deps', 'lib'), { recursive: true })
  symlinkSync(join(from, 'include'), join(dir, 'deps', 'include'))
  for (const [library, names] of Object.entries(LIBRARIES)) {
    for (const name of names) symlinkSync(join(from, 'lib', library), join(dir, 'deps', 'lib', name))
  }
  if (!existsSync(join(from, BINDING))) return
  const binding = bindingIn(dir)
  mkdirSync(dirname(binding), { recursive: true })
  rmSync(binding, { force: true }) // a running process may have the old file mapped: unlink, never overwrite
  copyFileSync(join(from, BINDING), binding)
}

function bindingIn (dir) {
  return join(dir, 'lib', `napi-v${NAPI}`, BINDING)
}

/** In a process of its own: a broken library may end it with a signal. */
async function loads (dir, node) {
  const binding = bindingIn(dir)
  if (!existsSync(binding)) return false
  const script = `process.dlopen({ exports: {} }, ${JSON.stringify(binding)})`
  return (await run(node, ['-e', script], { env: { TF_CPP_MIN_LOG_LEVEL: '2' }, timeoutMs: 60_000 })).ok
}

/** True once nothing has been added below `dir` for 20 s: a firewall that drops packets leaves a download waiting for ever. */
function stall (dir) {
  const patienceMs = 20_000
  let [bytes, since] = [-1, performance.now()]
  return () => {
    const now = existsSync(dir) ? sizeOf(dir) : 0
    if (now !== bytes) [bytes, since] = [now, performance.now()]
    return performance.now() - since > patienceMs
  }
}

function sizeOf (dir) {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .reduce((sum, entry) => sum + (statSync(join(entry.parentPath ?? entry.path, basename(entry.name)), { throwIfNoEntry: false })?.size ?? 0), 0)
}
