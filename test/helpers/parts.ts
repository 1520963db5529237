/** Every kind of model part at small size, and parts at the edge of what a graph can be. */
import { GraphBuilder } from '../../src/graph/graph.ts'
import { buildTrunk } from '../../src/models/trunk.ts'
import { createEmbedder } from '../../src/models/embedder.ts'
import { createHead } from '../../src/models/head.ts'
import { initialise } from '../../src/models/parameters.ts'
import { Random } from '../../src/random.ts'
import { elements } from '../../src/tensor/tensor.ts'
import type { Graph } from '../../src/graph/graph.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

export interface Part {
  readonly id: string
  readonly graph: Graph
  readonly input: string
  readonly output: string
  /** Shapes of the input, one pass each. */
  readonly shapes: ReadonlyArray<readonly number[]>
}

export const embedder = createEmbedder({ kind: 'patches', patch: 4, stride: 4, padding: 0 }, { modality: 'image', shape: [8, 8, 1] }, 8)
export const trunk = buildTrunk({ width: 8, layers: 2, heads: 2, hidden: 12, attention: true })
const classes = { id: 't', kind: 'classes', channels: 3, targets: 1, positions: [1], metric: 'accuracy' } as const
const dense = { id: 'd', kind: 'dense-classes', channels: 2, targets: 1, positions: [8, 8], metric: 'meanIoU' } as const

export const MODEL_PARTS: readonly Part[] = [
  { id: 'trunk with attention', graph: trunk, input: 'activations', shapes: [[3, 4, 8], [5, 7, 8]], output: 'features' },
  { id: 'trunk without attention', graph: buildTrunk({ width: 8, layers: 1, heads: 1, hidden: 12, attention: false }), input: 'activations', shapes: [[3, 1, 8], [2, 5, 8]], output: 'features' },
  { id: 'pooled head with adapter', graph: createHead(classes, embedder, 8, 4).graph, input: 'features', shapes: [[3, 4, 8], [1, 4, 8]], output: 'prediction' },
  { id: 'dense head', graph: createHead(dense, embedder, 8, 0).graph, input: 'features', shapes: [[3, 4, 8], [6, 4, 8]], output: 'prediction' },
  { id: 'embedder', graph: embedder.graph, input: 'pieces', shapes: [[3, 4, 16], [2, 4, 16]], output: 'activations' }
]

export const EDGE_PARTS: readonly Part[] = [
  { id: 'no parameters', graph: layer(g => g.tanh(g.input('in', ['B', 2]))), input: 'in', shapes: [[4, 2], [1, 2]], output: 'out' },
  { id: 'an output that is the input', graph: layer(g => { g.parameter('unused', [2], { value: 0 }); return g.input('in', ['B', 2]) }), input: 'in', shapes: [[4, 2], [1, 2]], output: 'out' },
  { id: 'a gradient that is the seed', graph: layer(g => g.add(g.input('in', [3]), g.parameter('bias', [3], { deviation: 1 }))), input: 'in', shapes: [[3]], output: 'out' }
]

/** Those whose parameter gradients can be kept apart by groups of rows. */
export const GROUPED_PARTS: readonly Part[] = [...MODEL_PARTS, ...EDGE_PARTS.filter(({ id }) => id !== 'a gradient that is the seed')]

/** A graph with one output, 'out'. */
export function layer (build: (g: GraphBuilder) => number): Graph {
  const g = new GraphBuilder()
  g.output('out', build(g))
  return g.build()
}

export function noise (shape: readonly number[], seed: number): TensorData {
  const random = new Random(seed)
  return { shape, data: Float32Array.from({ length: elements(shape) }, () => random.normal()) }
}

/** Start values moved away from zeros and ones, where mistakes hide. */
export function weights (graph: Graph, seed = 3): Float32Array {
  return initialise(graph, seed, 'unit').map((value, i) => value + 0.1 * Math.sin(i))
}
