import test from 'ava'
import { GraphBuilder } from '../../src/graph/graph.ts'
import { buildTrunk, layerNorm, linear } from '../../src/models/trunk.ts'
import { normalisationsOf } from '../../src/models/normalisation.ts'
import type { Graph } from '../../src/graph/graph.ts'

/** Names of the parameters that the stretches are. */
function namesOf (graph: Graph): string[] {
  return normalisationsOf(graph).map(({ offset, size }) => graph.parameters.find(parameter => parameter.offset === offset && parameter.size === size)?.name ?? 'no parameter')
}

test('gain and bias of every LayerNorm of a trunk, and nothing else', t => {
  const spec = { width: 8, layers: 2, heads: 2, hidden: 12, attention: true }
  const norms = ['block0.norm1', 'block0.norm2', 'block1.norm1', 'block1.norm2', 'norm'].flatMap(name => [`${name}.gain`, `${name}.bias`])
  t.deepEqual(namesOf(buildTrunk(spec)).sort(), norms.sort())
  t.deepEqual(namesOf(buildTrunk({ ...spec, layers: 1, attention: false })).sort(), ['block0.norm2.bias', 'block0.norm2.gain', 'norm.bias', 'norm.gain'])
})

test('what a part is called does not matter, what is done with it does', t => {
  const g = new GraphBuilder()
  const named = layerNorm(g, g.input('x', ['B', 4]), 'scale-and-shift', 4)
  g.output('y', linear(g, named, 'norm', 4, 4, 1))
  t.deepEqual(namesOf(g.build()), ['scale-and-shift.gain', 'scale-and-shift.bias'])
})
