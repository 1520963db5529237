/** The steps of setup in order, once at a time, skipped when the record of the last one still holds. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { installDependencies, installNode } from './dependencies.mjs'
import { alone } from './lock.mjs'
import { say } from './log.mjs'
import { MODULES, PLATFORM, ROOT, bundledNode } from './paths.mjs'
import { installTensorFlow, isTensorFlowInPlace, missingTools } from './tensorflow.mjs'

/** Inside node_modules: removing that folder, or `npm ci`, takes the record with it. */
const STAMP = join(MODULES, '.fmtl-setup.json')

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
