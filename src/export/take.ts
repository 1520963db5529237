/** Takes a predictor that stands alone out of a site's checkpoint: a file's tensors and the card to go with them. */
import { InvalidParametersError } from '../errors.ts'
import { charterHash } from '../federation/charter.ts'
import { formOf } from '../models/form.ts'
import { linearUnits } from '../models/linear.ts'
import { memberIn, refuseMixture, savedTasks, siteForm } from './members.ts'
import { SEAT } from '../methods/site.ts'
import { inputName, inputOf } from '../models/inputs.ts'
import { methodOf } from '../methods/index.ts'
import { weightsHash } from './card.ts'
import type { Card } from './card.ts'
import type { Charter } from '../federation/charter.ts'
import type { ExportWish, Members } from './members.ts'
import type { Graph } from '../graph/graph.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { SavedState } from '../training/saved-state.ts'

export interface Exported {
  readonly card: Card
  readonly tensors: readonly NamedTensor[]
}

/**
 * @param saved - what the site's trainer saved; of a split model with the host's trunk beside it
 * @throws {InvalidParametersError} the checkpoint holds no such predictor
 */
export function takePredictor (charter: Charter, saved: SavedState, step: number, wish: ExportWish): Exported {
  if (charter.grouping !== undefined) throw new InvalidParametersError('the charter splits the tasks into groups with a model each: there is no one model to export', { next: 'export from a run without grouping' })
  const { method } = charter.method === undefined ? {} : methodOf(charter)
  if (method !== undefined && method.exported === undefined) return siteOf(charter, saved, step, wish)
  const { model, input, tasks, members } = charter.model.kind === 'linear' ? linearMember(charter, saved, wish) : membersOf(charter, saved, wish)
  const parts = charter.model.kind === 'linear' ? [...linearUnits(input, tasks)] : formOf(model, input, tasks).parts
  const tensors = members.flatMap((flat, member) => tensorsOf(`${member}`, parts, flat))
  return { card: { ...origin(charter, step, wish), model, input, tasks, members: members.length, weights: weightsHash(tensors) }, tensors }
}

function origin (charter: Charter, step: number, wish: ExportWish): Omit<Card, 'model' | 'tasks' | 'members' | 'weights'> {
  const { name, seed, method, input } = charter
  return { version: 1, name, charter: charterHash(charter), seed, ...method === undefined ? {} : { method: method.name }, step, input, ...wish }
}

/** A method whose model is of a form of its own: all that the site's half of it needs to predict again, optimisers apart. */
function siteOf (charter: Charter, saved: SavedState, step: number, wish: ExportWish): Exported {
  refuseMixture(wish)
  const tensors = saved.tensors().filter(({ name }) => name !== SEAT && !NOT_OF_THE_MODEL.test(name))
  const heads = charter.tasks.filter(({ id }) => tensors.some(({ name }) => `/${name}`.endsWith(`/head/${id}`)))
  const tasks = heads.length > 0 ? heads : charter.tasks
  const inputs = new Map(tasks.map(task => inputOf(charter, task)).map(input => [inputName(input), input]))
  const [input] = inputs.values()
  if (input === undefined || inputs.size > 1) throw new InvalidParametersError(`the site reads ${[...inputs.keys()].join(' and ')}: that is no model for rows of one form`, { next: 'serve from the running node instead' })
  const [rank, of] = saved.find(SEAT) ?? []
  const seat = rank === undefined || of === undefined ? {} : { seat: { rank, of } }
  return { card: { ...origin(charter, step, wish), model: charter.model, site: charter, ...seat, input, tasks, members: 1, weights: weightsHash(tensors) }, tensors }
}

/** State of optimisers, and the models that a site trains alone. */
const NOT_OF_THE_MODEL = /\.(?:first|second|step)$|^local\d+\//

function membersOf (charter: Charter, saved: SavedState, wish: ExportWish): Members {
  const { model: { trunk }, training } = charter
  if (charter.method !== undefined) {
    const { method, options } = methodOf(charter)
    return (method.exported as NonNullable<typeof method.exported>)(charter, options, saved, wish)
  }
  refuseMixture(wish)
  if (trunk !== 'client' && !saved.has('trunk')) throw new InvalidParametersError('the model is split and its trunk is at a host, not in this checkpoint', { next: 'give --trunk HOME with the home of the host, or of a node that is both' })
  if (saved.names('correction/').length > 0) throw new InvalidParametersError('corrected heads are two models in one: they cannot be exported', { next: 'leave model.correctedHeads out' })
  const prefix = training.personal === undefined ? '' : 'personal/'
  const tasks = savedTasks(saved, charter.tasks, prefix)
  const form = siteForm(charter, saved, prefix)
  return { ...form, tasks, members: [memberIn(saved, { ...form, tasks, prefix, robustness: 0 })] }
}

function linearMember (charter: Charter, saved: SavedState, wish: ExportWish): Members {
  refuseMixture(wish)
  const tasks = savedTasks(saved, charter.tasks, '')
  const units = [...linearUnits(charter.input, tasks)].map(([name, { parameterCount }]) => saved.need(name, parameterCount))
  const flat = new Float32Array(units.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const unit of units) {
    flat.set(unit, at)
    at += unit.length
  }
  return { model: charter.model, input: charter.input, tasks, members: [flat] }
}

/** Every parameter under a name of its own, as other programs will want them. */
function tensorsOf (member: string, parts: ReadonlyArray<readonly [string, Graph]>, flat: Float32Array): NamedTensor[] {
  let at = 0
  return parts.flatMap(([part, { parameters, parameterCount }]) => {
    const from = at
    at += parameterCount
    return parameters.map(({ name, shape, offset, size }) => ({ name: `${member}/${part}/${name}`, tensor: { shape, data: flat.slice(from + offset, from + offset + size) } }))
  })
}
