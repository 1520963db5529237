import type { ConflictStats } from '../projection/index.ts'

/** For a step whose contributions are no directions: there is nothing in conflict. */
export function noConflicts (rows: number): ConflictStats {
  return { rows, dropped: 0, pairs: 0, conflictPairs: 0, meanCosine: 0, minCosine: 0, minDirectionCosine: 0, removedShare: 0, norms: [] }
}
