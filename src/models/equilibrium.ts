/**
 * The cell of a deep equilibrium model: what stands in for a trunk is not a number of layers but the state that one layer
 * leaves as it is, z = f(z, x). [B, N, D] and the embedded row as injection to [B, N, D]:
 *
 *     f(z, x) = tanh(x + z W + b  [+ attention over the tokens of standardised z])
 *
 * W starts with a spectral norm of about .6, so that steps of f contract. Source of the form: Bai et al., arXiv 1909.01377.
 */
import { GraphBuilder } from '../graph/graph.ts'
import { layerNorm, linear, selfAttention } from './trunk.ts'
import type { BackboneSpec } from './spec.ts'
import type { Graph } from '../graph/graph.ts'

/** A matrix of normals of this deviation times width^-1/2 has a norm of about twice that. */
const CONTRACTION = 0.3

/** Of the backbone's settings width, heads and attention count; there is one layer, however deep it acts. */
export function buildEquilibrium (spec: BackboneSpec): Graph {
  const { width, attention } = spec
  const g = new GraphBuilder()
  const flat = (name: string): number => g.reshape(g.input(name, ['B', 'N', width]), ['B*N', width])
  const [state, injection] = [flat('state'), flat('injection')]
  const deviation = CONTRACTION * width ** -0.5
  let sum = g.add(linear(g, state, 'inner', width, width, deviation), injection)
  if (attention) sum = g.add(sum, selfAttention(g, layerNorm(g, state, 'norm', width), part => `attention.${part}`, spec, deviation))
  g.output('next', g.reshape(g.tanh(sum), ['B', 'N', width]))
  return g.build()
}
