/**
 * One linear layer per task and nothing before it: the model that text and tables are hard to beat with. A row is a vector of
 * numbers of a length of at most 1 (src/training/linear/rows.ts); the units are
 *
 *     head/<task>     weights [columns, channels], then an intercept per channel; all start at 0, the problem is convex
 *     embed/tokens    for texts: what share of the documents has a bucket, and one document as a share of them
 */
import { GraphBuilder } from '../graph/graph.ts'
import { elements } from '../tensor/tensor.ts'
import type { BackboneSpec, EmbedderSpec } from './spec.ts'
import type { Graph } from '../graph/graph.ts'
import type { InputSpec } from '../data/dataset.ts'
import type { TaskSpec } from '../tasks/task.ts'

/** Stands in a linear model's charter where others have a trunk and an embedder: the smallest there are, and never computed. */
export const NO_TRUNK: BackboneSpec = { width: 1, layers: 1, heads: 1, hidden: 1, attention: false }
export const NO_EMBEDDER: EmbedderSpec = { kind: 'row', patch: 1, stride: 1, padding: 0 }

/** Unit of the documents' shares. */
export const SHARES = 'embed/tokens'

/** Kinds of tasks that have a label or numbers per row. */
export const LINEAR_KINDS: ReadonlyArray<TaskSpec['kind']> = ['classes', 'regression', 'direction']

/** Numbers of a row as the model sees it. */
export function linearColumns ({ modality, shape, buckets = 0 }: InputSpec): number {
  return modality === 'tokens' ? buckets : elements(shape)
}

/** The units of a site with these tasks, in their order; a graph fixes size and start values. */
export function linearUnits (input: InputSpec, tasks: readonly TaskSpec[]): ReadonlyMap<string, Graph> {
  const columns = linearColumns(input)
  return new Map([
    ...input.modality === 'tokens' ? [[SHARES, sharesGraph(columns)] as const] : [],
    ...tasks.map(task => [`head/${task.id}`, headGraph(columns, task.channels)] as const)
  ])
}

function headGraph (columns: number, channels: number): Graph {
  const g = new GraphBuilder()
  const product = g.matMul(g.input('rows', ['B', columns]), g.parameter('weight', [columns, channels], { value: 0 }))
  g.output('prediction', g.add(product, g.parameter('intercept', [channels], { value: 0 })))
  return g.build()
}

function sharesGraph (buckets: number): Graph {
  const g = new GraphBuilder()
  g.output('shares', g.parameter('shares', [buckets + 1], { value: 0 }))
  return g.build()
}
