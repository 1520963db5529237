/**
 * The shared backbone: a pre-norm transformer over tokens [B, N, D] -> [B, N, D], for any number of rows and tokens, so
 * that pictures, tables, series and text of different clients pass through one set of weights. LayerNorm: with BatchNorm the
 * rows of one client would change the features of another. A whole model may have it (batch-norm.ts): a client's rows are alone.
 *
 * A foundation model has the same blocks with the same names, but biases on query, key and value, its own gelu and epsilon,
 * and for texts normalisations behind the residual sums and a mask over padded tokens.
 */
import { OWN_FORM, blockForm } from '../foundation/spec.ts'
import { GraphBuilder } from '../graph/graph.ts'
import type { BackboneSpec } from './spec.ts'
import type { BlockForm } from '../foundation/spec.ts'
import type { Graph } from '../graph/graph.ts'

/** Beside a variance, of normalisations of either kind. */
export const EPSILON = OWN_FORM.epsilon

export function buildTrunk (spec: BackboneSpec): Graph {
  const { width, layers, hidden, attention, foundation } = spec
  const form = blockForm(foundation)
  const g = new GraphBuilder()
  // The two residual outputs of a block start smaller the deeper the trunk is, so that depth does not raise the variance.
  const residual = (fanIn: number): number => fanIn ** -0.5 / Math.sqrt(2 * layers)
  let x = g.reshape(g.input('activations', ['B', 'N', width]), ['B*N', width])
  const mask = form.masked ? g.input('mask', ['B', 'N']) : undefined
  for (let layer = 0; layer < layers; layer++) {
    const name = (part: string): string => `block${layer}.${part}`
    const norm1 = (y: number): number => layerNorm(g, y, name('norm1'), width, form.epsilon)
    const norm2 = (y: number): number => layerNorm(g, y, name('norm2'), width, form.epsilon)
    const mix = (y: number): number => selfAttention(g, y, name, spec, residual(width), { form, mask })
    const feed = (y: number): number => linear(g, g.gelu(linear(g, y, name('up'), width, hidden, width ** -0.5), form.gelu), name('down'), hidden, width, residual(hidden))
    if (form.postNorm) {
      x = norm1(g.add(x, mix(x)))
      x = norm2(g.add(x, feed(x)))
    } else {
      if (attention) x = g.add(x, mix(norm1(x)))
      x = g.add(x, feed(norm2(x)))
    }
  }
  g.output('features', g.reshape(form.postNorm ? x : layerNorm(g, x, 'norm', width, form.epsilon), ['B', 'N', width]))
  return g.build()
}

export function layerNorm (g: GraphBuilder, x: number, name: string, width: number, epsilon = EPSILON): number {
  const gain = g.parameter(`${name}.gain`, [width], { value: 1 })
  const bias = g.parameter(`${name}.bias`, [width], { value: 0 })
  return g.add(g.mul(g.standardise(x, epsilon), gain), bias)
}

/** [rows, from] -> [rows, to]. */
export function linear (g: GraphBuilder, x: number, name: string, from: number, to: number, deviation: number): number {
  const product = g.matMul(x, g.parameter(`${name}.weight`, [from, to], { deviation }))
  return g.add(product, g.parameter(`${name}.bias`, [to], { value: 0 }))
}

/** Multi-head self-attention, [B*N, D] -> [B*N, D]. Our own trunks have no bias on query, key and value. */
export function selfAttention (g: GraphBuilder, x: number, name: (part: string) => string, spec: BackboneSpec, deviation: number, { form = OWN_FORM, mask }: { form?: BlockForm, mask?: number | undefined } = {}): number {
  const { width, heads } = spec
  const size = width / heads
  const split = (part: string): number => {
    const projected = form.biases
      ? linear(g, x, name(part), width, width, width ** -0.5)
      : g.matMul(x, g.parameter(name(`${part}.weight`), [width, width], { deviation: width ** -0.5 }))
    return g.transpose(g.reshape(projected, ['B', 'N', heads, size]), [0, 2, 1, 3])
  }
  const [query, key, value] = [split('query'), split('key'), split('value')]
  const scores = g.scale(g.matMul(query, key, { transposeB: true }), size ** -0.5)
  const weights = g.softmax(mask === undefined ? scores : g.maskKeys(scores, mask))
  const mixed = g.transpose(g.matMul(weights, value), [0, 2, 1, 3])
  return linear(g, g.reshape(mixed, ['B*N', width]), name('out'), width, width, deviation)
}
