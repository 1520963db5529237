/** A node as a whole process: starts it, ends it on SIGTERM or Ctrl-C, and turns what goes wrong into one event and the exit status of its code. */
import { FmtlError } from '../src/errors.ts'
import { FmtlNode } from './fmtl-node.ts'
import { exitStatus } from './cli/exit-codes.ts'
import { tuneHeap } from '../src/compute/heap.ts'
import { failureOf } from './cli/failure.ts'
import type { Failure } from './cli/failure.ts'
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
  /** The last word of a node that failed, when everything else is said. */
  readonly failed?: (failure: Failure) => void
}

/** What stops in order, checkpoint included, does so within this time; what then still hangs is not waited for. */
const DRAIN_MS = 5_000

/** Never returns to the caller but through the process's exit. */
export async function runNode ({ name, emit, build, stay, onNode, until, failed }: RunInit): Promise<void> {
  tuneHeap()
  let node: FmtlNode | undefined
  let stopping = false
  const stop = async (reason: string, failure?: Failure): Promise<void> => {
    stopping = true
    setTimeout(() => {
      // After a failure, its cause is the last word: what is not drained may be a worker that is only loading.
      if (failure !== undefined) return end(failure)
      const late = { code: 'ERR_DEADLINE', message: `not drained within ${DRAIN_MS} ms` }
      emit({ type: 'error', node: name, ...late })
      end(late)
    }, DRAIN_MS).unref()
    await node?.stop(reason)
    end(failure)
  }
  const end = (failure?: Failure): never => {
    if (failure !== undefined) failed?.(failure)
    process.exit(failure === undefined ? 0 : exitStatus(failure.code))
  }
  const fail = (error: unknown): void => {
    if (stopping) return // waits that an orderly stop has ended
    const failure = failureOf(error)
    emit({ type: 'error', node: name, ...failure })
    if (!(error instanceof FmtlError)) process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
    void stop(failure.message, failure)
  }
  const asked = (): void => { void stop(until?.reason instanceof Error ? until.reason.message : 'it was asked to') }
  until?.addEventListener('abort', asked, { once: true })
  if (until?.aborted === true) return asked()
  process.once('SIGTERM', () => { void stop('SIGTERM') })
  process.once('SIGINT', () => { void stop('SIGINT') })
  // Started by `testnet up`: a testnet that dies takes its nodes along.
  process.once('disconnect', () => {
    const message = 'the process that started this node is gone'
    void stop(message, { code: 'ERR_INTERRUPTED', message })
  })
  process.once('uncaughtException', fail)
  process.once('unhandledRejection', fail)
  try {
    node = new FmtlNode(await build())
    onNode?.(node)
    await node.start()
    await Promise.all([node.report, node.finished])
    if (!stay) await stop('training is complete')
  } catch (error) {
    fail(error)
  }
}
