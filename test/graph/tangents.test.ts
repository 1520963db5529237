import test from 'ava'
import { backendIfAny } from '../helpers/rungs.ts'
import { buildEquilibrium } from '../../src/models/equilibrium.ts'
import { buildTrunk } from '../../src/models/trunk.ts'
import { close } from '../helpers/tensors.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { initialise } from '../../src/models/parameters.ts'
import { interpret } from '../helpers/interpreter.ts'
import { noise } from '../helpers/parts.ts'
import { tangentProgram } from '../../src/graph/tangents.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

const SPEC = { width: 8, layers: 2, heads: 2, hidden: 12, attention: true }
const SHAPE = [3, 4, 8]
const cell = buildEquilibrium(SPEC)
const PARTS = [
  { name: 'an equilibrium cell', graph: cell, input: 'state', output: 'next', inputs: { state: noise(SHAPE, 1), injection: noise(SHAPE, 2) } },
  { name: 'a trunk with attention', graph: buildTrunk(SPEC), input: 'activations', output: 'features', inputs: { activations: noise(SHAPE, 1) } }
]

for (const { name, graph, input, output, inputs } of PARTS) {
  test(`${name}: the tangent is the slope along a direction, and the transpose of what reverse mode gives`, t => {
    const parameters = initialise(graph, 3, 'part')
    const along = noise(SHAPE, 5)
    const moved = interpret(tangentProgram(graph, input, output), parameters, { ...inputs, tangent: along }).outputs.tangent?.data as Float64Array
    const at = (step: number): Float64Array => {
      const from = inputs[input as keyof typeof inputs] as TensorData
      const shifted = { shape: from.shape, data: Float64Array.from(from.data, (value, i) => value + step * (along.data[i] as number)) }
      return interpret(differentiate(graph, []), parameters, { ...inputs, [input]: shifted }).outputs[output]?.data as Float64Array
    }
    const [up, down] = [at(1e-5), at(-1e-5)]
    close(t, 'slope', moved, up.map((value, i) => (value - (down[i] as number)) / 2e-5), 1e-8)
    const seed = noise(SHAPE, 6)
    const back = interpret(differentiate(graph, [input]), parameters, inputs, { [output]: seed }).inputGradients[input]?.data as Float64Array
    const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => Array.from(a).reduce((sum, value, i) => sum + value * (b[i] as number), 0)
    t.true(Math.abs(dot(back, along.data) - dot(moved, seed.data)) < 1e-10)
  })
}

for (const rung of ['tensorflow', 'wasm', 'cpu'] as const) {
  test.serial(`${rung} computes tangents as the reference does`, async t => {
    const backend = await backendIfAny(t, rung)
    if (backend === undefined) return
    const before = backend.liveTensors()
    const program = tangentProgram(cell, 'state', 'next')
    const parameters = initialise(cell, 3, 'part')
    const inputs = { state: noise(SHAPE, 1), injection: noise(SHAPE, 2), tangent: noise(SHAPE, 5) }
    const model = backend.load(program)
    model.setParameters(parameters)
    close(t, 'tangent', (await model.infer(inputs)).tangent?.data ?? [], interpret(program, parameters, inputs).outputs.tangent?.data ?? [], 1e-5)
    model.dispose()
    t.is(backend.liveTensors(), before)
  })
}
