/**
 * Who may import whom, read from the sources:
 *
 *     scripts -> testnet -> node -> protocols -> src          test -> anything
 *
 * The checks are functions of (path, text), so that planted sources show that each of them can fail.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const REPOSITORY = dirname(dirname(fileURLToPath(import.meta.url)))

/** Left to right: a folder may import itself and what stands to its right. */
const LAYERS = ['test', 'scripts', 'testnet', 'node', 'protocols', 'src'] as const

/** What `src` may take from outside: computation, formats and events; no network. */
const SRC_PACKAGES = new Set([
  '@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-cpu', '@tensorflow/tfjs-backend-wasm', '@tensorflow/tfjs-backend-webgpu',
  '@huggingface/tokenizers', '@ipld/dag-cbor', '@tensorflow/tfjs-node', 'ajv', 'csv-parse', 'main-event', 'ml-hclust', 'ml-matrix', 'multiformats', 'munkres', 'webgpu', 'yaml'
])
const NETWORK_MODULES = new Set(['net', 'http', 'https', 'http2', 'tls', 'dgram', 'dns', 'dns/promises', 'cluster', 'inspector'])
const MAX_LINES = 450

interface Source { readonly path: string, readonly text: string }

/** Static and dynamic imports, re-exports, `require` and the scripts of workers. A process of its own is no import. */
function specifiers (text: string): string[] {
  const code = withoutComments(text)
  const patterns = [
    /(?:^|[;\n])\s*(?:import|export)\b[^'"`;]*?\bfrom\s*(['"])([^'"]+)\1/g,
    /(?:^|[;\n])\s*import\s*(['"])([^'"]+)\1/g,
    /\bimport\s*\(\s*(['"`])([^'"`]+)\1/g,
    /\brequire(?:\.resolve)?\s*\(\s*(['"`])([^'"`]+)\1/g,
    /\bnew Worker\s*\(\s*new URL\s*\(\s*(['"`])([^'"`]+\.(?:ts|mjs|js))\1\s*,\s*import\.meta\.url/g
  ]
  return patterns.flatMap((pattern) => [...code.matchAll(pattern)].map((match) => match[2] as string))
}

/** Comments blanked, strings and line numbers kept. A comment sign inside a string stays. */
function withoutComments (text: string): string {
  return text.replace(/(['"`])(?:\\.|(?!\1)[^\\\n])*\1|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (match) =>
    match.startsWith('/') ? match.replace(/[^\n]/g, ' ') : match)
}

function layerOf (path: string): number {
  return LAYERS.indexOf(path.split('/')[0] as typeof LAYERS[number])
}

function wrongImports ({ path, text }: Source): string[] {
  const from = layerOf(path)
  return specifiers(text).flatMap((specifier) => {
    if (specifier.startsWith('.')) {
      const target = posix.join(posix.dirname(path), specifier)
      const to = layerOf(target)
      if (to === -1) return target.includes('/') ? [`${path} imports ${specifier}, outside the folders`] : []
      return to < from ? [`${path} imports ${specifier}: ${LAYERS[from]} may not import ${LAYERS[to]}`] : []
    }
    if (!path.startsWith('src/')) return []
    const name = specifier.replace(/^node:/, '')
    if (builtinModules.includes(name)) {
      return NETWORK_MODULES.has(name) ? [`${path} imports ${specifier}: src has no network`] : []
    }
    const parts = specifier.split('/')
    const packageName = specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0] as string
    return SRC_PACKAGES.has(packageName) ? [] : [`${path} imports ${specifier}: src may take ${[...SRC_PACKAGES].join(', ')}`]
  })
}

/** The node of the product, and the one of the library alone that `bench net` compares it with. */
const LIBP2P_NODES: readonly string[] = ['node/libp2p.ts', 'testnet/bench/raw-streams.ts']

function wrongCalls ({ path, text }: Source): string[] {
  const code = withoutComments(text)
  const found: string[] = []
  if (!LIBP2P_NODES.includes(path) && !path.startsWith('test/') && /\bcreateLibp2p\s*[<(]/.test(code)) found.push(`${path} calls createLibp2p`)
  if (path.startsWith('src/')) {
    if (/\bMath\s*\.\s*random\b/.test(code)) found.push(`${path} uses Math.random`)
    if (/\bDate\s*\.\s*now\b|\bnew Date\s*\(\s*\)/.test(code)) found.push(`${path} reads the clock of the day`)
  }
  return found
}

function tooLong ({ path, text }: Source): string[] {
  const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
  return path.includes('.generated.') || lines <= MAX_LINES ? [] : [`${path} has ${lines} lines, the limit is ${MAX_LINES}`]
}

function readSources (): Source[] {
  return LAYERS.flatMap((folder) => {
    let names: string[]
    try {
      names = readdirSync(join(REPOSITORY, folder), { recursive: true }) as string[]
    } catch {
      return [] // a folder that is not there yet
    }
    return names.filter((name) => /\.(?:ts|mjs)$/.test(name)).map((name) => {
      const path = posix.join(folder, name.replaceAll('\\', '/'))
      return { path, text: readFileSync(join(REPOSITORY, path), 'utf8') }
    })
  })
}

const sources = readSources()

test('the sources are found', (t) => {
  t.true(sources.length > 80, `${sources.length} files`)
  for (const folder of ['src', 'protocols', 'node', 'scripts', 'test']) t.true(sources.some(({ path }) => path.startsWith(`${folder}/`)), folder)
  const imports = sources.flatMap(({ text }) => specifiers(text))
  t.true(imports.length > 3 * sources.length, `${imports.length} imports in ${sources.length} files`)
})

test('imports follow the arrows scripts -> testnet -> node -> protocols -> src, and src knows no network', (t) => {
  t.deepEqual(sources.flatMap(wrongImports), [])
})

test('libp2p nodes are created in one place, and in the bench that compares it with the library alone; src takes neither chance nor the time of day from the process', (t) => {
  t.deepEqual(sources.flatMap(wrongCalls), [])
})

test('every file is short enough to read', (t) => {
  t.deepEqual(sources.flatMap(tooLong), [])
})

const WRONG: ReadonlyArray<Source & { readonly id: string }> = [
  { id: 'src imports protocols', path: 'src/a/b.ts', text: "import { x } from '../../protocols/stream.ts'" },
  { id: 'src imports a type of node', path: 'src/a.ts', text: "import type { X } from '../node/components.ts'" },
  { id: 'src imports node over several lines', path: 'src/a.ts', text: "import {\n  x,\n  y\n} from '../node/main.ts'\n" },
  { id: 'src re-exports protocols', path: 'src/index.ts', text: "export * from '../protocols/index.ts'" },
  { id: 'src imports protocols dynamically', path: 'src/a.ts', text: "const m = await import('../protocols/index.ts')" },
  { id: 'src starts a script of node as a worker', path: 'src/a.ts', text: "new Worker(new URL('../node/main.ts', import.meta.url))" },
  { id: 'protocols imports node', path: 'protocols/a/b.ts', text: "import '../../node/libp2p.ts'" },
  { id: 'node imports testnet', path: 'node/cli/a.ts', text: "import { x } from '../../testnet/testnet.ts'" },
  { id: 'testnet imports scripts', path: 'testnet/a.ts', text: "import { x } from '../scripts/proto.ts'" },
  { id: 'scripts imports test', path: 'scripts/a.mjs', text: "import { x } from '../test/helpers/x.ts'" },
  { id: 'src imports libp2p', path: 'src/a.ts', text: "import { createLibp2p } from 'libp2p'" },
  { id: 'src imports a libp2p type', path: 'src/a.ts', text: "import type { PeerId } from '@libp2p/interface'" },
  { id: 'src imports node:net', path: 'src/a.ts', text: "import { connect } from 'node:net'" },
  { id: 'src requires http', path: 'src/a.ts', text: "const http = require('http')" },
  { id: 'src imports an unknown package', path: 'src/a.ts', text: "import x from 'left-pad'" }
]
for (const { id, ...source } of WRONG) test(`is caught: ${id}`, (t) => { t.is(wrongImports(source).length, 1) })

const RIGHT: ReadonlyArray<Source & { readonly id: string }> = [
  { id: 'protocols imports src', path: 'protocols/a/b.ts', text: "import { x } from '../../src/errors.ts'\nimport type { Y } from '@libp2p/interface'" },
  { id: 'test imports anything', path: 'test/a.test.ts', text: "import { x } from '../scripts/proto.ts'\nimport { y } from '../src/errors.ts'" },
  { id: 'src imports files and threads', path: 'src/a.ts', text: "import { readFile } from 'node:fs/promises'\nimport { Worker } from 'node:worker_threads'" },
  { id: 'an import in a comment', path: 'src/a.ts', text: "/**\n * import { x } from '../protocols/stream.ts'\n */\n// import('../node/main.ts')" },
  { id: 'the manifest of the package', path: 'node/cli/a.ts', text: "import manifest from '../../package.json' with { type: 'json' }" }
]
for (const { id, ...source } of RIGHT) test(`is allowed: ${id}`, (t) => { t.deepEqual(wrongImports(source), []) })

test('is caught: a second libp2p node, chance, the time of day, a long file', (t) => {
  t.is(wrongCalls({ path: 'node/main.ts', text: 'const node = await createLibp2p({})' }).length, 1)
  t.is(wrongCalls({ path: 'testnet/a.ts', text: 'await createLibp2p<Services>({})' }).length, 1)
  t.is(wrongCalls({ path: 'node/libp2p.ts', text: 'await createLibp2p<Services>({})' }).length, 0)
  t.is(wrongCalls({ path: 'src/a.ts', text: 'const x = Math.random()' }).length, 1)
  t.is(wrongCalls({ path: 'src/a.ts', text: 'const x = Date.now()' }).length, 1)
  t.is(wrongCalls({ path: 'src/a.ts', text: 'const x = new Date()' }).length, 1)
  t.is(wrongCalls({ path: 'src/a.ts', text: '// Math.random is never called' }).length, 0)
  t.is(wrongCalls({ path: 'node/a.ts', text: 'const x = Date.now()' }).length, 0)
  t.is(tooLong({ path: 'src/a.ts', text: 'x\n'.repeat(MAX_LINES + 1) }).length, 1)
  t.is(tooLong({ path: 'src/a.ts', text: 'x\n'.repeat(MAX_LINES) }).length, 0)
})
