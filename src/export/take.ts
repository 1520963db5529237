/** Takes a predictor that stands alone out of a site's checkpoint: a file's tensors and the card to go with them. */
import { InvalidParametersError } from '../errors.ts'
import { charterHash } from '../federation/charter.ts'
import { formOf } from '../models/form.ts'
import { linearUnits } from '../models/linear.ts'
import { embedUnit, inputName, inputsOf } from '../models/inputs.ts'
import { memberIn, refuseMixture, savedTasks } from './members.ts'
import { methodOf } from '../methods/index.ts'
import { weightsHash } from './card.ts'
import type { Card } from './card.ts'
import type { Charter } from '../federation/charter.ts'
import type { ExportWish, Members } from './members.ts'
import type { InputSpec } from '../data/dataset.ts'
import type { ModelSpec } from '../models/spec.ts'
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
export function takePredictor (agreed: Charter, saved: SavedState, step: number, wish: ExportWish): Exported {
  if (agreed.grouping !== undefined) throw new InvalidParametersError('the charter splits the tasks into groups with a model each: there is no one model to export', { next: 'export from a run without grouping' })
  const input = inputIn(agreed, saved)
  const origin = { version: 1, name: agreed.name, charter: charterHash(agreed), seed: agreed.seed, ...agreed.method === undefined ? {} : { method: agreed.method.name }, step, input, ...wish } as const
  if (agreed.method !== undefined && methodOf(agreed).method.exported === undefined) return siteOf(agreed, saved, origin)
  const charter = { ...agreed, input }
  const linear = charter.model.kind === 'linear'
  const { model, tasks, members } = linear ? linearMember(charter, saved, wish) : membersOf(charter, saved, wish)
  const parts = linear ? [...linearUnits(input, tasks)] : formOf(model, input, tasks).parts
  const tensors = members.flatMap((flat, member) => tensorsOf(`${member}`, parts, flat))
  return { card: { ...origin, model: ofInput(model, charter), tasks, members: members.length, weights: weightsHash(tensors) }, tensors }
}

/** Of the consortium's inputs the one that this site has an embedder for. */
function inputIn (charter: Charter, saved: SavedState): InputSpec {
  const names = saved.names('')
  return inputsOf(charter).find(input => names.some(name => name.endsWith(embedUnit(input)))) ?? charter.input
}

/** The model as it is for one of several inputs. */
function ofInput (model: ModelSpec, { input, inputs }: Charter): ModelSpec {
  if (inputs === undefined) return model
  const { embedders, ...rest } = model
  return { ...rest, embedder: embedders?.[inputName(input)] ?? model.embedder, sharedEmbedder: false }
}

/** A method whose model is of a form of its own: all that the site's half of it needs to predict again, optimisers apart. */
function siteOf (charter: Charter, saved: SavedState, origin: Omit<Card, 'model' | 'tasks' | 'members' | 'weights'>): Exported {
  refuseMixture(origin)
  const tensors = saved.tensors().filter(({ name }) => !NOT_OF_THE_MODEL.test(name))
  const own = charter.tasks.filter(({ id }) => tensors.some(({ name }) => `/${name}`.endsWith(`/head/${id}`)))
  return { card: { ...origin, model: ofInput(charter.model, { ...charter, input: origin.input }), site: charter, tasks: own.length > 0 ? own : charter.tasks, members: 1, weights: weightsHash(tensors) }, tensors }
}

/** State of optimisers, and the models that a site trains alone. */
const NOT_OF_THE_MODEL = /\.(?:first|second|step)$|^local\d+\//

function membersOf (charter: Charter, saved: SavedState, wish: ExportWish): Members {
  const { model, input, training } = charter
  if (charter.method !== undefined) {
    const { method, options } = methodOf(charter)
    return (method.exported as NonNullable<typeof method.exported>)(charter, options, saved, wish)
  }
  refuseMixture(wish)
  if (model.trunk !== 'client' && !saved.has('trunk')) throw new InvalidParametersError('the model is split and its trunk is at a host, not in this checkpoint', { next: 'give --trunk HOME with the home of the host, or of a node that is both' })
  if (saved.names('correction/').length > 0) throw new InvalidParametersError('corrected heads are two models in one: they cannot be exported', { next: 'leave model.correctedHeads out' })
  const prefix = training.personal === undefined ? '' : 'personal/'
  const tasks = savedTasks(saved, charter.tasks, prefix)
  return { model, tasks, members: [memberIn(saved, { model, input, tasks, prefix, robustness: 0 })] }
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
  return { model: charter.model, tasks, members: [flat] }
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
