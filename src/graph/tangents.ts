/**
 * Forward-mode differentiation of a graph: how its output moves along a direction of one input, J v, as a graph of its own
 * that is run forward only. The operations that reverse mode uses for elementwise and row-wise derivatives stand for
 * symmetric matrices, so here they serve as they are.
 *
 * Rules: Griewank and Walther, Evaluating Derivatives, ch. 3.
 */
import { GraphBuilder } from './graph.ts'
import type { Dim, Graph, Node } from './graph.ts'
import type { Program } from './gradients.ts'

/** Inputs of `graph` and 'tangent', shaped like the input; output 'tangent', shaped like the output. */
export function tangentProgram (graph: Graph, input: string, output: string): Program {
  const g = new GraphBuilder()
  for (const { op, inputs, shape } of graph.nodes) {
    if (op.kind === 'input') g.input(op.name, shape)
    else if (op.kind === 'parameter') g.parameter(op.name, shape as readonly number[], { value: 0 })
    else g.node(op, inputs, shape)
  }
  const along = graph.inputs.get(input) as number
  const tangents = new Map([[along, g.input('tangent', g.shape(along))]])
  for (const node of graph.nodes) {
    const tangent = push(g, node, tangents)
    if (tangent !== undefined) tangents.set(node.id, tangent)
  }
  g.output('tangent', tangents.get(graph.outputs.get(output) as number) as number)
  const moved = g.build()
  return { graph: moved, nodes: moved.nodes, forwardCount: moved.nodes.length, seeds: new Map(), inputGradients: new Map(), parameterGradients: new Map(), grouped: false, saved: [] }
}

function push (g: GraphBuilder, { id, op, inputs, shape }: Node, tangents: ReadonlyMap<number, number>): number | undefined {
  const [a, b] = inputs as [number, number]
  const [da, db] = [tangents.get(a), tangents.get(b)]
  if (da === undefined && db === undefined) return undefined
  switch (op.kind) {
    case 'matMul': return joined(g, da === undefined ? undefined : g.matMul(da, b, op), db === undefined ? undefined : g.matMul(a, db, op))
    case 'add': return joined(g, da, db)
    case 'sub': return joined(g, da, db === undefined ? undefined : g.scale(db, -1))
    case 'mul': return joined(g, da === undefined ? undefined : g.mul(da, b), db === undefined ? undefined : g.mul(a, db))
    case 'scale': return g.scale(da as number, op.factor)
    case 'reshape': return g.reshape(da as number, shape)
    case 'transpose': return g.transpose(da as number, op.order)
    case 'sum': return g.sum(da as number, op.from, op.axes)
    case 'standardise': return g.node({ kind: 'standardiseGrad' }, [id, b, da as number], shape)
    case 'softmax': return g.node({ kind: 'softmaxGrad' }, [id, da as number], shape)
    case 'gelu': return g.node({ kind: 'geluGrad', form: op.form }, [a, b, da as number], shape)
    case 'tanh': return g.node({ kind: 'tanhGrad' }, [id, da as number], shape)
    case 'inverseDeviation': // standardise and gelu carry the tangent through these as well
    case 'geluGate': return undefined
    default: throw new Error(`${op.kind} has no tangent`)
  }
}

/** @throws {Error} a tangent would have to be repeated along axes that it lacks */
function joined (g: GraphBuilder, a: number | undefined, b: number | undefined): number {
  if (a === undefined || b === undefined) return (a ?? b) as number
  const same = (x: Dim, i: number): boolean => x === g.shape(b)[i]
  if (!g.shape(a).every(same)) throw new Error('a tangent of a broadcast operand is not computed')
  return g.add(a, b)
}
