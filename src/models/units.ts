/** The units of a whole model that a charter lets travel: trunk, embedder and heads, each with the graph that fixes its size and start values. */
import { InvalidParametersError } from '../errors.ts'
import { buildTrunk } from './trunk.ts'
import { createEmbedder } from './embedder.ts'
import { createHead } from './head.ts'
import type { Graph } from '../graph/graph.ts'
import type { InputSpec } from '../data/dataset.ts'
import type { ModelSpec } from './spec.ts'
import type { TaskSpec } from '../tasks/task.ts'

/** @throws {InvalidParametersError} batch normalisations, whose running statistics are no unit here */
export function wholeUnits ({ model, input, tasks }: { readonly model: ModelSpec, readonly input: InputSpec, readonly tasks: readonly TaskSpec[] }): ReadonlyMap<string, Graph> {
  if (model.norm === 'batch') throw new InvalidParametersError('model.norm batch: this method does not say what becomes of running statistics', { next: 'leave model.norm out, or choose strategy split-mix or fedrbn' })
  const { width } = model.backbone
  const embedder = createEmbedder(model.embedder, input, width)
  return new Map([
    ['trunk', buildTrunk(model.backbone)],
    ...model.sharedEmbedder ? [[`embed/${input.modality}`, embedder.graph] as const] : [],
    ...tasks.filter(({ id }) => model.sharedHeads.includes(id)).map(task => [`head/${task.id}`, createHead(task, embedder, width, model.adapter).graph] as const)
  ])
}
