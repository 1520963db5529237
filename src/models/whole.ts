/**
 * The parts of one model as one graph: embedder, trunk and heads joined where the cuts would be. A site that holds the
 * whole model runs it as one program, one call forward and one backward, instead of one of each per part.
 */
import { GraphBuilder } from '../graph/graph.ts'
import type { Dim, Graph, Shape } from '../graph/graph.ts'

export interface ModelGraphs {
  /** 'pieces' to 'activations', and to 'mask' where the trunk asks for one. */
  readonly embedder: Graph
  /** 'activations' to 'features'. */
  readonly trunk: Graph
  /** Task id -> 'features' to 'prediction'. */
  readonly heads: ReadonlyMap<string, Graph>
  /** Tokens that the embedder makes of a row. */
  readonly tokens: number
}

/**
 * Input 'pieces', one output per task under its id. The flat parameter vector is that of the parts one after the other:
 * embedder, trunk, heads in the order of the map.
 */
export function composeModel ({ embedder, trunk, heads, tokens }: ModelGraphs): Graph {
  const g = new GraphBuilder()
  const features = joinPart(g, 'trunk', trunk, tokens, joinPart(g, 'embed', embedder, tokens))
  for (const [task, head] of heads) {
    g.output(task, joinPart(g, `head/${task}`, head, tokens, features).get('prediction') as number)
  }
  return g.build()
}

/**
 * Adds a part's nodes to a graph.
 * @param given - nodes that take the place of the part's inputs of these names
 * @returns its outputs, by name
 */
export function joinPart (g: GraphBuilder, part: string, graph: Graph, tokens: number, given: ReadonlyMap<string, number> = new Map()): ReadonlyMap<string, number> {
  const ids: number[] = []
  for (const { op, inputs, shape } of graph.nodes) {
    const sizes = withTokens(shape, tokens)
    if (op.kind === 'input') ids.push(given.get(op.name) ?? g.input(op.name, sizes))
    else if (op.kind === 'parameter') ids.push(parameter(g, part, graph, op.name))
    else ids.push(g.node(op, inputs.map(id => ids[id] as number), sizes))
  }
  return new Map([...graph.outputs].map(([name, id]) => [name, ids[id] as number]))
}

function parameter (g: GraphBuilder, part: string, { parameters }: Graph, name: string): number {
  const { shape, initial } = parameters.find(parameter => parameter.name === name) as Graph['parameters'][number]
  return g.parameter(`${part}:${name}`, shape, initial)
}

/** A trunk takes any number of tokens, 'N'; here there is one embedder, so the number is known. */
export function withTokens (shape: Shape, tokens: number): Shape {
  return shape.map((dim): Dim => {
    if (dim === 'N') return tokens
    return typeof dim === 'number' ? dim : dim.split('*').map(symbol => symbol === 'N' ? String(tokens) : symbol).join('*')
  })
}
