/** Runs a program in our place: its terminal, its signals, its exit status. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'

/** @param {string} command @param {string[]} args */
export async function hand (command, args) {
  const child = spawn(command, args, { stdio: 'inherit' })
  // Ctrl-C reaches the child by itself (same terminal); a signal sent to us alone does not.
  process.on('SIGINT', () => {})
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  process.exitCode = await new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve(code ?? 128 + constants.signals[signal]))
  })
}
