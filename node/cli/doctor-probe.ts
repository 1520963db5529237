/**
 * Loads and measures one rung in a process of its own, and sends what it found to the parent: a native library that crashes
 * takes this process with it and nothing else.
 */
import { loadRung } from '../../src/backend/ladder.ts'
import { probe } from '../../src/backend/probe.ts'
import { FmtlError } from '../../src/errors.ts'
import type { RungName } from '../../src/backend/ladder.ts'
import type { ProbeResult } from '../../src/backend/probe.ts'

export type ProbeMessage =
  | { readonly loads: true, readonly software: boolean, readonly device: string | null, readonly result: ProbeResult }
  | { readonly loads: false, readonly reason: string }

async function measure (name: RungName): Promise<ProbeMessage> {
  try {
    const rung = await loadRung(name)
    return { loads: true, software: rung.software, device: rung.device?.name ?? null, result: await probe(rung) }
  } catch (err) {
    if (err instanceof FmtlError) return { loads: false, reason: err.message }
    return { loads: false, reason: `${name} loads but fails while computing: ${err instanceof Error ? err.message : String(err)}` }
  }
}

// Started by ./doctor.ts with a channel to it; the name is one of the ladder's.
const message = await measure(process.argv[2] as RungName)
process.send?.(message, () => process.exit(0))
