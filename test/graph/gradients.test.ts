import test from 'ava'
import { createEagerBackend } from '../../src/backend/eager.ts'
import { createHead } from '../../src/models/head.ts'
import { createEmbedder } from '../../src/models/embedder.ts'
import { buildTrunk } from '../../src/models/trunk.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { initialise } from '../../src/models/parameters.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { loadRung } from '../../src/backend/ladder.ts'
import { Random } from '../../src/random.ts'
import type { Graph } from '../../src/graph/graph.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

const backend = createEagerBackend(await loadRung('cpu'))
const embedder = createEmbedder({ kind: 'patches', patch: 4, stride: 4, padding: 0 }, { modality: 'image', shape: [8, 8, 1] }, 8)
const classes = { id: 't', kind: 'classes', channels: 3, targets: 1, positions: [1], metric: 'accuracy' } as const
const dense = { id: 'd', kind: 'dense-classes', channels: 2, targets: 1, positions: [8, 8], metric: 'meanIoU' } as const

const parts: Array<{ id: string, graph: Graph, input: string, shape: number[], output: string }> = [
  { id: 'trunk with attention', graph: buildTrunk({ width: 8, layers: 2, heads: 2, hidden: 12, attention: true }), input: 'activations', shape: [3, 4, 8], output: 'features' },
  { id: 'trunk without attention', graph: buildTrunk({ width: 8, layers: 1, heads: 1, hidden: 12, attention: false }), input: 'activations', shape: [3, 1, 8], output: 'features' },
  { id: 'pooled head with adapter', graph: createHead(classes, embedder, 8, 4).graph, input: 'features', shape: [3, 4, 8], output: 'prediction' },
  { id: 'dense head', graph: createHead(dense, embedder, 8, 0).graph, input: 'features', shape: [3, 4, 8], output: 'prediction' },
  { id: 'embedder', graph: embedder.graph, input: 'pieces', shape: [3, 4, 16], output: 'activations' }
]

function noise (length: number, seed: number, scale = 1): Float32Array {
  const random = new Random(seed)
  return Float32Array.from({ length }, () => random.normal() * scale)
}

for (const part of parts) {
  test.serial(`${part.id}: backward equals central differences along random directions`, async t => {
    const model = backend.load(differentiate(part.graph, [part.input]))
    const parameters = initialise(part.graph, 3, 'unit').map((value, i) => value + 0.1 * Math.sin(i)) // away from zeros and ones
    const x = noise(part.shape.reduce((a, b) => a * b), 5)
    const at = async (p: Float32Array, data: Float32Array, weights: Float32Array): Promise<number> => {
      model.setParameters(p)
      const { data: out } = (await model.infer({ [part.input]: { shape: part.shape, data } }))[part.output] as TensorData
      return out.reduce((sum, value, i) => sum + value * (weights[i] as number), 0)
    }
    model.setParameters(parameters)
    const { outputs, kept } = await model.forward({ [part.input]: { shape: part.shape, data: x } })
    const { shape, data } = outputs[part.output] as TensorData
    const weights = noise(data.length, 6)
    const gradients = await model.backward(kept, { [part.output]: { shape, data: weights } })
    const step = 1e-3
    for (let direction = 0; direction < 4; direction++) {
      const v = noise(parameters.length, 10 + direction)
      const shifted = (sign: number): Float32Array => parameters.map((value, i) => value + sign * step * (v[i] as number))
      const slope = (await at(shifted(1), x, weights) - await at(shifted(-1), x, weights)) / (2 * step)
      const predicted = gradients.parameters.reduce((sum, g, i) => sum + g * (v[i] as number), 0)
      t.true(Math.abs(slope - predicted) < 0.01 * Math.max(1, Math.abs(slope)), `parameters: ${predicted} against ${slope}`)
      const u = noise(x.length, 20 + direction)
      const moved = (sign: number): Float32Array => x.map((value, i) => value + sign * step * (u[i] as number))
      const inputSlope = (await at(parameters, moved(1), weights) - await at(parameters, moved(-1), weights)) / (2 * step)
      const inputPredicted = (gradients.inputs[part.input] as TensorData).data.reduce((sum, g, i) => sum + g * (u[i] as number), 0)
      t.true(Math.abs(inputSlope - inputPredicted) < 0.01 * Math.max(1, Math.abs(inputSlope)), `input: ${inputPredicted} against ${inputSlope}`)
    }
    model.dispose()
  })
}

test.serial('a forward pass can be used for one backward only, and leaves no tensor behind', async t => {
  const graph = buildTrunk({ width: 8, layers: 1, heads: 2, hidden: 8, attention: true })
  const model = backend.load(differentiate(graph, ['activations']))
  const before = backend.liveTensors()
  model.setParameters(initialise(graph, 1, 'trunk'))
  const x = { shape: [2, 3, 8], data: noise(48, 1) }
  const { outputs, kept } = await model.forward({ activations: x })
  await model.backward(kept, { features: outputs.features as TensorData })
  await t.throwsAsync(model.backward(kept, { features: outputs.features as TensorData }), { instanceOf: InvalidParametersError })
  const { kept: unused } = await model.forward({ activations: x })
  unused.release()
  await model.infer({ activations: x })
  model.dispose()
  t.is(backend.liveTensors(), before)
})

test.serial('parameters set between forward and backward do not disturb the pass under way', async t => {
  const graph = buildTrunk({ width: 8, layers: 1, heads: 2, hidden: 8, attention: true })
  const model = backend.load(differentiate(graph, ['activations']))
  const parameters = initialise(graph, 1, 'trunk')
  model.setParameters(parameters)
  const x = { shape: [2, 3, 8], data: noise(48, 1) }
  const first = await model.forward({ activations: x })
  const second = await model.forward({ activations: x })
  const seeds = { features: first.outputs.features as TensorData }
  const want = await model.backward(first.kept, seeds)
  model.setParameters(parameters.map(value => value + 1))
  const got = await model.backward(second.kept, seeds)
  t.deepEqual([...got.parameters], [...want.parameters])
  model.dispose()
})

test.serial('an input of another shape is refused by name', async t => {
  const graph = buildTrunk({ width: 8, layers: 1, heads: 2, hidden: 8, attention: true })
  const model = backend.load(differentiate(graph, ['activations']))
  model.setParameters(initialise(graph, 1, 'trunk'))
  await t.throwsAsync(model.forward({ activations: { shape: [2, 3, 7], data: new Float32Array(42) } }), { instanceOf: InvalidParametersError, message: /activations/ })
})
