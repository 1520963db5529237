import { Random, deriveSeed } from '../random.ts'
import type { Graph } from '../graph/graph.ts'

/**
 * Start values of one part, flat. They depend on the seed and the part's name only, never on the peer: clients whose
 * embedders and heads start differently have orthogonal trunk gradients, and projection has nothing to work on.
 */
export function initialise (graph: Graph, seed: number, unit: string): Float32Array {
  const flat = new Float32Array(graph.parameterCount)
  for (const { name, offset, size, initial } of graph.parameters) {
    if ('value' in initial) {
      flat.fill(initial.value, offset, offset + size)
      continue
    }
    const random = new Random(deriveSeed(seed, unit, name))
    const draw = 'bound' in initial ? () => (2 * random.next() - 1) * initial.bound : () => random.normal() * initial.deviation
    for (let i = 0; i < size; i++) flat[offset + i] = draw()
  }
  return flat
}
