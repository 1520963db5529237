/**
 * `fmtl-node bench delta`: how long until the last node of a consortium has a large delta, and how many copies of it were
 * sent on the way: by manifest and blob (fmtl), as the payload of one gossip message between our nodes (gossip), and
 * between nodes of js-libp2p as it comes (libp2p).
 */
import { randomBytes } from 'node:crypto'
import { InvalidParametersError } from '../../src/errors.ts'
import { MAX_GOSSIP_RPC_BYTES, MAX_INLINE_BYTES } from '../../protocols/limits.ts'
import { sha256 } from '../../protocols/blob/index.ts'
import { readFlags } from './gossip.ts'
import { everybodyElse, manifestOf, Mesh, plainGossip } from './mesh.ts'
import { BenchOutput, spreadOf, withOutput } from './report.ts'
import type { Command } from 'commander'
import type { Gossiper, Member } from './mesh.ts'
import type { MeshFlags } from './gossip.ts'

interface DeltaFlags extends MeshFlags {
  readonly bytes: string
}

export function registerDelta (bench: Command): void {
  withOutput(bench.command('delta'), 'fmtl-node bench delta --nodes 20 --runs 3')
    .description('time until the last of many nodes has a large delta, and its copies, beside gossip with the delta as its payload')
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
    const [mesh, stock] = [await Mesh.form(nodes), await Mesh.plain(nodes)]
    const sides = [
      sideOf('fmtl', mesh, async round => await publishDelta(mesh, mesh.members[round % nodes] as Member, round, randomBytes(bytes))),
      sideOf('gossip', mesh, async round => await plainGossip(mesh, mesh.members[round % nodes] as Member, randomBytes(bytes))),
      sideOf('libp2p', stock, async round => await plainGossip(stock, stock.members[round % nodes] as Gossiper, randomBytes(bytes)))
    ]
    try {
      // one round to warm up
      for (let round = 0; round <= runs; round++) for (const side of sides) await side.publish(round)
    } finally {
      await Promise.all([mesh.stop(), stock.stop()])
    }
    for (const { impl, ms, received } of sides) {
      const copies = received.slice(1).map(received => received / bytes / (nodes - 1))
      output.row({ bench: 'net', impl, test: 'delta', bytes, nodes, p50Ms: spreadOf(ms.slice(1)), copiesPerReceiver: spreadOf(copies) })
    }
  }
  await output.end({ bench: 'delta' })
}

interface Side {
  readonly impl: string
  /** Until the last node had it. */
  readonly ms: readonly number[]
  /** Bytes that all of them received. */
  readonly received: readonly number[]
  publish (round: number): Promise<void>
}

function sideOf<M extends Gossiper> (impl: string, mesh: Mesh<M>, send: (round: number) => Promise<number>): Side {
  const [ms, received]: [number[], number[]] = [[], []]
  return {
    impl,
    ms,
    received,
    publish: async round => {
      mesh.received.bytes = 0
      ms.push(await send(round))
      await mesh.quiet()
      received.push(mesh.received.bytes)
    }
  }
}

/** @returns ms until the last member had the payload, hashing it included at both ends */
async function publishDelta (mesh: Mesh<Member>, sender: Member, round: number, payload: Uint8Array): Promise<number> {
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
