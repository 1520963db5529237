/**
 * A model of modules that sites with other inputs and other tasks share in part. For an input m and a task o:
 *
 *     h = encoder/m(rows)    s = trunk/shared(h)                              [B, N, D]
 *     z = mean of expert/shared/o(s), expert/m/o(h), expert/m/shared(h)
 *     prediction = head/o(z)
 *
 * Encoder and head are the embedder and the head of other models, the trunk is their trunk; an expert is a residual layer. A
 * site has the modules on the paths of its tasks, and no others.
 * Source: the toy form of TAP (arXiv 2509.26524; official code at lee3296/TAP), whose experts come before and after a fusion.
 */
import { GraphBuilder } from '../graph/graph.ts'
import { buildTrunk, layerNorm, linear } from './trunk.ts'
import { createHead } from './head.ts'
import { embedderOf, inputName, inputOf, inputsOf } from './inputs.ts'
import { joinPart } from './whole.ts'
import type { Graph } from '../graph/graph.ts'
import type { InputSpec } from '../data/dataset.ts'
import type { Inputs } from './inputs.ts'
import type { ModelSpec } from './spec.ts'
import type { TaskSpec } from '../tasks/task.ts'

const TRUNK = 'trunk/shared'

const encoderOf = (input: string): string => `encoder/${input}`
const headOf = (task: string): string => `head/${task}`
const expertOf = (input: string, task: string): string => `expert/${input}/${task}`

/** Modules that a prediction of the task passes through, of the inputs that a site has of it. */
export function modulePath (inputs: readonly string[], task: string): readonly string[] {
  return [
    ...inputs.map(encoderOf),
    TRUNK,
    ...inputs.map(input => expertOf(input, 'shared')),
    expertOf('shared', task),
    ...inputs.map(input => expertOf(input, task)),
    headOf(task)
  ]
}

/** Of its path what no other task passes through. */
export function ownModules (inputs: readonly string[], task: string): readonly string[] {
  return [expertOf('shared', task), ...inputs.map(input => expertOf(input, task)), headOf(task)]
}

/** Modules of a site with these tasks, or of all sites, each with the graph that fixes its size and start values. */
export function moduleGraphs (of: Inputs & { readonly model: ModelSpec, readonly tasks: readonly TaskSpec[] }): ReadonlyMap<string, Graph> {
  const { model, tasks } = of
  const { width } = model.backbone
  const expert = buildExpert(width)
  const graphs = new Map<string, Graph>()
  for (const input of inputsOf(of)) {
    graphs.set(encoderOf(inputName(input)), embedderOf(model, input).graph)
    graphs.set(expertOf(inputName(input), 'shared'), expert)
  }
  graphs.set(TRUNK, buildTrunk(model.backbone))
  for (const task of tasks) {
    const input = inputOf(of, task)
    for (const id of [expertOf('shared', task.id), expertOf(inputName(input), task.id)]) graphs.set(id, expert)
    graphs.set(headOf(task.id), createHead(task, embedderOf(model, input), width, model.adapter).graph)
  }
  return graphs
}

/** The modules of one site as one graph: 'pieces' to one output per task. Parameters stand in the order of `graphs`. */
export function composeModular (graphs: ReadonlyMap<string, Graph>, { input, tasks, tokens }: { readonly input: InputSpec, readonly tasks: readonly TaskSpec[], readonly tokens: number }): Graph {
  const g = new GraphBuilder()
  const name = inputName(input)
  const join = (id: string, output: string, given: Readonly<Record<string, number>> = {}): number =>
    joinPart(g, id, graphs.get(id) as Graph, tokens, new Map(Object.entries(given))).get(output) as number
  const expert = (id: string, node: number): number => join(id, 'mixed', { tokens: node })
  const encoded = join(encoderOf(name), 'activations')
  const both = expert(expertOf(name, 'shared'), encoded)
  const shared = join(TRUNK, 'features', { activations: encoded })
  for (const { id } of tasks) {
    const sum = g.add(g.add(expert(expertOf('shared', id), shared), expert(expertOf(name, id), encoded)), both)
    g.output(id, join(headOf(id), 'prediction', { features: g.scale(sum, 1 / 3) }))
  }
  return g.build()
}

/** x + f(x), f a normalised layer of the same width. */
function buildExpert (width: number): Graph {
  const g = new GraphBuilder()
  const x = g.reshape(g.input('tokens', ['B', 'N', width]), ['B*N', width])
  const inner = g.gelu(linear(g, layerNorm(g, x, 'norm', width), 'up', width, width, width ** -0.5))
  g.output('mixed', g.reshape(g.add(x, linear(g, inner, 'down', width, width, 0.5 * width ** -0.5)), ['B', 'N', width]))
  return g.build()
}
