/** The rules of differentiation, in 64-bit numbers and without any backend; that backends compute them right: ../compliance. */
import test from 'ava'
import { MODEL_PARTS, noise, weights } from '../helpers/parts.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { interpret } from '../helpers/interpreter.ts'
import { OPERATIONS } from '../compliance/operations.ts'
import type { Graph } from '../../src/graph/graph.ts'
import type { Numbers } from '../helpers/interpreter.ts'

type Named = Readonly<Record<string, Numbers>>

/** Central differences of a smooth function: the error falls with the square of the step until rounding takes over. */
const STEP = 1e-5
const TOLERANCE = 1e-7

const cases: Array<{ id: string, graph: Graph, shapes: Readonly<Record<string, readonly number[]>> }> = [
  ...MODEL_PARTS.map(({ id, graph, input, shapes }) => ({ id, graph, shapes: { [input]: shapes[0] as readonly number[] } })),
  ...OPERATIONS.filter(({ gradients, passes }) => gradients !== false && Object.values(passes[0] ?? {}).flat().every(size => size < 50))
    .map(({ id, graph, passes }) => ({ id, graph, shapes: passes.at(-1) as Readonly<Record<string, readonly number[]>> }))
]

for (const { id, graph, shapes } of cases) {
  test(`${id}: backward equals central differences along random directions`, t => {
    const program = differentiate(graph, [...graph.inputs.keys()])
    const parameters = Float64Array.from(weights(graph))
    const inputs = noises(shapes, 5)
    const seeds = noises(shapesOf(interpret(program, parameters, inputs).outputs), 6)
    const at = (p: Float64Array, x: Named): number => {
      const { outputs } = interpret(program, p, x)
      return Object.entries(outputs).reduce((sum, [name, { data }]) => sum + dot(data, (seeds[name] as Numbers).data), 0)
    }
    const { inputGradients, parameterGradient } = interpret(program, parameters, inputs, seeds)
    for (let direction = 0; direction < 3; direction++) {
      const v = Float64Array.from(noise([graph.parameterCount], 10 + direction).data)
      const u = noises(shapes, 20 + direction)
      const moved = (sign: number): number => at(along(parameters, v, sign), Object.fromEntries(Object.entries(inputs).map(([name, { shape, data }]) => [name, { shape, data: along(data, (u[name] as Numbers).data, sign) }])))
      const slope = (moved(1) - moved(-1)) / (2 * STEP)
      const predicted = dot(parameterGradient, v) + Object.entries(inputGradients).reduce((sum, [name, { data }]) => sum + dot(data, (u[name] as Numbers).data), 0)
      t.true(Math.abs(slope - predicted) < TOLERANCE * Math.max(1, Math.abs(slope)), `${predicted} against ${slope}`)
    }
  })
}

function noises (shapes: Readonly<Record<string, readonly number[]>>, seed: number): Named {
  return Object.fromEntries(Object.entries(shapes).map(([name, shape], i) => [name, { shape, data: Float64Array.from(noise(shape, seed + i).data) }]))
}

function shapesOf (tensors: Named): Record<string, readonly number[]> {
  return Object.fromEntries(Object.entries(tensors).map(([name, { shape }]) => [name, shape]))
}

function dot (a: Float64Array, b: Float64Array): number { return a.reduce((sum, value, i) => sum + value * (b[i] as number), 0) }

function along (from: Float64Array, direction: Float64Array, sign: number): Float64Array {
  return from.map((value, i) => value + sign * STEP * (direction[i] as number))
}
