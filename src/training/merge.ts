/** The merge that a charter asks for, in one place: a host computes it, and whoever audits a host computes it again. */
import { createHash } from 'node:crypto'
import { mergeOuter } from '../merging/outer.ts'
import { Random, deriveSeed } from '../random.ts'
import { mergeRuleOf, remembers, ruleOfDeltas } from './rules.ts'
import type { Charter } from '../federation/charter.ts'
import type { DeltaEntry, Units } from './host-trainer.ts'
import type { HostConflicts } from '../backbone/frames.ts'
import type { MergeRule } from './rules.ts'
import type { OuterResult } from '../merging/outer.ts'

/** All that a merge depends on but the state and the deltas. */
export interface MergeTerms {
  readonly mode: Charter['merge']['mode']
  readonly rate: number
  readonly momentum: number
  readonly shareCap: number
  readonly clip: number
  /** What makes one of the hosts' deltas of the trunk; absent: their mean. */
  readonly projection?: MergeRule
}

/** What the shared units were when a round began, the outer momentum, and what the hosts' rule made of the deltas before. */
export interface RoundStart {
  readonly anchor: Units
  readonly velocity: Units | undefined
  readonly agreed?: Float32Array | undefined
}

/** The unit that rules act on: the others have no conflicts to speak of, and keep their mean. */
const TRUNK = 'trunk'

export function mergeTerms (charter: Pick<Charter, 'seed' | 'projection' | 'merge'>): MergeTerms {
  const { mode, rate, momentum, shareCap, clip } = charter.merge
  const projection = mergeRuleOf(charter)
  return { mode, rate, momentum, shareCap, clip, ...projection === undefined ? {} : { projection } }
}

/**
 * @param projected - of a merge by the terms' rule: the round, which chance follows from, and whether the hosts agree on what
 * they agreed on before. Absent: the deltas' mean
 * @throws {InvalidParametersError} a rule that there is not
 */
export function mergeDeltas ({ rate, momentum, shareCap, clip, projection }: MergeTerms, { anchor, velocity, agreed }: RoundStart, deltas: readonly DeltaEntry[], projected?: { readonly round: number, readonly history: boolean }): OuterResult {
  return mergeOuter({
    anchor,
    ...velocity === undefined ? {} : { velocity },
    deltas: deltas.map(({ id, weight, units }) => ({ id, weight, delta: units })),
    rate,
    momentum,
    shareCap,
    clip,
    between: projection === undefined || projected === undefined
      ? { unit: TRUNK }
      : {
          unit: TRUNK,
          rule: ruleOfDeltas(projection),
          random: new Random(deriveSeed(projection.seed, 'merge', projected.round)),
          ...projected.history && agreed !== undefined ? { history: agreed } : {}
        }
  })
}

/** What a host keeps of a merge for the rule of the next one. */
export function agreedOf ({ projection }: MergeTerms, { met }: OuterResult): Float32Array | undefined {
  return projection === undefined || !remembers(projection) ? undefined : met?.delta
}

/** Names what hosts agreed on: who says the same hash has the same delta. */
export function agreedHash (agreed: Float32Array): string { return stateHash({ [TRUNK]: agreed }) }

export function conflictsOf ({ met }: OuterResult): HostConflicts | undefined {
  if (met === undefined) return undefined
  const { stats: { rows, pairs, conflictPairs, meanCosine, minCosine, removedShare, minDirectionCosine }, solver } = met
  return { hosts: rows, pairs, conflictPairs, meanCosine, minCosine, removedShare, minDirectionCosine, ...solver?.fallback === true ? { fallback: true } : {} }
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
