/** What a client says of itself before it trains. Takes its rows and the charter, no backend: a client that waits holds none. */
import { createEmbedder } from '../models/embedder.ts'
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
export function describeClient ({ model, training, shared }: Charter, { id, input, tasks, train, holdout, test }: ClientData): ClientDescription {
  const { width } = model.backbone
  return {
    client: id,
    tasks: tasks.map(task => task.id),
    cut: [createEmbedder(model.embedder, input, width).tokens, width],
    batch: Math.min(training.batch, train.count),
    samples: { train: train.count, holdout: holdout.count, test: test.count },
    sharedUnits: sharedUnits(shared, tasks.map(task => task.id))
  }
}

/** Of the charter's shared units those of a client that has these tasks. A consortium has one modality: everybody shares its embedder. */
export function sharedUnits (shared: Charter['shared'], tasks: readonly string[]): readonly string[] {
  return shared.filter(unit => !unit.startsWith('head/') || tasks.includes(unit.slice('head/'.length)))
}
