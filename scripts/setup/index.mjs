/** The steps of setup in order, once at a time, skipped when the record of the last one still holds. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { installDependencies, installNode } from './dependencies.mjs'
import { say } from './log.mjs'
import { MODULES, PLATFORM, ROOT, bundledNode } from './paths.mjs'
import { installTensorFlow, isTensorFlowInPlace, missingTools } from './tensorflow.mjs'

/** Inside node_modules: removing that folder, or `npm ci`, takes the record with it. */
const STAMP = join(MODULES, '.fmtl-setup.json')
const LOCK = join(ROOT, '.fmtl', 'setup.lock')

/**
 * @param {{ nativeOnly?: boolean, verbose?: boolean }} [options]
 * @returns {Promise<{ ok: boolean, node: string }>} `node`: runs TypeScript. Not ok: nothing can run
 */
export async function setup ({ nativeOnly = false, verbose = false } = {}) {
  if (nativeOnly) {
    const node = bundledNode() ?? process.execPath
    const { ok } = await alone(async () => await installTensorFlow(node))
    return { ok, node }
  }
  return (await recorded(verbose)) ?? await alone(async () => (await recorded(verbose)) ?? await install())
}

async function install () {
  if (!await installDependencies()) return { ok: false, node: process.execPath }
  const node = await installNode()
  if (node == null) return { ok: false, node: process.execPath }
  const tensorflow = await installTensorFlow(node)
  writeFileSync(STAMP, JSON.stringify({ lock: lockHash(), platform: PLATFORM, node, tensorflow, missing: missingTools() }, undefined, 2))
  say('done')
  return { ok: true, node }
}

/** What the last setup left, if nothing it rests on has changed; undefined means: do it again. */
async function recorded (verbose) {
  let stamp
  try {
    stamp = JSON.parse(readFileSync(STAMP, 'utf8'))
  } catch {
    return undefined
  }
  const { lock, platform, node, tensorflow, missing } = stamp
  if (lock !== lockHash() || platform !== PLATFORM || !existsSync(node)) return undefined
  if (!isTensorFlowInPlace()) {
    if (tensorflow.ok || missing.join() !== missingTools().join()) return undefined // the cache went, or a tool came
    const retry = missing.length > 0 ? '' : ' (to try again: npm run setup -- --native)'
    say(`TensorFlow: not available, computing with WebAssembly: ${tensorflow.reason}${retry}`)
  } else if (verbose) {
    say('everything is in place')
  }
  return { ok: true, node }
}

function lockHash () {
  const file = join(ROOT, 'package-lock.json')
  return existsSync(file) ? createHash('sha256').update(readFileSync(file)).digest('hex') : ''
}

/** Two terminals may start at once, and npm must not run twice in one folder. The lock holds its owner's process id. */
async function alone (work) {
  mkdirSync(join(ROOT, '.fmtl'), { recursive: true })
  for (let waited = false; !take(); waited = true) {
    if (!waited) say('another setup is running here: waiting for it')
    await new Promise(resolve => setTimeout(resolve, 500))
  }
  process.on('exit', release)
  try {
    return await work()
  } finally {
    process.off('exit', release)
    release()
  }
}

function take () {
  try {
    writeFileSync(LOCK, String(process.pid), { flag: 'wx' })
    return true
  } catch (err) {
    if (err.code !== 'EEXIST') throw err
    if (!isAlive(lockOwner())) rmSync(LOCK, { force: true }) // it was killed
    return false
  }
}

/** 0 (ourselves, so: alive) while the file is just being written or removed. */
function lockOwner () {
  try {
    return Number(readFileSync(LOCK, 'utf8'))
  } catch {
    return 0
  }
}

function release () {
  rmSync(LOCK, { force: true })
}

function isAlive (pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (err) {
    return err.code === 'EPERM'
  }
}
