/** Runs orders in several processes, each with one compute thread: on few cores two runs side by side beat one on two threads. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { FmtlError } from '../../../src/errors.ts'
import { HEAP_FLAGS } from '../../../src/compute/heap.ts'
import { threadSettings } from '../../../src/backend/compat.ts'
import type { ChildProcess } from 'node:child_process'
import type { Run, RunAnswer, RunOrder } from './run.ts'

const RUN = fileURLToPath(new URL('./run.ts', import.meta.url))
/** Longest run: a minute on a quiet machine, and many times that on a busy one. */
const RUN_MS = 30 * 60_000

export interface PoolInit {
  readonly jobs: number
  readonly onStart: (order: RunOrder) => void
  readonly onRun: (run: Run) => void
}

/** @throws {FmtlError} the first run that failed, with what it was */
export async function runAll (orders: readonly RunOrder[], { jobs, onStart, onRun }: PoolInit): Promise<void> {
  const waiting = [...orders]
  const children: ChildProcess[] = []
  const work = async (): Promise<void> => {
    const child = fork(RUN, { execArgv: [...HEAP_FLAGS], env: { ...process.env, ...threadSettings(1) } })
    children.push(child)
    for (let order = waiting.shift(); order !== undefined; order = waiting.shift()) {
      onStart(order)
      onRun(await answered(child, order))
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(jobs, orders.length) }, work))
  } finally {
    for (const child of children) child.kill()
  }
}

async function answered (child: ChildProcess, order: RunOrder): Promise<Run> {
  const what = `${order.strategy} on ${order.data}, seed ${order.seed}`
  const { promise, resolve, reject } = Promise.withResolvers<Run>()
  const onMessage = (answer: RunAnswer): void => {
    if ('run' in answer) resolve(answer.run)
    else reject(new FmtlError('ERR_BENCH', `${what}: ${answer.error}`, answer.next === undefined ? {} : { next: answer.next }))
  }
  const onExit = (code: number | null, signal: string | null): void => {
    reject(new FmtlError('ERR_BENCH', `${what}: its process ended with ${signal ?? `status ${code}`}`, { next: 'take fewer --jobs where memory is short' }))
  }
  const late = setTimeout(() => reject(new FmtlError('ERR_BENCH', `${what}: no result after ${RUN_MS / 60_000} minutes`)), RUN_MS)
  child.once('message', onMessage).once('exit', onExit)
  child.send(order)
  try {
    return await promise
  } finally {
    clearTimeout(late)
    child.off('message', onMessage).off('exit', onExit)
  }
}
