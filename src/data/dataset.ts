import type { TaskSpec } from '../tasks/task.ts'

export type Modality = 'image' | 'table' | 'series' | 'tokens'

/** What one row of input looks like. */
export interface InputSpec {
  readonly modality: Modality
  /** Tells the inputs of one consortium apart where two are of one modality. Left out: the modality. */
  readonly name?: string
  /**
   * image [height, width, channels] in about -1..1 after the manifest's `prepare`; table [columns] (one-hot, scaled
   * value, missing flag already expanded); series [steps, channels]; tokens [length, slots]: bucket indices as
   * numbers, -1 = padding (word, affixes, n-grams of one token are its slots).
   */
  readonly shape: readonly number[]
  /** tokens only: number of hash buckets. */
  readonly buckets?: number
  /** tokens only: hash of the tokenizer whose word pieces the buckets are, one to a token. Left out: hashed words. */
  readonly tokenizer?: string
  /** table only: name of each expanded column. */
  readonly columns?: readonly string[]
}

export interface Rows {
  readonly count: number
  /** count x elements(input.shape), row-major. */
  readonly x: Float32Array
  /** task id -> count x positions x targets. */
  readonly y: Readonly<Record<string, Float32Array>>
  /**
   * Index of each row in its source, for `predict` and for the audit of splits. Where a partition pools several
   * sites' files, rows are numbered over all of them.
   */
  readonly source: Int32Array
}

/** One site's private rows. Lives at the client and nowhere else. */
export interface ClientData {
  readonly id: string
  readonly input: InputSpec
  readonly tasks: readonly TaskSpec[]
  readonly train: Rows
  /** Private hold-out: never trained on; decides what is served and which deltas help. */
  readonly holdout: Rows
  readonly test: Rows
  /** Benches only: rows of all sites' labels. No real site has any. */
  readonly all?: Rows
  /** Of rows that are all trained on, hold-out rows too: how they were split before, when choices were made. */
  readonly before?: { readonly train: Rows, readonly holdout: Rows }
}

/** Model and training settings that a manifest recommends; flags and config override. Unknown keys are refused. */
export interface Recipe {
  readonly tasks?: readonly string[]
  readonly rows?: number
  readonly holdout?: number
  /** Give every client one of the tasks, in turn, instead of all of them. */
  readonly spread?: boolean
  readonly model?: Readonly<Record<string, unknown>>
  readonly training?: Readonly<Record<string, unknown>>
  /** By task: what is set otherwise where it is the only one that is trained. */
  readonly alone?: Readonly<Record<string, Pick<Recipe, 'model' | 'training'>>>
}

/** What a recipe recommends for these tasks. */
export function recipeFor ({ alone, ...recipe }: Recipe, tasks: readonly string[]): Recipe {
  const own = tasks.length === 1 ? alone?.[tasks[0] as string] : undefined
  return own === undefined ? recipe : { ...recipe, model: { ...recipe.model, ...own.model }, training: { ...recipe.training, ...own.training } }
}

export interface DatasetOptions {
  readonly seed: number
  /**
   * Number of clients; default: the natural ones. By site: the first ones, or a multiple of them, which divides each
   * into shards.
   */
  readonly clients?: number
  /** Task ids to load; default: the recipe's. */
  readonly tasks?: readonly string[]
  /** Of `tasks` those that the set has: a consortium of several kinds of input has tasks that no one set has. */
  readonly someTasks?: true
  /** Where `tasks` are those of one client of several sets: those of all clients, by which sets are in or out. */
  readonly among?: readonly string[]
  /** Training rows (with hold-out) per client, drawn by seed, or all where there are fewer; default: the recipe's, else all. */
  readonly rows?: number
  /** Share of a client's training rows kept as hold-out. */
  readonly holdout?: number
  readonly partition?: 'by-site' | 'iid' | 'dirichlet'
  /** Dirichlet concentration over the first class task. Default 0.5. */
  readonly alpha?: number
}

export interface Dataset {
  readonly name: string
  readonly input: InputSpec
  /** Where its clients have different inputs: all of them, `input` first. */
  readonly inputs?: readonly InputSpec[]
  /** The sets that it was made of, with the names that clients and tasks have here. */
  readonly parts?: readonly Dataset[]
  readonly tasks: readonly TaskSpec[]
  readonly clientIds: readonly string[]
  readonly recipe: Recipe
  /** Reads one client's rows; other clients' rows are not kept. */
  client (id: string): Promise<ClientData>
}

/** The same rows with some of their tasks. */
export function withTasks (data: ClientData, ids: readonly string[]): ClientData {
  const keep = (rows: Rows): Rows => ({ ...rows, y: Object.fromEntries(Object.entries(rows.y).filter(([id]) => ids.includes(id))) })
  return {
    ...data,
    tasks: data.tasks.filter(task => ids.includes(task.id)),
    train: keep(data.train),
    holdout: keep(data.holdout),
    test: keep(data.test),
    ...data.all === undefined ? {} : { all: keep(data.all) },
    ...data.before === undefined ? {} : { before: { train: keep(data.before.train), holdout: keep(data.before.holdout) } }
  }
}

/** Tasks of one client: those of its set, or with `spread` (default: what its set recommends) one of them in turn. */
export function tasksOfClient ({ parts, tasks, clientIds, recipe }: Dataset, client: string, spread?: boolean): readonly string[] {
  const part = parts?.find(part => part.clientIds.includes(client))
  if (part !== undefined) return tasksOfClient(part, client, spread)
  const ids = tasks.map(({ id }) => id)
  return spread ?? recipe.spread ?? false ? [ids[clientIds.indexOf(client) % ids.length] as string] : ids
}
