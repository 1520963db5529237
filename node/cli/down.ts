/** `fmtl-node down`: asks the node of a home to stop, and waits until its process is gone. */
import { setTimeout as pause } from 'node:timers/promises'
import { DeadlineError } from '../../src/errors.ts'
import { examples } from './help.ts'
import { addRunningOptions, homeOf, printAnswer } from './running.ts'
import { holderOf, isAlive } from '../store/lock.ts'
import { request } from '../control/client.ts'
import type { Command } from 'commander'
import type { Holder } from '../store/lock.ts'
import type { RunningFlags } from './running.ts'

/** A node saves its checkpoint and is gone within 5 s; what takes three times as long hangs. */
const DOWN_MS = 15_000
const POLL_MS = 50
/** For the answer to the wish alone. */
const ASK_MS = 5_000

export function registerDown (program: Command): void {
  const command = addRunningOptions(program.command('down'))
    .description('stop the node that runs in this home; it goes on from where it is at the next `up`')
    .action(async (flags: RunningFlags) => {
      const home = homeOf(flags)
      const stopped = await stopNode(home)
      if (flags.format === 'json') printAnswer({ success: true, stopped: stopped !== undefined, ...stopped === undefined ? {} : { pid: stopped } })
      else process.stdout.write(stopped === undefined ? `no node runs in ${home}\n` : `the node in ${home} (process ${stopped}) has stopped\n`)
    })
  examples(command, 'fmtl-node down')
}

/**
 * @returns the process that was, or undefined where there was none
 * @throws {DeadlineError} it is still there
 */
export async function stopNode (home: string, deadlineMs = DOWN_MS): Promise<number | undefined> {
  const holder = holderOf(home)
  if (holder === undefined) return undefined
  const deadline = performance.now() + deadlineMs
  let unheard: string | undefined
  try {
    await request(home, 'POST', '/stop', {}, { timeoutMs: Math.min(ASK_MS, deadlineMs) })
  } catch (err) {
    unheard = (err as Error).message
    terminate(holder)
  }
  while (isAlive(holder)) {
    if (performance.now() >= deadline) {
      throw new DeadlineError(`process ${holder.pid} is still there after ${deadlineMs / 1000} s: ${unheard ?? 'it was told to stop, and has not finished'}`, { next: `kill -9 ${holder.pid}; the next \`fmtl-node up\` goes on from the newest checkpoint` })
    }
    await pause(POLL_MS)
  }
  return holder.pid
}

/** For a node whose socket does not answer, as one that is only starting; never for a process that may be another one. */
function terminate (holder: Holder): void {
  if (holder.started === '' || !isAlive(holder)) return
  try {
    process.kill(holder.pid, 'SIGTERM')
  } catch {
    // gone, or another user's: the wait will tell
  }
}
