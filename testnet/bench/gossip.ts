/** `fmtl-node bench gossip`: how long until the last node of a consortium has heard of a delta. */
import { randomBytes } from 'node:crypto'
import { InvalidParametersError } from '../../src/errors.ts'
import { encodeDelta } from '../../protocols/delta/index.ts'
import { MAX_INLINE_BYTES } from '../../protocols/limits.ts'
import { sha256 } from '../../protocols/blob/index.ts'
import { everybodyElse, manifestOf, Mesh, plainGossip } from './mesh.ts'
import { BenchOutput, spreadOf, withOutput } from './report.ts'
import type { Command } from 'commander'
import type { Member } from './mesh.ts'
import type { BenchFlags } from './report.ts'

export interface MeshFlags extends BenchFlags {
  readonly nodes: string
  readonly runs: string
}

export function registerGossip (bench: Command): void {
  withOutput(bench.command('gossip'), 'fmtl-node bench gossip --nodes 20 --format json')
    .description('time until the last of many nodes has a delta\'s manifest, beside the same bytes by gossipsub alone')
    .option('--nodes <n,...>', 'nodes, all in this process', '20,50')
    .option('--runs <n>', 'publishes of each side, in turn', '11')
    .action(async (flags: MeshFlags) => { await benchGossip(flags) })
}

async function benchGossip (flags: MeshFlags): Promise<void> {
  const { sizes, runs } = readFlags(flags)
  const output = new BenchOutput(flags, { title: 'A delta\'s manifest, until the last node has it', names: ['test', 'bytes', 'nodes', 'impl'], figures: ['p50Ms'] })
  for (const nodes of sizes) {
    output.progress(`manifest: ${nodes} nodes`)
    const mesh = await Mesh.form(nodes)
    const [ours, plain]: [number[], number[]] = [[], []]
    let bytes = 0
    try {
      // one round to warm up
      for (let round = 0; round <= runs; round++) {
        const sender = mesh.members[round % nodes] as Member
        // too large to ride along: only the manifest is sent
        const payload = randomBytes(MAX_INLINE_BYTES + 1)
        const manifest = manifestOf(sender.id, round, payload.byteLength, sha256(payload))
        const arrived = everybodyElse(mesh, sender, ({ protocols }, arrive) => protocols.delta.onDelta(arrive))
        const startedAt = performance.now()
        await Promise.all([arrived, sender.protocols.delta.publish(manifest, payload)])
        const oursMs = performance.now() - startedAt
        await mesh.quiet()
        const message = encodeDelta({ manifest })
        bytes = message.byteLength
        const plainMs = await plainGossip(mesh, sender, message)
        await mesh.quiet()
        if (round === 0) continue
        ours.push(oursMs)
        plain.push(plainMs)
      }
    } finally {
      await mesh.stop()
    }
    output.row({ bench: 'net', impl: 'fmtl', test: 'manifest', bytes, nodes, p50Ms: spreadOf(ours) })
    output.row({ bench: 'net', impl: 'libp2p', test: 'manifest', bytes, nodes, p50Ms: spreadOf(plain) })
  }
  await output.end({ bench: 'gossip' })
}

/** @throws {InvalidParametersError} a flag that is no number, or no network */
export function readFlags ({ nodes, runs }: MeshFlags): { sizes: number[], runs: number } {
  const sizes = nodes.split(',').map(Number)
  if (sizes.some(size => !Number.isInteger(size) || size < 2 || size > 100)) throw new InvalidParametersError(`--nodes must be whole numbers from 2 to 100, got '${nodes}'`)
  if (!/^[1-9]\d{0,3}$/.test(runs)) throw new InvalidParametersError(`--runs must be a whole number above 0, got '${runs}'`)
  return { sizes, runs: Number(runs) }
}
