/** The npm packages and the Node that runs TypeScript. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { say } from './log.mjs'
import { MODULES, ROOT, bundledNode, runsTypeScript } from './paths.mjs'
import { run } from './run.mjs'

const NPM = process.platform === 'win32' ? 'npm.cmd' : 'npm'

/** Packages whose install script does something we need. Scripts of all others stay off; tfjs-node has its own step. */
const NEEDS_SCRIPT = ['webgpu']

/** @returns {Promise<boolean>} */
export async function installDependencies () {
  if (matchesLockfile()) return true
  say('npm packages: installing')
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  let result = await run(NPM, ['ci', ...flags], { cwd: ROOT, label: 'npm ci' })
  if (!result.ok && /\bEUSAGE\b/.test(result.output)) { // npm's code for a lockfile that is missing or older than package.json
    say('npm packages: the lockfile does not fit package.json; trying npm install')
    result = await run(NPM, ['install', ...flags], { cwd: ROOT, label: 'npm install' })
  }
  if (!result.ok) {
    say(`npm packages: not installed: ${result.reason}; check the network and run: npm run setup`)
    return false
  }
  const scripts = NEEDS_SCRIPT.filter(name => existsSync(join(MODULES, name)))
  if (scripts.length > 0) {
    const rebuilt = await rebuild(scripts)
    if (!rebuilt.ok) say(`npm packages: the install script of ${scripts.join(', ')} failed: ${rebuilt.reason}`)
  }
  say('npm packages: installed')
  return true
}

/** npm's own record of what is in node_modules, against the lockfile: a plain `npm ci` by hand counts as well. */
function matchesLockfile () {
  const want = readPackages(join(ROOT, 'package-lock.json'))
  const have = readPackages(join(MODULES, '.package-lock.json'))
  if (want == null || have == null) return false
  return Object.entries(want).every(([path, { version, optional, link }]) =>
    path === '' || link === true || have[path]?.version === version || (optional === true && have[path] == null))
}

function readPackages (file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages
  } catch {
    return undefined
  }
}

export async function rebuild (names, options = {}) {
  return await run(NPM, ['rebuild', ...names, '--ignore-scripts=false', '--loglevel=error'], { cwd: ROOT, ...options })
}

/** @returns {Promise<string | undefined>} a Node that runs TypeScript */
export async function installNode () {
  const before = bundledNode()
  if (before != null && await works(before)) return before
  say('Node 24: installing')
  const result = await rebuild(['node'], { label: 'Node 24' })
  const after = bundledNode()
  if (after != null && await works(after)) return after
  // A binary for another C library would hide the system's own Node in npm scripts.
  if (after != null) rmSync(after)
  const why = result.ok ? 'its binary does not run on this system' : result.reason
  if (runsTypeScript()) {
    say(`Node 24: not installed (${why}); going on with Node ${process.version}`)
    return process.execPath
  }
  say(`Node 24: not installed (${why}) and Node ${process.version} is too old; install Node 22.18 or newer and run: npm run setup`)
  return undefined
}

async function works (node) {
  const { ok } = await run(node, ['-e', 'process.exit(process.features.typescript ? 0 : 1)'], { timeoutMs: 20_000 })
  return ok
}
