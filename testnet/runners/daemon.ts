/** Starts `node/daemon.ts` as a process of its own, the way every testnet and bench does. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { HEAP_FLAGS } from '../../src/compute/heap.ts'
import { compileCacheFolder } from '../../node/compile-cache.ts'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import type { DaemonSpec } from '../../node/daemon.ts'
import type { NodeEvent } from '../../node/events.ts'

const DAEMON = fileURLToPath(new URL('../../node/daemon.ts', import.meta.url))

/**
 * @param env - on top of this process's environment
 * @param onEvent - what the node tells; a library's own print is left out
 */
export function spawnDaemon (spec: DaemonSpec, env: Readonly<Record<string, string>>, onEvent: (event: NodeEvent) => void): ChildProcessWithoutNullStreams {
  const child = spawn(process.execPath, [...HEAP_FLAGS, DAEMON], {
    // The channel carries nothing: that it closes tells a node that this process has died.
    stdio: ['pipe', 'pipe', 'pipe', 'ipc'],
    env: { NODE_COMPILE_CACHE: compileCacheFolder(), ...process.env, ...env }
  }) as ChildProcessWithoutNullStreams
  child.stdin.end(JSON.stringify(spec))
  createInterface({ input: child.stdout }).on('line', line => {
    const event = parseEvent(line)
    if (event !== undefined) onEvent(event)
  })
  return child
}

function parseEvent (line: string): NodeEvent | undefined {
  try {
    return JSON.parse(line) as NodeEvent
  } catch {
    return undefined
  }
}
