/**
 * Several data sets as one: pictures at some sites, sentences at others, one consortium. Every client stays a client of its
 * own set. What two sets call the same is told apart by the set's name in front; inputs are named by their modality, and from
 * the second of one modality on by the set's name too. Names follow from the list of sets alone, whatever of it is opened.
 */
import { InvalidParametersError } from '../errors.ts'
import { inputName } from '../models/inputs.ts'
import { canonicalJson } from '../models/spec.ts'
import type { ClientData, Dataset, DatasetOptions, InputSpec, Recipe, Rows } from './dataset.ts'
import type { TaskSpec } from '../tasks/task.ts'

/** One of the sets, not opened yet. */
export interface PartInit {
  readonly name: string
  /** Every task that it has, also those that are not asked for. */
  readonly tasks: readonly string[]
  readonly open: (options: DatasetOptions) => Promise<Dataset>
}

/** Id in its set -> id here. */
type Names = ReadonlyMap<string, string>

/** @throws {InvalidParametersError} an unknown task, or fewer clients than sets */
export async function openJoined (name: string, inits: readonly PartInit[], options: DatasetOptions, recipe?: Recipe): Promise<Dataset> {
  const labels = numbered(inits.map(({ name }) => name))
  const taskNames = apart(inits.map(({ tasks }) => tasks), labels)
  const known = taskNames.flatMap(names => [...names.values()])
  const wanted = options.tasks ?? recipe?.tasks
  const unknown = options.someTasks === true ? undefined : wanted?.find(id => !known.includes(id))
  if (unknown !== undefined) throw new InvalidParametersError(`no task '${unknown}', there are ${known.join(', ')}`, { next: 'name one of these' })
  const { tasks: _tasks, someTasks: _someTasks, among, clients, ...shared } = options
  const ownOf = (ids: readonly string[] | undefined, names: Names): string[] | undefined => ids === undefined ? undefined : [...names].flatMap(([id, here]) => ids.includes(here) ? [id] : [])
  const own = taskNames.map(names => ownOf(wanted, names))
  const used = taskNames.map(names => ownOf(among ?? wanted, names)?.length !== 0)
  const counts = clientsOf(clients, used)
  const opened = await Promise.all(inits.map(async ({ open }, i) => await open({
    ...shared,
    ...own[i] !== undefined && own[i].length > 0 ? { tasks: own[i] } : {},
    ...counts[i] === undefined ? {} : { clients: counts[i] }
  })))
  const inputs = namedInputs(opened.map(({ input }) => input), labels)
  const clientNames = apart(opened.map(({ clientIds }) => clientIds), labels)
  const parts = opened.map((set, i) => renamed(set, { input: inputs[i] as InputSpec, tasks: taskNames[i] as Names, clients: clientNames[i] as Names }))
  return joinDatasets(name, parts.filter((_, i) => used[i] === true), recipe)
}

/** Sets of which no two have a client or a task of one name. @throws {InvalidParametersError} there is none */
export function joinDatasets (name: string, parts: readonly Dataset[], recipe: Recipe = {}): Dataset {
  const [first] = parts
  if (first === undefined) throw new InvalidParametersError(`no set of ${name} has a task that is asked for`, { next: 'name a task of one of them' })
  const inputs = [...new Map(parts.map(({ input }) => [inputName(input), input])).values()]
  const several = inputs.length > 1
  const owner = new Map(parts.flatMap(part => part.clientIds.map(id => [id, part])))
  return {
    name,
    input: first.input,
    ...several ? { inputs } : {},
    parts,
    tasks: parts.flatMap(({ input, tasks }) => several ? tasks.map((task): TaskSpec => ({ ...task, input: inputName(input) })) : tasks),
    clientIds: [...owner.keys()],
    recipe: joinedRecipe(parts, recipe),
    client: async id => {
      const part = owner.get(id)
      if (part === undefined) throw new InvalidParametersError(`no client '${id}' in ${name}, there are ${[...owner.keys()].join(', ')}`, { next: 'name one of these' })
      return await part.client(id)
    }
  }
}

/** The first set's settings, with embedders and shared parts of all. Rows, hold-outs and spreading stay each set's own. */
function joinedRecipe (parts: readonly Dataset[], own: Recipe): Recipe {
  const [first, ...others] = parts as [Dataset, ...Dataset[]]
  const beside = others.filter(({ input }) => inputName(input) !== inputName(first.input))
  const sharing = parts.filter(({ recipe }) => recipe.model?.sharedEmbedder === true).map(({ input }) => inputName(input))
  const heads = parts.flatMap(({ recipe }) => recipe.model?.sharedHeads ?? [])
  return {
    ...own,
    model: {
      ...first.recipe.model,
      ...beside.length === 0 ? {} : { attention: parts.some(({ input, recipe }) => recipe.model?.attention ?? input.modality !== 'table'), embedders: Object.fromEntries(beside.map(({ input, recipe }) => [inputName(input), recipe.model?.embedder ?? {}])) },
      sharedEmbedder: beside.length === 0 ? sharing.length > 0 : [...new Set(sharing)],
      sharedHeads: heads,
      ...own.model
    },
    training: { ...first.recipe.training, ...own.training }
  }
}

function renamed (set: Dataset, { input, tasks, clients }: { readonly input: InputSpec, readonly tasks: Names, readonly clients: Names }): Dataset {
  const here = (id: string): string => tasks.get(id) as string
  const specs = new Map(set.tasks.map(task => [task.id, { ...task, id: here(task.id) }]))
  const labels = ({ y, ...rows }: Rows): Rows => ({ ...rows, y: Object.fromEntries(Object.entries(y).map(([id, values]) => [here(id), values])) })
  const { model = {}, ...recipe } = set.recipe
  return {
    name: set.name,
    input,
    tasks: [...specs.values()],
    clientIds: [...clients.values()],
    recipe: { ...recipe, model: { ...model, sharedHeads: ((model.sharedHeads ?? []) as readonly string[]).filter(id => specs.has(id)).map(here) } },
    client: async (id): Promise<ClientData> => {
      const natural = [...clients].find(([, name]) => name === id)?.[0] ?? id
      const data = await set.client(natural)
      return { ...data, id, input, tasks: data.tasks.map(task => specs.get(task.id) as TaskSpec), train: labels(data.train), holdout: labels(data.holdout), test: labels(data.test) }
    }
  }
}

/** Inputs of one format are one input. */
function namedInputs (inputs: readonly InputSpec[], labels: readonly string[]): readonly InputSpec[] {
  const named: InputSpec[] = []
  return inputs.map((input, i) => {
    const { name: _name, ...format } = input
    const same = named.find(({ name: _name, ...known }) => canonicalJson(known) === canonicalJson(format))
    if (same !== undefined) return same
    const made: InputSpec = named.some(other => inputName(other) === format.modality) ? { ...format, name: `${format.modality}-${labels[i]}` } : format
    named.push(made)
    return made
  })
}

/** Ids of several sets as they are called here: what two of them have gets the set's name in front. */
function apart (ids: ReadonlyArray<readonly string[]>, labels: readonly string[]): readonly Names[] {
  const sets = ids.map(each => new Set(each))
  return ids.map((each, i) => new Map(each.map(id => [id, sets.filter(set => set.has(id)).length > 1 ? `${labels[i]}-${id}` : id])))
}

function numbered (names: readonly string[]): readonly string[] {
  return names.map((name, i) => {
    const before = names.slice(0, i).filter(other => other === name).length
    return before === 0 ? name : `${name}-${before + 1}`
  })
}

/** So many clients dealt out to the sets, the first ones get what is over. */
function clientsOf (clients: number | undefined, used: readonly boolean[]): ReadonlyArray<number | undefined> {
  if (clients === undefined) return used.map(() => undefined)
  const sets = used.filter(Boolean).length
  if (!Number.isSafeInteger(clients) || clients < sets) throw new InvalidParametersError(`${clients} clients of ${sets} data sets: each has at least one`, { next: `ask for ${sets} or more` })
  let at = 0
  return used.map(is => is ? Math.floor(clients / sets) + (at++ < clients % sets ? 1 : 0) : undefined)
}
