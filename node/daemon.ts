/**
 * A node as a process: reads its specification as JSON from standard input, tells events as NDJSON on standard output, and
 * ends on SIGTERM. What `testnet up` starts, one per node. Exit status 0 after an orderly stop, else that of the error
 * (./cli/exit-codes.ts).
 */
import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { NodeLedger, lonelyContext } from './ledger.ts'
import { openStrategy, ruleFile } from '../src/strategies/outside.ts'
import { readCharter } from '../src/federation/charter.ts'
import { runNode } from './run.ts'
import { startFromFile } from './foundation/file.ts'
import { folderOf, storesIn } from './groups/phase.ts'
import { seededIdentity, signerOf } from './store/identity.ts'
import type { Charter } from '../src/federation/charter.ts'
import type { FmtlNodeInit } from './fmtl-node.ts'
import type { NodeEvent } from './events.ts'

export interface DaemonSpec extends Pick<FmtlNodeInit, 'name' | 'role' | 'slots' | 'data' | 'control' | 'baseline' | 'prefer' | 'backend' | 'memoryBytes' | 'listen' | 'bootstrap' | 'profile'> {
  /** Path of the charter, JSON. */
  readonly charter: string
  /** Path of the strategy file that the charter's gradient rule is from. */
  readonly strategy?: string
  /** Path of the foundation model that the charter builds on. */
  readonly foundation?: string
  /** The key is derived from these two: testnet nodes have nothing to protect. */
  readonly seed: number
  readonly label: string
  /** Clients and other hosts that must be there before a host's first step. */
  readonly quorum: number
  readonly peers: number
  /** Checkpoints live here. */
  readonly home: string
}

const emit = (event: NodeEvent): void => { process.stdout.write(`${JSON.stringify(event)}\n`) }
const spec = JSON.parse(await text(process.stdin)) as DaemonSpec

await runNode({
  name: spec.name,
  emit,
  stay: true,
  build: async () => {
    const agreed = readCharter(JSON.parse(await readFile(spec.charter, 'utf8')))
    const charter: Charter = { ...agreed, clock: { ...agreed.clock, quorum: spec.quorum, peers: spec.peers } }
    const strategyFile = ruleFile(charter, spec.strategy === undefined ? {} : await openStrategy(spec.strategy))
    const privateKey = await seededIdentity(spec.seed, spec.label)
    const { name, role, slots, control, prefer, listen, bootstrap, profile } = spec
    return {
      name,
      privateKey,
      charter,
      role,
      slots,
      ...spec.data === undefined ? {} : { data: spec.data },
      control,
      ...spec.baseline === undefined ? {} : { baseline: spec.baseline },
      prefer,
      ...spec.backend === undefined ? {} : { backend: spec.backend },
      ...spec.memoryBytes === undefined ? {} : { memoryBytes: spec.memoryBytes },
      ...strategyFile === undefined ? {} : { strategyFile },
      start: await startFromFile(charter, spec.foundation),
      listen,
      bootstrap,
      profile,
      storesOf: phase => storesIn(folderOf(spec.home, charter, phase), phase, line => { emit({ type: 'error', node: spec.name, code: 'ERR_CHECKPOINT', message: line }) }),
      ledger: await NodeLedger.open({
        home: spec.home,
        signer: signerOf(privateKey),
        context: () => lonelyContext(charter),
        onNotice: line => { emit({ type: 'error', node: spec.name, code: 'ERR_LEDGER', message: line }) }
      }),
      emit
    }
  }
})
