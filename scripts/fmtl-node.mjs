#!/usr/bin/env node
/**
 * The `fmtl-node` command. Plain JavaScript, because the Node that runs it may be too old for TypeScript: it then starts the
 * bundled Node 24 in its place. In a checkout where nothing is installed yet, setup runs first (its progress is on stderr).
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const require = createRequire(import.meta.url)

const isCheckout = existsSync(join(root, 'package-lock.json'))
if (isCheckout && (nodeToUse() == null || !isInstalled('commander'))) {
  spawnSync(process.execPath, [join(root, 'scripts', 'setup.mjs')], { stdio: ['ignore', 2, 2] })
}

const node = nodeToUse()
if (node === process.execPath) {
  await import('./fmtl-node.ts')
} else if (node != null) {
  process.exitCode = await run(node, [join(root, 'scripts', 'fmtl-node.ts'), ...process.argv.slice(2)])
} else {
  console.error(`fmtl-node: Node ${process.version} is too old to run it; install Node 22.18 or newer`)
  process.exitCode = 1
}

/** The running Node where it runs TypeScript (22.18 and newer), else the one that the npm package `node` brought. */
function nodeToUse () {
  if (process.features.typescript) return process.execPath
  if (!isInstalled('node/package.json')) return undefined
  const file = join(dirname(require.resolve('node/package.json')), 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  return existsSync(file) ? file : undefined
}

function isInstalled (name) {
  try {
    return require.resolve(name) != null
  } catch {
    return false
  }
}

/** Its terminal and exit status are ours; Ctrl-C reaches it by itself, a signal sent to us alone does not. */
async function run (command, args) {
  const child = spawn(command, args, { stdio: 'inherit' })
  process.on('SIGINT', () => {})
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  return await new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve(code ?? 128 + constants.signals[signal]))
  })
}
