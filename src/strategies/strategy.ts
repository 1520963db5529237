import type { CharterOptions, MergeSpec, ProjectionSpec } from '../federation/charter.ts'
import type { Recipe } from '../data/dataset.ts'

/** A way to train together, as settings of one engine. A charter's own settings come before a strategy's, a strategy's before a recipe's. */
export interface Strategy {
  readonly name: string
  /** Paper or source, for tables. */
  readonly source: string
  /**
   * split: clients send activations to the trunk at a host; whole: every client trains the whole model and sends what changed;
   * peer: nobody hosts, sites trade whole models and serve a few of them; alone: nothing is exchanged, a yardstick for the others.
   */
  readonly kind: 'split' | 'whole' | 'peer' | 'alone'
  /** alone only: one model on the rows of all sites, which no consortium could do. */
  readonly pooled?: true
  readonly model?: Readonly<Record<string, unknown>>
  readonly training?: Readonly<Record<string, unknown>>
  readonly projection: Partial<ProjectionSpec>
  readonly merge: Partial<MergeSpec>
  /** Splits the tasks into groups after some rounds; its defaults follow from the charter's rounds. */
  readonly grouping?: CharterOptions['grouping']
  /** What sites make of each other beyond a mean: src/methods. */
  readonly method?: CharterOptions['method']
  /** peer only: what sites train and how they choose. */
  readonly bench?: CharterOptions['bench']
}

type Optional = 'grouping' | 'method' | 'bench'
type Settings = Pick<CharterOptions, 'model' | 'training' | 'projection' | 'merge' | Optional>
type Made = Required<Omit<Settings, Optional>> & Pick<Settings, Optional>

/** What a charter is made of: the data's recipe, over it the strategy, over both what its members agreed on. */
export function settingsOf (strategy: Strategy, recipe: Recipe, own: Settings): Made {
  return {
    model: { ...recipe.model, ...strategy.model, ...own.model },
    training: { ...recipe.training, ...strategy.training, ...own.training },
    projection: { ...strategy.projection, ...own.projection },
    merge: { ...strategy.merge, ...own.merge },
    ...strategy.grouping === undefined && own.grouping === undefined ? {} : { grouping: { ...strategy.grouping, ...own.grouping } },
    ...strategy.method === undefined && own.method === undefined ? {} : { method: { ...strategy.method, ...own.method } },
    ...strategy.bench === undefined && own.bench === undefined ? {} : { bench: { ...strategy.bench, ...own.bench } }
  }
}
