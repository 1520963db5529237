/** The units of whole models: trunk, embedders and heads, each with the graph that fixes its size and start values. */
import { InvalidParametersError } from '../errors.ts'
import { buildTrunk } from './trunk.ts'
import { createHead } from './head.ts'
import { embedUnit, embedderOf, inputOf, inputsOf, sharesEmbedder } from './inputs.ts'
import type { Graph } from '../graph/graph.ts'
import type { Inputs } from './inputs.ts'
import type { ModelSpec } from './spec.ts'
import type { TaskSpec } from '../tasks/task.ts'

type Models = Inputs & { readonly model: ModelSpec, readonly tasks: readonly TaskSpec[] }

/** Those that a charter lets travel. @throws {InvalidParametersError} batch normalisations, whose running statistics are no unit here */
export function wholeUnits (of: Models): ReadonlyMap<string, Graph> {
  const { model } = of
  if (model.norm === 'batch') throw new InvalidParametersError('model.norm batch: this method does not say what becomes of running statistics', { next: 'leave model.norm out, or choose strategy split-mix or fedrbn' })
  const shared = new Set([...inputsOf(of).filter(input => sharesEmbedder(model, input)).map(embedUnit), ...model.sharedHeads.map(task => `head/${task}`)])
  return new Map([['trunk', buildTrunk(model.backbone)], ...[...partGraphs(of)].filter(([name]) => shared.has(name))])
}

/** Embedders and heads of all inputs and tasks. */
export function partGraphs (of: Models): ReadonlyMap<string, Graph> {
  const { model, tasks } = of
  return new Map([
    ...inputsOf(of).map(input => [embedUnit(input), embedderOf(model, input).graph] as const),
    ...tasks.map(task => [`head/${task.id}`, createHead(task, embedderOf(model, inputOf(of, task)), model.backbone.width, model.adapter).graph] as const)
  ])
}
