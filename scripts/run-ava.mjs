/**
 * What `npm test` and `npm run scenarios` share: sets up whatever is missing, runs ava on a Node that runs TypeScript, and
 * ends with one line that a machine can read: `N passed, N failed`.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { installSoftwareGpu } from './setup/software-gpu.mjs'
import { setup } from './setup/index.mjs'
import { ROOT } from './setup/paths.mjs'
import { TapCounter, formatSummary, verdict } from './test-summary.mjs'

/** @param {readonly string[]} args - for ava */
export async function runAva (args) {
  const { ok, node } = await setup()
  if (ok) await installSoftwareGpu()
  const counter = new TapCounter()
  let status = 1
  if (ok) {
    const ava = spawn(node, [join(ROOT, 'scripts', 'ava-tap.mjs'), '--tap', ...args], {
      cwd: ROOT, stdio: ['inherit', 'pipe', 'inherit']
    })
    ava.stdout.setEncoding('utf8').on('data', chunk => {
      counter.push(chunk)
      process.stdout.write(chunk)
    })
    status = await new Promise(resolve => {
      ava.on('error', () => resolve(1))
      ava.on('close', code => resolve(code ?? 1))
    })
  }
  const result = verdict(counter.end(), status)
  if (result.note !== '') console.log(result.note)
  console.log(formatSummary(result))
  process.exitCode = result.ok ? 0 : 1
}
