/** The merge that a charter asks for, in one place: a host computes it, and whoever audits a host computes it again. */
import { createHash } from 'node:crypto'
import { mergeOuter } from '../merging/outer.ts'
import type { Charter } from '../federation/charter.ts'
import type { DeltaEntry, Units } from './host-trainer.ts'
import type { OuterResult } from '../merging/outer.ts'

/** All that a merge depends on but the state and the deltas. */
export interface MergeTerms {
  readonly mode: Charter['merge']['mode']
  readonly rate: number
  readonly momentum: number
  readonly shareCap: number
  readonly clip: number
}

/** What the shared units were when a round began, and the outer momentum. */
export interface RoundStart {
  readonly anchor: Units
  readonly velocity: Units | undefined
}

export function mergeTerms ({ merge: { mode, rate, momentum, shareCap, clip } }: Charter): MergeTerms {
  return { mode, rate, momentum, shareCap, clip }
}

export function mergeDeltas ({ rate, momentum, shareCap, clip }: MergeTerms, { anchor, velocity }: RoundStart, deltas: readonly DeltaEntry[]): OuterResult {
  return mergeOuter({
    anchor,
    ...velocity === undefined ? {} : { velocity },
    deltas: deltas.map(({ id, weight, units }) => ({ id, weight, delta: units })),
    rate,
    momentum,
    shareCap,
    clip
  })
}

/** sha-256 over names and bits, in hex: names a version of the shared state. */
export function stateHash (units: Units): string {
  const hash = createHash('sha256')
  for (const name of Object.keys(units).sort()) {
    const { buffer, byteOffset, byteLength, length } = units[name] as Float32Array
    hash.update(`${name} ${length}\n`).update(new Uint8Array(buffer, byteOffset, byteLength))
  }
  return hash.digest('hex')
}
