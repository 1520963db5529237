/**
 * One setup at a time per checkout: two terminals may start at once, and npm must not run twice in one folder. The lock file
 * lists the process ids of its owner and of the commands it started, because npm outlives an owner that was killed.
 */
import { appendFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { say } from './log.mjs'
import { ROOT } from './paths.mjs'

const LOCK = join(ROOT, '.fmtl', 'setup.lock')
const POLL_MS = 500
/** The longest single step may take 10 minutes (./run.mjs), and each one touches the file. */
const EXPIRES_MS = 20 * 60_000

let held = false

/** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
export async function alone (work) {
  mkdirSync(dirname(LOCK), { recursive: true })
  for (let waited = false; !take(); waited = true) {
    if (!waited) say('another setup is at work here: waiting for it')
    await new Promise(resolve => setTimeout(resolve, POLL_MS))
  }
  process.on('exit', release)
  try {
    return await work()
  } finally {
    process.off('exit', release)
    release()
  }
}

/** A command that works under this lock. */
export function recordChild (pid) {
  if (held && pid != null) appendFileSync(LOCK, `${pid}\n`)
}

function take () {
  try {
    writeFileSync(LOCK, `${process.pid}\n`, { flag: 'wx' })
    held = true
  } catch (err) {
    if (err.code !== 'EEXIST') throw err
    if (isExpired() || !holders().some(isAlive)) rmSync(LOCK, { force: true }) // the next attempt takes it
  }
  return held
}

function release () {
  held = false
  rmSync(LOCK, { force: true })
}

/** Ourselves, so: somebody, while the file is just being written or removed. */
function holders () {
  try {
    const pids = readFileSync(LOCK, 'utf8').split('\n').filter(line => line !== '').map(Number)
    return pids.length > 0 ? pids : [process.pid]
  } catch {
    return [process.pid]
  }
}

/** After a restart of the machine the same ids belong to others. */
function isExpired () {
  const stat = statSync(LOCK, { throwIfNoEntry: false })
  return stat != null && Date.now() - stat.mtimeMs > EXPIRES_MS
}

function isAlive (pid) {
  try {
    process.kill(pid, 0)
  } catch (err) {
    return err.code === 'EPERM'
  }
  return !isZombie(pid)
}

/** A container's first process often reaps nobody: an ended orphan then keeps its id for ever. */
function isZombie (pid) {
  try {
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
