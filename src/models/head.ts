/**
 * Client-side heads: features [B, N, D] to a task's raw outputs. Row-level tasks read through one learned query (attention
 * pooling, the cheapest task adaptation); token and dense tasks read every token. An optional residual bottleneck adapter
 * (Houlsby et al. 2019, adapters) sits before the readout, starting as the identity.
 */
import { InvalidParametersError } from '../errors.ts'
import { GraphBuilder } from '../graph/graph.ts'
import { elements } from '../tensor/tensor.ts'
import { layerNorm, linear } from './trunk.ts'
import type { Embedder } from './embedder.ts'
import type { TaskSpec } from '../tasks/task.ts'
import type { Graph } from '../graph/graph.ts'

export interface Head {
  readonly graph: Graph
  /** Positions in a prediction, as the task counts them. */
  readonly positions: number
  /**
   * Prediction position -> target position. Dense heads answer token by token; targets come row by row of the picture.
   * undefined where both orders are the same.
   */
  readonly order: Int32Array | undefined
}

/** @throws {InvalidParametersError} the task's positions do not fit the embedder's token grid */
export function createHead (task: TaskSpec, embedder: Embedder, width: number, adapter: number): Head { return buildHead(task, embedder, width, adapter, 0.5 * width ** -0.5) }

/** A head of the same form that starts at 0: what one client adds to the outputs of a shared one. */
export function createCorrection (task: TaskSpec, embedder: Embedder, width: number): Head { return buildHead(task, embedder, width, 0, 0) }

function buildHead (task: TaskSpec, embedder: Embedder, width: number, adapter: number, deviation: number): Head {
  const g = new GraphBuilder()
  const { tokens } = embedder
  let features = g.reshape(g.input('features', ['B', tokens, width]), [`B*${tokens}`, width])
  if (adapter > 0) {
    const down = g.gelu(linear(g, layerNorm(g, features, 'adapter.norm', width), 'adapter.down', width, adapter, width ** -0.5))
    features = g.add(features, linear(g, down, 'adapter.up', adapter, width, 0))
  }
  const positions = elements(task.positions)
  const dense = task.kind.startsWith('dense')
  if (dense || task.kind === 'token-classes') {
    const cell = positions / tokens
    const order = dense ? cellOrder(task, embedder) : undefined
    if (!dense && cell !== 1) throw new InvalidParametersError(`task ${task.id} labels ${positions} tokens, the embedder makes ${tokens}`)
    const outputs = linear(g, features, 'readout', width, cell * task.channels, deviation)
    g.output('prediction', g.reshape(outputs, ['B', positions, task.channels]))
    return { graph: g.build(), positions, order }
  }
  const query = g.parameter('query', [width, 1], { deviation: 0.1 })
  const weights = g.reshape(g.softmax(g.reshape(g.matMul(features, query), ['B', tokens])), ['B', 1, tokens])
  const pooled = g.reshape(g.matMul(weights, g.reshape(features, ['B', tokens, width])), ['B', width])
  const outputs = linear(g, pooled, 'readout', width, task.channels, deviation)
  g.output('prediction', g.reshape(outputs, ['B', 1, task.channels]))
  return { graph: g.build(), positions: 1, order: undefined }
}

/** Pixels in the order in which tokens answer for them: cell by cell of the token grid, row by row within a cell. */
function cellOrder (task: TaskSpec, embedder: Embedder): Int32Array {
  const [height, width] = task.positions as [number, number]
  const [rows, columns] = embedder.grid as [number, number]
  if (embedder.grid.length !== 2 || height % rows !== 0 || width % columns !== 0) {
    throw new InvalidParametersError(`task ${task.id} labels ${task.positions.join('x')} pixels; the token grid ${embedder.grid.join('x')} does not divide them`,
      { next: 'choose a patch size and stride that divide the picture' })
  }
  const [cellHeight, cellWidth] = [height / rows, width / columns]
  const order = new Int32Array(height * width)
  let at = 0
  for (let gy = 0; gy < rows; gy++) {
    for (let gx = 0; gx < columns; gx++) {
      for (let dy = 0; dy < cellHeight; dy++) {
        for (let dx = 0; dx < cellWidth; dx++) order[at++] = (gy * cellHeight + dy) * width + gx * cellWidth + dx
      }
    }
  }
  return order
}
