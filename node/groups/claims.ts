/** Of several partitions that peers claim, which to believe first. Everybody who has heard the same claims ranks them alike. */
import type { AffinityClaim, RowReference } from '../../protocols/affinity/index.ts'

export interface Candidate {
  readonly partition: string
  /** Who claims it. */
  readonly peers: readonly string[]
  /** Sets of rows that it is said to follow from, the largest first. */
  readonly rows: ReadonlyArray<readonly RowReference[]>
}

interface Claimed { readonly peers: string[], readonly rows: Map<string, readonly RowReference[]> }

/** Most claims first, then more rows, then the lower hash. */
export function ranked (claims: ReadonlyMap<string, AffinityClaim>): Candidate[] {
  const candidates = new Map<string, Claimed>()
  for (const [peer, { partition, rows }] of [...claims].sort(([a], [b]) => a < b ? -1 : 1)) {
    const candidate: Claimed = candidates.get(partition) ?? { peers: [], rows: new Map() }
    candidate.peers.push(peer)
    candidate.rows.set(rows.map(({ site, hash }) => `${site} ${hash}`).sort().join(), rows)
    candidates.set(partition, candidate)
  }
  return [...candidates]
    .map(([partition, { peers, rows }]) => ({ partition, peers, rows: [...rows.values()].sort((a, b) => b.length - a.length) }))
    .sort((a, b) => b.peers.length - a.peers.length || largest(b) - largest(a) || (a.partition < b.partition ? -1 : 1))
}

function largest ({ rows: [first = []] }: Candidate): number { return first.length }
