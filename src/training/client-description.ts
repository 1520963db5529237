/** What a client says of itself before it trains. Takes its rows and the charter, no backend: a client that waits holds none. */
import { embedUnitsOf, embedderOf } from '../models/inputs.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientData } from '../data/dataset.ts'

export interface ClientDescription {
  readonly client: string
  readonly tasks: readonly string[]
  /** [tokens, width] of the activations. */
  readonly cut: readonly number[]
  readonly batch: number
  readonly samples: { readonly train: number, readonly holdout: number, readonly test: number }
  /** Units of this client that the charter averages every step; 'trunk' among them where it is placed here. */
  readonly sharedUnits: readonly string[]
}

/** @throws {InvalidParametersError} the charter's model does not fit the rows */
export function describeClient (charter: Charter, { id, input, tasks, train, holdout, test }: ClientData): ClientDescription {
  const { model, training } = charter
  return {
    client: id,
    tasks: tasks.map(task => task.id),
    cut: [embedderOf(model, input).tokens, model.backbone.width],
    batch: Math.min(training.batch, train.count),
    samples: { train: train.count, holdout: holdout.count, test: test.count },
    sharedUnits: sharedUnits(charter, tasks.map(task => task.id))
  }
}

/** Of the charter's shared units those of a client that has these tasks: their heads, and the embedders that they are read through. */
export function sharedUnits (charter: Charter, tasks: readonly string[]): readonly string[] {
  const embedders = embedUnitsOf(charter, tasks)
  return charter.shared.filter(unit => unit.startsWith('head/') ? tasks.includes(unit.slice('head/'.length)) : !unit.startsWith('embed/') || embedders.has(unit))
}
