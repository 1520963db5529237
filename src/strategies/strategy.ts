import type { MergeSpec, ProjectionSpec } from '../federation/charter.ts'

/** A way to train together, as settings of the split engine. A charter's own settings come before a strategy's. */
export interface Strategy {
  readonly name: string
  /** Paper or source, for tables. */
  readonly source: string
  readonly kind: 'split'
  readonly projection: Partial<ProjectionSpec>
  readonly merge: Partial<MergeSpec>
}
