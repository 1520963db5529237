/** Runs a command quietly: a line when it takes longer than two seconds, its own words only when it fails. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { delimiter, join } from 'node:path'
import { recordChild } from './lock.mjs'
import { say } from './log.mjs'
import { MODULES } from './paths.mjs'

const WINDOWS = process.platform === 'win32'
const KEPT_OUTPUT_CHARS = 64_000

/**
 * @param {string} command
 * @param {string[]} args
 * @param {object} [options]
 * @param {string} [options.label] - said when it takes longer; nothing is said without
 * @param {string} [options.cwd]
 * @param {object} [options.env] - added to the environment
 * @param {number} [options.timeoutMs]
 * @param {() => boolean} [options.stuck] - asked every second; true ends the command
 * @returns {Promise<{ ok: boolean, output: string, reason: string }>} `reason`: one line
 */
export function run (command, args, { label, cwd, env, timeoutMs = 600_000, stuck = () => false } = {}) {
  return new Promise(resolve => {
    // .cmd files (npm on Windows) need a shell; a group of its own lets us end what the command has started.
    const child = spawn(command, args, {
      cwd, stdio: ['ignore', 'pipe', 'pipe'], shell: WINDOWS && command.endsWith('.cmd'), detached: !WINDOWS, env: { ...cleanEnvironment(), ...env }
    })
    recordChild(child.pid)
    let output = ''
    let ended = ''
    const started = performance.now()
    const keep = chunk => { output = (output + chunk).slice(-KEPT_OUTPUT_CHARS) }
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)

    const end = why => {
      ended ||= why
      try {
        WINDOWS ? child.kill() : process.kill(-child.pid, 'SIGKILL')
      } catch {} // it has just gone by itself
    }
    let nextLine = 2000
    const ticker = setInterval(() => {
      const elapsed = performance.now() - started
      if (label != null && elapsed > nextLine) {
        say(`  ${label} ... ${Math.round(elapsed / 1000)} s`)
        nextLine = elapsed + 10_000
      }
      if (elapsed > timeoutMs) end(`no end within ${Math.round(timeoutMs / 1000)} s`)
      else if (stuck()) end('no progress')
    }, 1000)
    const interrupt = signal => {
      end(signal)
      process.exit(128 + constants.signals[signal])
    }
    process.on('SIGINT', interrupt).on('SIGTERM', interrupt)

    const done = (ok, reason) => {
      clearInterval(ticker)
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
      resolve({ ok, output, reason })
    }
    child.on('error', err => done(false, err.message))
    child.on('close', (code, signal) => {
      const ok = code === 0 && ended === ''
      done(ok, ok ? '' : ended || reasonIn(output) || `ended with ${signal ?? `status ${code}`}`)
    })
  })
}

/**
 * Without node_modules/.bin in front: npm must run on the system's Node, as the bundled one is replaced under it.
 * (npm puts that folder there when it runs a script such as ours.)
 */
function cleanEnvironment () {
  const path = (process.env.PATH ?? '').split(delimiter).filter(dir => dir !== join(MODULES, '.bin')).join(delimiter)
  return { ...process.env, PATH: path }
}

/** The last line that states an error, else the last line at all. */
function reasonIn (output) {
  const lines = output.split('\n').map(line => line.replace(/^npm (error|ERR!)/, '').trim()).filter(line => line !== '' && !line.startsWith('A complete log'))
  const line = lines.findLast(text => /error: |no module named|no space left/i.test(text)) ?? lines.at(-1) ?? ''
  return line.replace(/^\w*error: /i, '').slice(0, 200)
}
