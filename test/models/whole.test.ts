import test from 'ava'
import { buildTrunk } from '../../src/models/trunk.ts'
import { composeModel } from '../../src/models/whole.ts'
import { createEmbedder } from '../../src/models/embedder.ts'
import { createHead } from '../../src/models/head.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { backendOn } from '../helpers/rungs.ts'
import { close } from '../helpers/tensors.ts'
import { initialise } from '../../src/models/parameters.ts'
import { LEVEL, MASK, PICTURES, SIDE, clientData } from '../helpers/synthetic.ts'
import type { Graph } from '../../src/graph/graph.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

const TASKS = [SIDE, LEVEL, MASK]

for (const { id, attention, embedder: spec } of [
  { id: 'four tokens with attention', attention: true, embedder: { kind: 'patches', patch: 4, stride: 4, padding: 0 } },
  { id: 'one token without', attention: false, embedder: { kind: 'patches', patch: 8, stride: 8, padding: 0 } }
] as const) {
  test.serial(`one graph gives what its parts give one after the other: ${id}`, async t => {
    const backend = await backendOn('cpu')
    const embedder = createEmbedder(spec, PICTURES, 8)
    const trunk = buildTrunk({ width: 8, layers: 2, heads: 2, hidden: 12, attention })
    const heads = new Map(TASKS.map(task => [task.id, createHead(task, embedder, 8, 3).graph]))
    const parts: Array<[string, Graph]> = [['embed', embedder.graph], ['trunk', trunk], ...heads]
    const whole = composeModel({ embedder: embedder.graph, trunk, heads, tokens: embedder.tokens })
    const values = parts.map(([name, graph]) => initialise(graph, 3, name))
    t.is(whole.parameterCount, values.reduce((sum, part) => sum + part.length, 0))
    t.deepEqual([...whole.inputs.keys()], ['pieces'])
    t.deepEqual([...whole.outputs.keys()], TASKS.map(task => task.id))

    const run = async (graph: Graph, flat: Float32Array, inputs: Record<string, TensorData>): Promise<Readonly<Record<string, TensorData>>> => {
      const model = backend.load(differentiate(graph, []))
      model.setParameters(flat)
      const outputs = await model.infer(inputs)
      model.dispose()
      return outputs
    }
    const { x, count } = clientData({ id: 'ada', tasks: TASKS }).train
    const pieces = embedder.unfold(x, count)
    const { activations } = await run(embedder.graph, values[0] as Float32Array, { pieces })
    const { features } = await run(trunk, values[1] as Float32Array, { activations: activations as TensorData })
    const flat = Float32Array.from(values.flatMap(part => [...part]))
    const got = await run(whole, flat, { pieces })
    for (const [i, [task, head]] of [...heads].entries()) {
      const { prediction } = await run(head, values[2 + i] as Float32Array, { features: features as TensorData })
      t.deepEqual(got[task]?.shape, prediction?.shape)
      close(t, task, (got[task] as TensorData).data, (prediction as TensorData).data, 1e-6)
    }
  })
}
