/** A node as a whole process: starts it, ends it on SIGTERM or Ctrl-C, and turns what goes wrong into one event and exit status 1. */
import { FmtlError } from '../src/errors.ts'
import { FmtlNode } from './fmtl-node.ts'
import type { FmtlNodeInit } from './fmtl-node.ts'
import type { NodeEvent } from './events.ts'

export interface RunInit {
  readonly name: string
  readonly emit: (event: NodeEvent) => void
  readonly build: () => Promise<FmtlNodeInit>
  /** After training is complete: stay and serve until a signal comes, or end. */
  readonly stay: boolean
  /** Hears of the node before it starts. */
  readonly onNode?: (node: FmtlNode) => void
  /** Its end is a wish to stop, as SIGTERM is. */
  readonly until?: AbortSignal
}

/** What stops in order, checkpoint included, does so within this time; what then still hangs is not waited for. */
const DRAIN_MS = 5_000

/** Never returns to the caller but through the process's exit. */
export async function runNode ({ name, emit, build, stay, onNode, until }: RunInit): Promise<void> {
  let node: FmtlNode | undefined
  let stopping = false
  const stop = async (reason: string, exitCode: number): Promise<void> => {
    stopping = true
    setTimeout(() => {
      // After a failure, its cause is the last word: what is not drained may be a worker that is only loading.
      if (exitCode === 0) emit({ type: 'error', node: name, code: 'ERR_DEADLINE', message: `not drained within ${DRAIN_MS} ms` })
      process.exit(1)
    }, DRAIN_MS).unref()
    await node?.stop(reason)
    process.exit(exitCode)
  }
  const fail = (error: unknown): void => {
    if (stopping) return // waits that an orderly stop has ended
    const known = error instanceof FmtlError
    const message = error instanceof Error ? error.message : String(error)
    emit({ type: 'error', node: name, code: known ? error.code : 'ERR_INTERNAL', message, ...known && error.next !== undefined ? { next: error.next } : {} })
    if (!known) process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
    void stop(message, 1)
  }
  process.once('SIGTERM', () => { void stop('SIGTERM', 0) })
  process.once('SIGINT', () => { void stop('SIGINT', 0) })
  const asked = (): void => { void stop(until?.reason instanceof Error ? until.reason.message : 'it was asked to', 0) }
  until?.addEventListener('abort', asked, { once: true })
  if (until?.aborted === true) return asked()
  // Started by `testnet up`: a testnet that dies takes its nodes along.
  process.once('disconnect', () => { void stop('the process that started this node is gone', 1) })
  process.once('uncaughtException', fail)
  process.once('unhandledRejection', fail)
  try {
    node = new FmtlNode(await build())
    onNode?.(node)
    await node.start()
    await Promise.all([node.report, node.finished])
    if (!stay) await stop('training is complete', 0)
  } catch (error) {
    fail(error)
  }
}
