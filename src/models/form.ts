/** The form of a whole model for some tasks: its parts in the order of the flat parameters, and all of them as one graph. */
import { buildTrunk } from './trunk.ts'
import { composeModel } from './whole.ts'
import { createEmbedder } from './embedder.ts'
import { createHead } from './head.ts'
import type { Graph } from '../graph/graph.ts'
import type { InputSpec } from '../data/dataset.ts'
import type { ModelSpec } from './spec.ts'
import type { TaskSpec } from '../tasks/task.ts'

/** In the composed graph, names of the trunk's parameters begin so. */
export const TRUNK_PREFIX = 'trunk:'

export interface Form {
  readonly parts: ReadonlyArray<readonly [string, Graph]>
  readonly whole: Graph
}

/** @throws {InvalidParametersError} parts that do not fit the input or each other */
export function formOf (model: ModelSpec, input: InputSpec, tasks: readonly TaskSpec[]): Form {
  const { width } = model.backbone
  const embedder = createEmbedder(model.embedder, input, width)
  const trunk = buildTrunk(model.backbone)
  const heads = new Map(tasks.map(task => [task.id, createHead(task, embedder, width, model.adapter).graph]))
  return {
    parts: [[`embed/${input.modality}`, embedder.graph], ['trunk', trunk], ...[...heads].map(([task, graph]) => [`head/${task}`, graph] as const)],
    whole: composeModel({ embedder: embedder.graph, trunk, heads, tokens: embedder.tokens })
  }
}
