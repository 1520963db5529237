/**
 * Reverse-mode differentiation of a graph: appends the adjoint operations behind the forward ones. The forward nodes that
 * adjoints read are what a forward pass has to keep; everything else may be freed at once. That split is what split
 * learning needs: the host runs forward, waits for a gradient from far away, then runs backward.
 *
 * Rules are the textbook vector-Jacobian products (Griewank and Walther, Evaluating Derivatives, ch. 3).
 *
 * Grouped, one pass serves the rows of several clients and keeps their parameter gradients apart: the rows of group g are
 * the g-th of G equal parts of the batch, and every parameter gradient gets a leading axis of G. Row by row nothing else
 * changes, since no operation here mixes rows.
 */
import { GraphBuilder } from './graph.ts'
import type { Dim, Graph, Node, Shape } from './graph.ts'

export interface Program {
  readonly graph: Graph
  /** All nodes, forward ones first. */
  readonly nodes: readonly Node[]
  readonly forwardCount: number
  /** Output name -> node that the adjoint is fed to. */
  readonly seeds: ReadonlyMap<string, number>
  /** Input name -> adjoint node; only inputs that were asked for. */
  readonly inputGradients: ReadonlyMap<string, number>
  /** Parameter name -> adjoint node, shaped like the parameter; with a leading 'G' where grouped. */
  readonly parameterGradients: ReadonlyMap<string, number>
  readonly grouped: boolean
  /** Forward nodes kept for backward (parameters and inputs among them). */
  readonly saved: readonly number[]
}

/**
 * @param wanted - inputs whose gradient is needed (the activations at a host, none for raw data)
 * @param options.grouped - parameter gradients per group of rows; passes then say how many groups their rows make
 * @param options.observed - outputs that are looked at and have no gradient
 * @param options.frozen - parameters that stay as they are: nothing is computed for their gradients, which read as zeros
 */
export function differentiate (graph: Graph, wanted: readonly string[], options: { grouped?: boolean, observed?: ReadonlySet<string>, frozen?: ReadonlySet<string> | 'all' } = {}): Program {
  const { grouped = false, observed = new Set(), frozen = new Set() } = options
  const moves = (parameter: string): boolean => frozen !== 'all' && !frozen.has(parameter)
  const builder = new Tape(graph, grouped)
  const active = new Set<number>()
  for (const node of graph.nodes) {
    const { op } = node
    if ((op.kind === 'parameter' && moves(op.name)) || (op.kind === 'input' && wanted.includes(op.name)) || node.inputs.some(i => active.has(i))) active.add(node.id)
  }
  const adjoints = new Map<number, number>()
  const seeds = new Map<string, number>()
  for (const [name, id] of graph.outputs) {
    if (observed.has(name)) continue
    const seed = builder.node({ kind: 'seed', name }, [], builder.shape(id))
    seeds.set(name, seed)
    builder.accumulate(adjoints, id, seed)
  }
  for (let id = graph.nodes.length - 1; id >= 0; id--) {
    const adjoint = adjoints.get(id)
    const node = graph.nodes[id] as Node
    if (adjoint === undefined || !active.has(id)) continue
    for (const [input, gradient] of builder.pullBack(node, adjoint, i => active.has(i))) builder.accumulate(adjoints, input, gradient)
  }
  const { nodes } = builder.build()
  const inputGradients = new Map<string, number>()
  for (const name of wanted) {
    const gradient = adjoints.get(graph.inputs.get(name) as number)
    if (gradient !== undefined) inputGradients.set(name, gradient)
  }
  const parameterGradients = new Map<string, number>()
  for (const node of graph.nodes) {
    const gradient = adjoints.get(node.id)
    if (node.op.kind === 'parameter' && moves(node.op.name) && gradient !== undefined) parameterGradients.set(node.op.name, gradient)
  }
  const saved = new Set<number>()
  for (const node of nodes.slice(graph.nodes.length)) {
    for (const input of node.inputs) if (input < graph.nodes.length) saved.add(input)
  }
  return {
    graph,
    nodes,
    forwardCount: graph.nodes.length,
    seeds,
    inputGradients,
    parameterGradients,
    grouped,
    saved: [...saved].sort((a, b) => a - b)
  }
}

class Tape extends GraphBuilder {
  readonly #grouped: boolean
  readonly #parameters: ReadonlySet<number>

  constructor (graph: Graph, grouped: boolean) {
    super()
    this.#grouped = grouped
    this.#parameters = new Set(graph.nodes.flatMap(({ id, op }) => op.kind === 'parameter' ? [id] : []))
    for (const node of graph.nodes) this.node(node.op, node.inputs, node.shape)
  }

  accumulate (adjoints: Map<number, number>, id: number, gradient: number): void {
    const known = adjoints.get(id)
    adjoints.set(id, known === undefined ? gradient : this.add(known, gradient))
  }

  /** Sums a gradient over the leading axes along which `like` was broadcast, within each group where those are kept apart. */
  #reduceTo (gradient: number, like: number): number {
    const axes = this.shape(gradient).length - this.shape(like).length
    if (!this.#perGroup(like)) return axes > 0 ? this.sum(gradient, 0, axes) : gradient
    if (axes === 0) throw new Error('a parameter that is no batch broadcast has no gradient per group')
    return this.sum(this.#inGroups(gradient), 1, axes)
  }

  #perGroup (id: number): boolean { return this.#grouped && this.#parameters.has(id) }

  /** [rows, ...] -> [G, rows / G, ...] */
  #inGroups (a: number): number {
    const [rows, ...rest] = this.shape(a) as [Dim, ...Shape]
    return this.reshape(a, ['G', `${rows}/G`, ...rest])
  }

  * pullBack (node: Node, g: number, active: (id: number) => boolean): Generator<[number, number]> {
    const { op } = node
    const [a, b] = node.inputs as [number, number]
    switch (op.kind) {
      case 'matMul': {
        if (active(a)) {
          yield [a, op.transposeA
            ? this.matMul(b, g, { transposeA: op.transposeB, transposeB: true })
            : this.matMul(g, b, { transposeB: !op.transposeB })]
        }
        if (active(b) && this.#perGroup(b)) {
          if (op.transposeA || op.transposeB) throw new Error('a transposed product has no parameter gradient per group')
          yield [b, this.matMul(this.#inGroups(a), this.#inGroups(g), { transposeA: true })]
        } else if (active(b)) {
          yield [b, op.transposeB
            ? this.matMul(g, a, { transposeA: true, transposeB: op.transposeA })
            : this.matMul(a, g, { transposeA: !op.transposeA })]
        }
        break
      }
      case 'add':
      case 'sub':
        if (active(a)) yield [a, g]
        if (active(b)) yield [b, this.#reduceTo(op.kind === 'sub' ? this.scale(g, -1) : g, b)]
        break
      case 'mul':
        if (active(a)) yield [a, this.mul(g, b)]
        if (active(b)) yield [b, this.#reduceTo(this.mul(g, a), b)]
        break
      case 'scale': yield [a, this.scale(g, op.factor)]; break
      case 'reshape': yield [a, this.reshape(g, this.shape(a))]; break
      case 'transpose': {
        const inverse = op.order.map((_, axis) => op.order.indexOf(axis))
        yield [a, this.transpose(g, inverse)]
        break
      }
      case 'pad': yield [a, this.slice(g, op.axis, op.before, this.shape(a)[op.axis] as number)]; break
      case 'slice': yield [a, this.pad(g, op.axis, { before: op.from, after: (this.shape(a)[op.axis] as number) - op.from - op.size })]; break
      case 'standardise': // carries the gradient through mean and deviation as well, so those nodes need none of their own
        yield [a, this.node({ kind: 'standardiseGrad' }, [node.id, b, g], node.shape)]
        break
      case 'inverseDeviation':
      case 'geluGate':
      case 'oneHot':
      case 'input':
      case 'parameter': break
      case 'softmax': yield [a, this.node({ kind: 'softmaxGrad' }, [node.id, g], node.shape)]; break
      case 'gelu': // carries the gradient through the gate as well
        yield [a, this.node({ kind: 'geluGrad', form: op.form }, [a, b, g], node.shape)]
        break
      case 'maskKeys': yield [a, g]; break
      case 'tanh': yield [a, this.node({ kind: 'tanhGrad' }, [node.id, g], node.shape)]; break
      default:
        throw new Error(`${op.kind} is not differentiable`)
    }
  }
}
