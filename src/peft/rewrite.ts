/**
 * A trunk's graph built anew with adapters in it. Its own parameters come first and keep their order, so that the flat vector
 * is the trunk's own followed by the adapters': the trunk's weights fit both graphs.
 */
import { GraphBuilder } from '../graph/graph.ts'
import { InvalidParametersError } from '../errors.ts'
import type { DenseSize } from './factors.ts'
import type { Graph, Node, Shape } from '../graph/graph.ts'

/** A trunk with adapters in it, and the adapters' parameters by unit, in the order in which they follow the trunk's. */
export interface Tuned {
  readonly graph: Graph
  readonly units: ReadonlyMap<string, Graph>
}

export interface Rewriting {
  readonly g: GraphBuilder
  /** What a node of the old graph is in the new one. */
  at (id: number): number
  /** A parameter of an adapter. */
  parameter (unit: string, name: string): number
}

export interface Changes {
  /** What stands in for a node, once it is there. Default: it stays. */
  readonly node?: (to: Rewriting, node: Node, id: number) => number
  /** What is put out. Default: the node that the trunk puts out. */
  readonly output?: (to: Rewriting, id: number) => number
  /** The shape of a node of the old graph. Default: it stays. */
  readonly shape?: (shape: Shape) => Shape
}

/** @param units - the adapters' parameters, by unit name */
export function rewritten (trunk: Graph, units: ReadonlyMap<string, Graph>, { node: change = (_to, _node, id) => id, output = (_to, id) => id, shape: shaped = shape => shape }: Changes): Graph {
  const g = new GraphBuilder()
  const own = new Map(trunk.parameters.map(({ name, shape, initial }) => [name, g.parameter(name, shape, initial)]))
  const added = new Map([...units].flatMap(([unit, { parameters }]) => parameters.map(({ name, shape, initial }) => [`${unit}:${name}`, g.parameter(`${unit}:${name}`, shape, initial)])))
  const ids: number[] = []
  const to: Rewriting = { g, at: id => ids[id] as number, parameter: (unit, name) => added.get(`${unit}:${name}`) as number }
  for (const node of trunk.nodes) {
    const { op, inputs, shape } = node
    const id = op.kind === 'parameter'
      ? own.get(op.name) as number
      : op.kind === 'input' ? g.input(op.name, shape) : g.node(op, inputs.map(to.at), shaped(shape))
    ids.push(change(to, node, id))
  }
  for (const [name, id] of trunk.outputs) g.output(name, output(to, to.at(id)))
  return g.build()
}

/** One parameter as a graph of its own: what a unit of the exchange is. */
export function unitOf (build: (g: GraphBuilder) => void): Graph {
  const g = new GraphBuilder()
  build(g)
  return g.build()
}

/** The dense layers of a trunk whose rows are tokens: '<block>.<part>' -> size. The embedder's and the heads' are not among them. */
export function denseLayers ({ parameters }: Graph): ReadonlyMap<string, DenseSize> {
  return new Map(parameters.flatMap(({ name, shape: [inputs, outputs, ...rest] }) =>
    name.endsWith('.weight') && inputs !== undefined && outputs !== undefined && rest.length === 0 ? [[name.slice(0, -'.weight'.length), { inputs, outputs }] as const] : []))
}

/** Layers whose last part is one of the targets. @throws {InvalidParametersError} a target that no layer has */
export function targeted (trunk: Graph, targets: readonly string[]): ReadonlyMap<string, DenseSize> {
  const layers = [...denseLayers(trunk)]
  const missing = targets.find(target => !layers.some(([layer]) => partOf(layer) === target))
  if (missing !== undefined) {
    throw new InvalidParametersError(`method.targets: no layer of this trunk is called ${missing}`, { next: `use some of ${[...new Set(layers.map(([layer]) => partOf(layer)))].join(', ')}` })
  }
  return layersOf(trunk, targets)
}

/** Those of the targets that the trunk has. */
export function layersOf (trunk: Graph, targets: readonly string[]): ReadonlyMap<string, DenseSize> {
  return new Map([...denseLayers(trunk)].filter(([layer]) => targets.includes(partOf(layer))))
}

function partOf (layer: string): string { return layer.slice(layer.lastIndexOf('.') + 1) }
