/**
 * Batch normalisation of a trunk (Ioffe and Szegedy, arXiv 1502.03167), as two rewritings of the whole model's graph:
 *
 *     training    every normalisation standardises a channel over all rows and tokens of the batch, and outputs the channel's
 *                 sum and inverse deviation, from which running statistics follow (momentum .1, unbiased variance)
 *     inference   every normalisation is one affine per channel: x gain + bias
 *
 * Both have the parameters of the graph that they are made from, at the same places. For inference gain and bias are folded
 * from gain, bias and running statistics, and two sets of them mix in between:
 *
 *     gain' = gain / sqrt(variance + eps)      bias' = bias - mean gain'
 *     (1 - l) BNc(x) + l BNa(x)  =  x ((1 - l) gain'c + l gain'a) + (1 - l) bias'c + l bias'a
 *
 * so that one graph serves every robustness. Where the trunk has layer normalisations, two sets of gains and biases mix alike.
 */
import { EPSILON } from './trunk.ts'
import { GraphBuilder } from '../graph/graph.ts'
import type { Graph, Node } from '../graph/graph.ts'
import type { TensorData } from '../tensor/tensor.ts'

/** Share of a batch in the running statistics. */
const MOMENTUM = 0.1

/** One normalisation, and where its gains and biases stand in the flat parameters. */
export interface Norm {
  readonly name: string
  readonly channels: number
  readonly gain: number
  readonly bias: number
}

/** Per channel. */
export interface Affine {
  readonly gain: Float32Array
  readonly bias: Float32Array
}

export interface Statistics {
  readonly mean: Float32Array
  readonly variance: Float32Array
}

/** Normalisations of a graph, in its order: a gain multiplies something standardised, a bias is added to that product. */
export function normsOf ({ nodes, parameters }: Graph, prefix = ''): readonly Norm[] {
  const nameOf = (id: number | undefined): string | undefined => {
    const op = nodes[id as number]?.op
    return op?.kind === 'parameter' ? op.name : undefined
  }
  const placeOf = (name: string): number => (parameters.find(parameter => parameter.name === name) as Graph['parameters'][number]).offset
  return nodes.flatMap(node => {
    const [standardised, gain] = node.inputs
    const name = nameOf(gain)
    if (node.op.kind !== 'mul' || nodes[standardised as number]?.op.kind !== 'standardise' || name?.startsWith(prefix) !== true) return []
    const bias = nameOf(nodes.find(({ op, inputs }) => op.kind === 'add' && inputs[0] === node.id)?.inputs[1]) as string
    return [{ name: name.slice(prefix.length, -'.gain'.length), channels: nodes[gain as number]?.shape[0] as number, gain: placeOf(name), bias: placeOf(bias) }]
  })
}

/** Names of the outputs with a channel's sum and inverse deviation. */
const sumOf = ({ name }: Norm): string => `norm/${name}/sum`
const deviationOf = ({ name }: Norm): string => `norm/${name}/inverseDeviation`

/** Outputs of a training graph that nothing is learnt from. */
export function observedOf (norms: readonly Norm[]): ReadonlySet<string> { return new Set(norms.flatMap(norm => [sumOf(norm), deviationOf(norm)])) }

/** The training graph. */
export function overRows (graph: Graph, prefix: string): Graph {
  return rewrite(graph, prefix, (g, norm, x) => {
    const channels = g.transpose(x, [1, 0])
    const standardised = g.standardise(channels, EPSILON)
    g.output(sumOf(norm), g.sum(x, 0, 1))
    g.output(deviationOf(norm), g.deviationOf(standardised))
    return g.transpose(standardised, [1, 0])
  })
}

/** The inference graph. */
export function asAffine (graph: Graph, prefix: string): Graph { return rewrite(graph, prefix, (_, __, x) => x) }

class Rewriter extends GraphBuilder {
  readonly #built: Node[] = []

  override node (...args: Parameters<GraphBuilder['node']>): number {
    const id = super.node(...args)
    this.#built.push({ id, op: args[0], inputs: args[1], shape: args[2] })
    return id
  }

  /** The inverse deviation that something was standardised by. */
  deviationOf (standardised: number): number { return this.#built[standardised]?.inputs[1] as number }
}

/** The same graph with the standardised input of every normalisation replaced by what `make` makes of the input. */
function rewrite (graph: Graph, prefix: string, make: (g: Rewriter, norm: Norm, x: number) => number): Graph {
  const norms = new Map(normsOf(graph, prefix).map(norm => [`${prefix}${norm.name}.gain`, norm]))
  const replaced = new Map<number, Norm>()
  for (const { op, inputs: [standardised, gain] } of graph.nodes) {
    const parameter = graph.nodes[gain as number]?.op
    const norm = op.kind === 'mul' && parameter?.kind === 'parameter' ? norms.get(parameter.name) : undefined
    if (norm !== undefined) replaced.set(standardised as number, norm)
  }
  const dropped = new Set([...replaced.keys()].map(id => graph.nodes[id]?.inputs[1]))
  const g = new Rewriter()
  const ids: number[] = []
  for (const { id, op, inputs, shape } of graph.nodes) {
    const norm = replaced.get(id)
    if (norm !== undefined) ids.push(make(g, norm, ids[inputs[0] as number] as number))
    else if (dropped.has(id)) ids.push(-1)
    else if (op.kind === 'input') ids.push(g.input(op.name, shape))
    else if (op.kind === 'parameter') {
      const { initial, shape } = graph.parameters.find(({ name }) => name === op.name) as Graph['parameters'][number]
      ids.push(g.parameter(op.name, shape, initial))
    } else ids.push(g.node(op, inputs.map(input => ids[input] as number), shape))
  }
  for (const [name, id] of graph.outputs) g.output(name, ids[id] as number)
  return g.build()
}

/** Gains and biases of all normalisations, one after the other: a set of its own beside the model's. */
export function affineGraph (norms: readonly Norm[]): Graph { return pairs(norms, ['gain', 1], ['bias', 0]) }

/** Running means and variances of all normalisations, one after the other. */
export function statisticsGraph (norms: readonly Norm[]): Graph { return pairs(norms, ['mean', 0], ['variance', 1]) }

function pairs (norms: readonly Norm[], ...kinds: ReadonlyArray<readonly [string, number]>): Graph {
  const g = new GraphBuilder()
  for (const { name, channels } of norms) for (const [kind, value] of kinds) g.output(`${name}.${kind}`, g.parameter(`${name}.${kind}`, [channels], { value }))
  return g.build()
}

/** The two vectors of each normalisation in a vector laid out by `affineGraph` or `statisticsGraph`. Views. */
export function pairsIn (norms: readonly Norm[], flat: Float32Array): ReadonlyArray<readonly [Float32Array, Float32Array]> {
  let at = 0
  const next = (size: number): Float32Array => {
    at += size
    return flat.subarray(at - size, at)
  }
  return norms.map(({ channels }) => [next(channels), next(channels)])
}

/** Running statistics after one more batch. @param rows - over which the outputs of the training graph run */
export function updateStatistics (norms: readonly Norm[], running: Float32Array, outputs: Readonly<Record<string, TensorData>>, rows: number): Float32Array {
  const next = running.slice()
  for (const [i, [mean, variance]] of pairsIn(norms, next).entries()) {
    const norm = norms[i] as Norm
    const [sums, inverse] = [(outputs[sumOf(norm)] as TensorData).data, (outputs[deviationOf(norm)] as TensorData).data]
    const biased = inverse.map(value => Math.max(0, value ** -2 - EPSILON))
    for (let c = 0; c < mean.length; c++) {
      mean[c] = (1 - MOMENTUM) * (mean[c] as number) + MOMENTUM * (sums[c] as number) / rows
      variance[c] = (1 - MOMENTUM) * (variance[c] as number) + MOMENTUM * (biased[c] as number) * rows / Math.max(1, rows - 1)
    }
  }
  return next
}

/** What others told or changed may lie below 0: it must not make weights that are not numbers. */
function deviation (variance: number): number { return Math.sqrt(Math.max(0, variance) + EPSILON) }

/** Batch normalisation with these statistics as one affine. */
export function foldAffine ({ gain, bias }: Affine, { mean, variance }: Statistics): Affine {
  const folded = gain.map((value, c) => value / deviation(variance[c] as number))
  return { gain: folded, bias: bias.map((value, c) => value - (mean[c] as number) * (folded[c] as number)) }
}

/** Flat parameters with other gains and biases. @param affine - laid out by `affineGraph` */
export function withAffine (norms: readonly Norm[], flat: Float32Array, affine: Float32Array): Float32Array {
  const other = flat.slice()
  for (const [i, [gain, bias]] of pairsIn(norms, affine).entries()) {
    const norm = norms[i] as Norm
    other.set(gain, norm.gain)
    other.set(bias, norm.bias)
  }
  return other
}

/** Flat parameters for inference. @param statistics - laid out by `statisticsGraph` */
export function withStatistics (norms: readonly Norm[], flat: Float32Array, statistics: Float32Array): Float32Array {
  const other = flat.slice()
  for (const [i, [mean, variance]] of pairsIn(norms, statistics).entries()) {
    const { gain, bias, channels } = norms[i] as Norm
    const folded = foldAffine({ gain: flat.subarray(gain, gain + channels), bias: flat.subarray(bias, bias + channels) }, { mean, variance })
    other.set(folded.gain, gain)
    other.set(folded.bias, bias)
  }
  return other
}

/** A gradient at parameters that `withStatistics` made, turned into that at those it was given; in place. */
export function unfoldGradient (norms: readonly Norm[], gradient: Float32Array, statistics: Float32Array): void {
  for (const [i, [mean, variance]] of pairsIn(norms, statistics).entries()) {
    const { gain, bias, channels } = norms[i] as Norm
    for (let c = 0; c < channels; c++) {
      gradient[gain + c] = ((gradient[gain + c] as number) - (mean[c] as number) * (gradient[bias + c] as number)) / deviation(variance[c] as number)
    }
  }
}

/** (1 - lambda) a + lambda b; at 0 and 1 exactly the one or the other. */
export function mixed (a: Float32Array, b: Float32Array, lambda: number): Float32Array {
  return lambda === 0 ? a.slice() : lambda === 1 ? b.slice() : a.map((value, i) => (1 - lambda) * value + lambda * (b[i] as number))
}
