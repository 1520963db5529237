export { CLIP, OUTER_MOMENTUM, OUTER_RATE, SHARE_CAP, capShares, mergeOuter } from './outer.ts'
export { MAX_MEMBERS, STALENESS_DISCOUNT, selectDeltas } from './selection.ts'
export type { HostDelta, OuterInit, OuterResult, Units } from './outer.ts'
export type { DeltaCandidate, DeltaSelection, SelectDeltasInit } from './selection.ts'
