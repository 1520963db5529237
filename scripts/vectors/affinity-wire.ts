/** What sites say before their tasks are split: one message of every kind, about a charter of three tasks. */
import { encodeAffinity, encodeRow } from '../../protocols/affinity/index.ts'
import { sha256 } from '../../protocols/blob/index.ts'
import type { AffinityMessage, AffinityRow } from '../../protocols/affinity/index.ts'
import type { WireVector } from './members-wire.ts'

const CHARTER = 'a1'.repeat(8)
const SITES = ['12D3KooWA1', '12D3KooWB2']

/** Numbers that float32 keeps. */
const rows: AffinityRow[] = [
  { site: SITES[0] as string, charter: CHARTER, tasks: ['depth', 'edges', 'parts'], sums: Float32Array.of(0, 0.5, -0.25, 1.5, 0, 0, -2, 0.125, 0), counts: Uint32Array.of(4, 4, 4, 4, 4, 0, 4, 4, 4) },
  { site: SITES[1] as string, charter: CHARTER, tasks: ['edges'], sums: Float32Array.of(0), counts: Uint32Array.of(0) }
]

export function affinityMessages (): WireVector[] {
  const references = rows.map(row => ({ site: row.site, hash: sha256(encodeRow(row)), bytes: encodeRow(row).byteLength }))
  const messages: Record<string, AffinityMessage> = {
    row: { row: rows[0] as AffinityRow },
    'row-one-task': { row: rows[1] as AffinityRow },
    roll: { roll: { charter: CHARTER, clients: SITES } },
    claim: { claim: { charter: CHARTER, partition: 'b2'.repeat(32), rows: references } },
    'claim-no-rows': { claim: { charter: CHARTER, partition: 'b2'.repeat(32), rows: [] } }
  }
  return Object.entries(messages).map(([name, value]) => ({ name, bytes: encodeAffinity(value), says: { message: 'AffinityMessage', value: plain(value) } }))
}

/** As JSON can have it: cells as lists under the name of their type. */
function plain (value: AffinityMessage): unknown {
  if (!('row' in value)) return value
  const { sums, counts, ...row } = value.row
  return { row: { ...row, sums: { float32: [...sums] }, counts: { uint32: [...counts] } } }
}
