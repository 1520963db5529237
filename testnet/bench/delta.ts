/**
 * `fmtl-node bench delta`: how long until the last node of a consortium has a large delta, and how many copies of it were
 * sent on the way: by manifest and blob, and as the payload of one gossip message.
 */
import { randomBytes } from 'node:crypto'
import { InvalidParametersError } from '../../src/errors.ts'
import { MAX_GOSSIP_RPC_BYTES, MAX_INLINE_BYTES } from '../../protocols/limits.ts'
import { sha256 } from '../../protocols/blob/index.ts'
import { readFlags } from './gossip.ts'
import { everybodyElse, manifestOf, Mesh, plainGossip } from './mesh.ts'
import { BenchOutput, spreadOf, withOutput } from './report.ts'
import type { Command } from 'commander'
import type { Member } from './mesh.ts'
import type { MeshFlags } from './gossip.ts'

interface DeltaFlags extends MeshFlags {
  readonly bytes: string
}

export function registerDelta (bench: Command): void {
  withOutput(bench.command('delta'), 'fmtl-node bench delta --nodes 20 --runs 3')
    .description('time until the last of many nodes has a large delta, and its copies, beside gossipsub alone')
    .option('--nodes <n,...>', 'nodes, all in this process', '20')
    .option('--runs <n>', 'publishes of each side, in turn', '7')
    .option('--bytes <n>', 'size of the payload', String(2 ** 20))
    .action(async (flags: DeltaFlags) => { await benchDelta(flags) })
}

async function benchDelta (flags: DeltaFlags): Promise<void> {
  const { sizes, runs } = readFlags(flags)
  const bytes = Number(flags.bytes)
  if (!(Number.isInteger(bytes) && bytes > MAX_INLINE_BYTES && bytes < MAX_GOSSIP_RPC_BYTES)) {
    throw new InvalidParametersError(`--bytes must be from ${MAX_INLINE_BYTES + 1}, more than rides along, to ${MAX_GOSSIP_RPC_BYTES - 1}, what gossipsub can send, got '${flags.bytes}'`)
  }
  const output = new BenchOutput(flags, { title: 'A delta, until the last node has it', names: ['test', 'bytes', 'nodes', 'impl'], figures: ['p50Ms', 'copiesPerReceiver'] })
  for (const nodes of sizes) {
    output.progress(`delta: ${nodes} nodes`)
    const mesh = await Mesh.form(nodes)
    const [ours, plain] = [{ ms: [] as number[], copies: [] as number[] }, { ms: [] as number[], copies: [] as number[] }]
    const copies = (received: number): number => received / bytes / (nodes - 1)
    try {
      // one round to warm up
      for (let round = 0; round <= runs; round++) {
        const sender = mesh.members[round % nodes] as Member
        Object.assign(mesh.received, { blob: 0, gossip: 0 })
        const oursMs = await publishDelta(mesh, sender, round, randomBytes(bytes))
        await mesh.quiet()
        const oursCopies = copies(mesh.received.blob)
        Object.assign(mesh.received, { blob: 0, gossip: 0 })
        const plainMs = await plainGossip(mesh, sender, randomBytes(bytes))
        await mesh.quiet()
        if (round === 0) continue
        ours.ms.push(oursMs)
        ours.copies.push(oursCopies)
        plain.ms.push(plainMs)
        plain.copies.push(copies(mesh.received.gossip))
      }
    } finally {
      await mesh.stop()
    }
    for (const [impl, { ms, copies }] of [['fmtl', ours], ['libp2p', plain]] as const) {
      output.row({ bench: 'net', impl, test: 'delta', bytes, nodes, p50Ms: spreadOf(ms), copiesPerReceiver: spreadOf(copies) })
    }
  }
  await output.end({ bench: 'delta' })
}

/** @returns ms until the last member had the payload, hashing it included at both ends */
async function publishDelta (mesh: Mesh, sender: Member, round: number, payload: Uint8Array): Promise<number> {
  let fail: (err: unknown) => void = () => {}
  const failed = new Promise<never>((_resolve, reject) => { fail = reject })
  const arrived = everybodyElse(mesh, sender, ({ protocols }, arrive) => protocols.delta.onDelta((_manifest, fetchPayload) => {
    fetchPayload().then(arrive, fail)
  }))
  const startedAt = performance.now()
  const published = sender.protocols.delta.publish(manifestOf(sender.id, round, payload.byteLength, sha256(payload)), payload)
  await Promise.race([Promise.all([arrived, published]), failed])
  return performance.now() - startedAt
}
