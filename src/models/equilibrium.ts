/**
 * The cell of a deep equilibrium model: what stands in for a trunk is not a number of layers but the state that one layer
 * leaves as it is, z = f(z, x). [B, N, D] and the embedded row as injection to [B, N, D]:
 *
 *     f(z, x) = tanh(x + gelu(z U + a) V + b  [+ attention over the tokens of standardised z])
 *
 * V starts so small that steps of f contract. Source of the form: Bai et al., arXiv 1909.01377.
 */
import { GraphBuilder } from '../graph/graph.ts'
import { layerNorm, linear, selfAttention } from './trunk.ts'
import type { BackboneSpec } from './spec.ts'
import type { Graph } from '../graph/graph.ts'

/** U has a norm of some 2.4, gelu a slope of half on average, V one of some 1.7 times this: J begins at about half. */
const CONTRACTION = 0.25

/** Of the backbone's settings all but `layers` count: there is one layer, however deep it acts. */
export function buildEquilibrium (spec: BackboneSpec): Graph {
  const { width, hidden, attention } = spec
  const g = new GraphBuilder()
  const flat = (name: string): number => g.reshape(g.input(name, ['B', 'N', width]), ['B*N', width])
  const [state, injection] = [flat('state'), flat('injection')]
  const inner = g.gelu(linear(g, state, 'up', width, hidden, width ** -0.5))
  let sum = g.add(linear(g, inner, 'down', hidden, width, CONTRACTION * hidden ** -0.5), injection)
  if (attention) sum = g.add(sum, selfAttention(g, layerNorm(g, state, 'norm', width), part => `attention.${part}`, spec, CONTRACTION * width ** -0.5))
  g.output('next', g.reshape(g.tanh(sum), ['B', 'N', width]))
  return g.build()
}
