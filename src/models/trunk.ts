/**
 * The shared backbone: a pre-norm transformer over tokens [B, N, D] -> [B, N, D], for any number of rows and tokens, so
 * that pictures, tables, series and text of different clients pass through one set of weights. LayerNorm: with BatchNorm the
 * rows of one client would change the features of another. A whole model may have it (batch-norm.ts): a client's rows are alone.
 */
import { GraphBuilder } from '../graph/graph.ts'
import type { BackboneSpec } from './spec.ts'
import type { Graph } from '../graph/graph.ts'

/** Beside a variance, of normalisations of either kind. */
export const EPSILON = 1e-5

export function buildTrunk (spec: BackboneSpec): Graph {
  const { width, layers, hidden, attention } = spec
  const g = new GraphBuilder()
  // The two residual outputs of a block start smaller the deeper the trunk is, so that depth does not raise the variance.
  const residual = (fanIn: number): number => fanIn ** -0.5 / Math.sqrt(2 * layers)
  let x = g.reshape(g.input('activations', ['B', 'N', width]), ['B*N', width])
  for (let layer = 0; layer < layers; layer++) {
    const name = (part: string): string => `block${layer}.${part}`
    if (attention) x = g.add(x, selfAttention(g, layerNorm(g, x, name('norm1'), width), name, spec, residual(width)))
    const inner = g.gelu(linear(g, layerNorm(g, x, name('norm2'), width), name('up'), width, hidden, width ** -0.5))
    x = g.add(x, linear(g, inner, name('down'), hidden, width, residual(hidden)))
  }
  g.output('features', g.reshape(layerNorm(g, x, 'norm', width), ['B', 'N', width]))
  return g.build()
}

export function layerNorm (g: GraphBuilder, x: number, name: string, width: number): number {
  const gain = g.parameter(`${name}.gain`, [width], { value: 1 })
  const bias = g.parameter(`${name}.bias`, [width], { value: 0 })
  return g.add(g.mul(g.standardise(x, EPSILON), gain), bias)
}

/** [rows, from] -> [rows, to]. */
export function linear (g: GraphBuilder, x: number, name: string, from: number, to: number, deviation: number): number {
  const product = g.matMul(x, g.parameter(`${name}.weight`, [from, to], { deviation }))
  return g.add(product, g.parameter(`${name}.bias`, [to], { value: 0 }))
}

/** Multi-head self-attention, [B*N, D] -> [B*N, D]. No bias on query, key and value. */
export function selfAttention (g: GraphBuilder, x: number, name: (part: string) => string, spec: BackboneSpec, deviation: number): number {
  const { width, heads } = spec
  const size = width / heads
  const split = (part: string): number => {
    const projected = g.matMul(x, g.parameter(name(`${part}.weight`), [width, width], { deviation: width ** -0.5 }))
    return g.transpose(g.reshape(projected, ['B', 'N', heads, size]), [0, 2, 1, 3])
  }
  const [query, key, value] = [split('query'), split('key'), split('value')]
  const weights = g.softmax(g.scale(g.matMul(query, key, { transposeB: true }), size ** -0.5))
  const mixed = g.transpose(g.matMul(weights, value), [0, 2, 1, 3])
  return linear(g, g.reshape(mixed, ['B*N', width]), name('out'), width, width, deviation)
}
