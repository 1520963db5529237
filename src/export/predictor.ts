/** An exported predictor at work: on any rung, with no network and no charter. */
import { ContentGuard } from '../backbone/guard.ts'
import { DecodeError } from '../errors.ts'
import { LinearModel } from '../training/linear/model.ts'
import { MixedModel } from '../training/mixed-model.ts'
import { MethodModel } from '../methods/site.ts'
import { SavedState } from '../training/saved-state.ts'
import { formOf } from '../models/form.ts'
import { linearUnits } from '../models/linear.ts'
import { parseTrainingSpec } from '../training/spec.ts'
import { sameShape } from '../tensor/tensor.ts'
import { weightsHash } from './card.ts'
import type { Attack } from '../robustness/pgd.ts'
import type { Backend } from '../backend/backend.ts'
import type { Card } from './card.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientData, Rows } from '../data/dataset.ts'
import type { Graph } from '../graph/graph.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'
import type { Predictions } from '../training/mixed-model.ts'
import type { Random } from '../random.ts'
import type { Task } from '../tasks/task.ts'

export interface Predictor {
  readonly tasks: readonly Task[]
  /** Linked outputs per task, [rows, positions, channels]. */
  predict (rows: Pick<Rows, 'x' | 'count'>): Promise<Predictions>
  /** Targets of one task in the order of its predictions. */
  targets (task: string, values: Float32Array, count: number): TensorData
  /** A task's predictions in the order of its labels in the data. */
  placed (task: string, prediction: TensorData): TensorData
  /** The rows' inputs, moved to where this predictor errs most. Absent: it has no gradient at its input. */
  readonly attacked?: (rows: Rows, attack: Attack, random: Random) => Promise<Float32Array>
  dispose (): void
}

/** @throws {DecodeError} the weights are not those that the card speaks of */
export function loadPredictor (backend: Backend, card: Card, tensors: readonly NamedTensor[]): Predictor {
  const { model, input, tasks, members, weights, site } = card
  if (weightsHash(tensors) !== weights) throw new DecodeError('the predictor\'s weights are not those that its card names', { next: 'export it again' })
  if (site !== undefined) return sitePredictor(backend, card, site, tensors)
  // sizes before anything of that size is made: a card may say what it likes
  if (model.backbone.layers > tensors.length) throw new DecodeError(`the predictor has ${tensors.length} weights, its card speaks of ${model.backbone.layers} layers`, { next: 'export it again' })
  const parts = model.kind === 'linear' ? [...linearUnits(input, tasks)] : formOf(model, input, tasks).parts
  const byName = new Map(tensors.map(({ name, tensor }) => [name, tensor]))
  const [said, found] = [members * parts.reduce((sum, [, { parameterCount }]) => sum + parameterCount, 0), tensors.reduce((sum, { tensor }) => sum + tensor.data.length, 0)]
  if (said !== found) throw new DecodeError(`the predictor has ${found} numbers, its card speaks of ${said}`, { next: 'export it again' })
  const flats = Array.from({ length: members }, (_, member) => flatOf(byName, `${member}`, parts))
  if (byName.size > 0) throw new DecodeError(`the predictor has weights that its card does not speak of: ${[...byName.keys()][0]}`, { next: 'export it again' })
  if (model.kind === 'linear') return linearPredictor(card, parts, flats[0] as Float32Array)
  const mixed = new MixedModel(backend, { input, tasks }, model, 0)
  return {
    tasks: mixed.tasks,
    predict: async rows => await mixed.predictWith(flats, rows),
    targets: (task, values, count) => mixed.targets(task, values, count),
    placed: (task, prediction) => mixed.natural(task, prediction),
    attacked: async (rows, attack, random) => await mixed.attacked(flats, rows, attack, random),
    dispose: () => { mixed.dispose() }
  }
}

/** Takes a member's tensors out of the map. */
function flatOf (byName: Map<string, TensorData>, member: string, parts: ReadonlyArray<readonly [string, Graph]>): Float32Array {
  const flat = new Float32Array(parts.reduce((sum, [, { parameterCount }]) => sum + parameterCount, 0))
  let at = 0
  for (const [part, { parameters, parameterCount }] of parts) {
    for (const { name, shape, offset } of parameters) {
      const key = `${member}/${part}/${name}`
      const tensor = byName.get(key)
      if (tensor === undefined || !sameShape(tensor.shape, shape)) throw new DecodeError(`the predictor's ${key} is missing or of another shape than [${shape.join(', ')}]`, { next: 'export it again' })
      flat.set(tensor.data, at + offset)
      byName.delete(key)
    }
    at += parameterCount
  }
  return flat
}

/** A client with these tasks and no rows. */
function nobody ({ input, tasks }: Pick<Card, 'input' | 'tasks'>): ClientData {
  return { id: '', input, tasks, train: NONE, holdout: NONE, test: NONE }
}

const NONE: Rows = { count: 0, x: new Float32Array(0), y: {}, source: new Int32Array(0) }

/** The site's half of the method again, as its checkpoint left it. */
function sitePredictor (backend: Backend, card: Card, charter: Charter, tensors: readonly NamedTensor[]): Predictor {
  const model = new MethodModel(backend, { charter, data: nobody(card), seat: card.seat ?? { rank: 0, of: 1 }, guard: new ContentGuard(), start: [] })
  try {
    const saved = new SavedState(tensors)
    const found = model.units.map(unit => [unit, saved.need(unit.name, unit.parameters.length)] as const)
    model.method.load?.(saved)
    for (const [unit, values] of found) unit.set(values)
  } catch (err) {
    model.dispose()
    throw err
  }
  return {
    tasks: model.tasks,
    predict: async ({ x, count }) => await model.predict({ ...NONE, x, count }),
    targets: (task, values, count) => model.targets(task, values, count),
    placed: (task, prediction) => model.natural(task, prediction),
    dispose: () => { model.dispose() }
  }
}

function linearPredictor (card: Card, parts: ReadonlyArray<readonly [string, Graph]>, flat: Float32Array): Predictor {
  const model = new LinearModel(nobody(card), { seed: 0, training: parseTrainingSpec({}) })
  let at = 0
  for (const [name, { parameterCount }] of parts) {
    model.units.find(unit => unit.name === name)?.set(flat.subarray(at, at + parameterCount))
    at += parameterCount
  }
  return {
    tasks: model.tasks,
    predict: async ({ x, count }) => model.predict({ ...NONE, x, count }),
    targets: (task, values, count) => model.targets(task, values, count),
    placed: (_, prediction) => prediction,
    dispose: () => { model.dispose() }
  }
}
