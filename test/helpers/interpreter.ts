/**
 * Runs a program in plain loops over 64-bit numbers: what every executor's results are held against. Written from the
 * meaning of the operations in src/graph/graph.ts, and shares nothing with the executors but shapes.
 */
import { GELU_SLOPE, GELU_TANH, axesOf, bindShape, resolveShape } from '../../src/graph/graph.ts'
import type { Backend, ForwardOptions, Gradients, Kept, Model, Passed } from '../../src/backend/backend.ts'
import type { GeluForm, Node } from '../../src/graph/graph.ts'
import type { Program } from '../../src/graph/gradients.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

export interface Numbers {
  readonly shape: readonly number[]
  readonly data: Float64Array
}

type Named<T> = Readonly<Record<string, T>>

export interface Interpreted {
  readonly outputs: Named<Numbers>
  readonly inputGradients: Named<Numbers>
  /** [groups, parameters] flat, in the graph's parameter order. */
  readonly parameterGradient: Float64Array
}

/** Forward and backward in one go; without seeds forward alone. @param groups - equal parts of the rows, of a grouped program */
export function interpret (program: Program, parameters: ArrayLike<number>, inputs: Named<TensorData | Numbers>, seeds?: Named<TensorData | Numbers>, groups = 1): Interpreted {
  const { graph } = program
  const nodes = seeds === undefined ? graph.nodes : program.nodes
  const sizes = new Map<string, number>([['G', groups]])
  for (const [name, id] of graph.inputs) bindShape(name, (nodes[id] as Node).shape, (inputs[name] as TensorData).shape, sizes)
  const flat = Float64Array.from(parameters)
  const places = new Map(graph.parameters.map(parameter => [parameter.name, parameter]))
  const values: Numbers[] = []
  for (const node of nodes) {
    const { op } = node
    const shape = resolveShape(node.shape, sizes)
    if (op.kind === 'input' || op.kind === 'seed') {
      values.push(wide((op.kind === 'input' ? inputs : seeds ?? {})[op.name] as TensorData))
    } else if (op.kind === 'parameter') {
      const { offset, size } = places.get(op.name) as typeof graph.parameters[number]
      values.push({ shape, data: flat.slice(offset, offset + size) })
    } else {
      values.push({ shape, data: compute(node, node.inputs.map(id => values[id] as Numbers), shape) })
    }
  }
  const pick = (ids: ReadonlyMap<string, number>): Named<Numbers> => Object.fromEntries([...ids].flatMap(([name, id]) => id < values.length ? [[name, values[id] as Numbers]] : []))
  const parameterGradient = new Float64Array(groups * graph.parameterCount)
  for (const { name, offset, size } of graph.parameters) {
    const gradient = values[program.parameterGradients.get(name) ?? Infinity]
    if (gradient === undefined) continue
    for (let g = 0; g < groups; g++) parameterGradient.set(gradient.data.subarray(g * size, (g + 1) * size), g * graph.parameterCount + offset)
  }
  return { outputs: pick(graph.outputs), inputGradients: pick(program.inputGradients), parameterGradient }
}

/** The interpreter as a backend: what trainers and model parts compute with it is the reference for every other one. */
export function interpreterBackend (): Backend {
  return { name: 'interpreter', memoryBytes: Infinity, load: program => new InterpretedModel(program), liveTensors: () => 0, dispose: () => {} }
}

/** A pass is its own recipe: backward begins again from the inputs. */
interface Recipe extends Kept {
  readonly parameters: Float32Array
  readonly inputs: Named<TensorData>
}

class InterpretedModel implements Model {
  readonly parameterCount: number
  readonly #program: Program
  #parameters = new Float32Array(0)

  constructor (program: Program) {
    this.#program = program
    this.parameterCount = program.graph.parameterCount
  }

  setParameters (flat: Float32Array): void { this.#parameters = flat.slice() }

  async forward (inputs: Named<TensorData>, { groups = 1 }: ForwardOptions = {}): Promise<Passed> {
    const kept: Recipe = { parameters: this.#parameters, inputs, groups, release: () => {} }
    return { outputs: await this.infer(inputs), kept }
  }

  async infer (inputs: Named<TensorData>): Promise<Named<TensorData>> {
    return narrow(interpret(this.#program, this.#parameters, inputs).outputs)
  }

  async backwardKeep (kept: Kept, seeds: Named<TensorData>): Promise<Gradients> {
    const { parameters, inputs, groups } = kept as Recipe
    const { inputGradients, parameterGradient } = interpret(this.#program, parameters, inputs, seeds, groups)
    return { inputs: narrow(inputGradients), parameters: Float32Array.from(parameterGradient) }
  }

  async backward (kept: Kept, seeds: Named<TensorData>): Promise<Gradients> { return await this.backwardKeep(kept, seeds) }

  dispose (): void {}
}

function narrow (tensors: Named<Numbers>): Named<TensorData> {
  return Object.fromEntries(Object.entries(tensors).map(([name, { shape, data }]) => [name, { shape, data: Float32Array.from(data) }]))
}

function wide ({ shape, data }: TensorData | Numbers): Numbers { return { shape, data: Float64Array.from(data) } }

function compute ({ op }: Node, [a, b, c]: readonly Numbers[], shape: readonly number[]): Float64Array {
  const [x, y, z] = [a, b, c].map(tensor => tensor?.data ?? new Float64Array(0)) as [Float64Array, Float64Array, Float64Array]
  /** b may lack leading axes of a: it then repeats. */
  const pairs = (f: (p: number, q: number) => number): Float64Array => x.map((value, i) => f(value, y[i % y.length] as number))
  switch (op.kind) {
    case 'matMul': return product(a as Numbers, b as Numbers, op, shape)
    case 'add': return pairs((p, q) => p + q)
    case 'sub': return pairs((p, q) => p - q)
    case 'mul': return pairs((p, q) => p * q)
    case 'scale': return x.map(value => value * op.factor)
    case 'reshape': return x.slice()
    case 'transpose': return permuted(a as Numbers, op.order)
    case 'sum': return summed(a as Numbers, axesOf(op), shape)
    case 'pad': return moved(a as Numbers, op.axis, op.before, shape)
    case 'slice': return moved(a as Numbers, op.axis, -op.from, shape)
    case 'tanh': return x.map(Math.tanh)
    case 'tanhGrad': return pairs((out, g) => g * (1 - out ** 2)) // of (output, gradient)
    case 'geluGate': return x.map(value => gateAt(op.form, value))
    case 'gelu': return pairs((value, gate) => value * gate)
    case 'geluGrad': return z.map((g, i) => { // of (input, gate, gradient); the gate's derivative is measured
      const [value, gate, step] = [x[i] as number, y[i] as number, 1e-5]
      return g * (gate + value * (gateAt(op.form, value + step) - gateAt(op.form, value - step)) / (2 * step))
    })
    case 'oneHot': return Float64Array.from([...x].flatMap(value => Array.from({ length: op.size }, (_, i) => Number(i === Math.trunc(value)))))
    case 'maskKeys': { // of ([B, heads, N, N], [B, N])
      const [tokens, perRow] = [shape[3] as number, count(shape.slice(1))]
      return x.map((score, i) => score + (y[Math.floor(i / perRow) * tokens + i % tokens] as number))
    }
    case 'softmax': return byRow(a as Numbers, row => {
      const largest = Math.max(...row)
      const powers = row.map(value => Math.exp(value - largest))
      return powers.map(power => power / sum(powers))
    })
    case 'softmaxGrad': return byRow(a as Numbers, (out, at) => { // of (output, gradient)
      const g = [...y.subarray(at, at + out.length)]
      const along = sum(out.map((p, i) => p * (g[i] as number)))
      return out.map((p, i) => p * ((g[i] as number) - along))
    })
    case 'inverseDeviation': return Float64Array.from(rows(a as Numbers), row => 1 / Math.sqrt(mean(row.map(value => (value - mean(row)) ** 2)) + op.epsilon))
    case 'standardise': return byRow(a as Numbers, (row, at) => row.map(value => (value - mean(row)) * (y[at / row.length] as number)))
    case 'standardiseGrad': return byRow(a as Numbers, (out, at) => { // of (standardised, inverseDeviation, gradient)
      const g = [...z.subarray(at, at + out.length)]
      const along = mean(out.map((value, i) => value * (g[i] as number)))
      return out.map((value, i) => ((g[i] as number) - mean(g) - value * along) * (y[at / out.length] as number))
    })
    case 'input':
    case 'parameter':
    case 'seed': throw new Error(`${op.kind} is not computed`)
  }
}

function gateAt (form: GeluForm, x: number): number {
  switch (form) {
    case 'sigmoid': return 1 / (1 + Math.exp(-GELU_SLOPE * x))
    case 'tanh': return (1 + Math.tanh(GELU_TANH.slope * (x + GELU_TANH.cube * x ** 3))) / 2
    case 'erf': return (1 + erf(x / Math.SQRT2)) / 2
  }
}

/** By its Taylor series within 4 of zero, where it converges to 1e-9; beyond, it is 1 to 1e-8. */
function erf (x: number): number {
  if (Math.abs(x) > 4) return Math.sign(x)
  let [term, total] = [x, x]
  for (let n = 1; n < 80; n++) {
    term *= -x * x / n
    total += term / (2 * n + 1)
  }
  return 2 / Math.sqrt(Math.PI) * total
}

function sum (values: readonly number[]): number { return values.reduce((a, b) => a + b, 0) }
function mean (values: readonly number[]): number { return sum(values) / values.length }
function count (shape: readonly number[]): number { return shape.reduce((a, b) => a * b, 1) }

function rows ({ shape, data }: Numbers): number[][] {
  const length = shape.at(-1) as number
  return Array.from({ length: data.length / length }, (_, row) => [...data.subarray(row * length, (row + 1) * length)])
}

/** @param f - of a row and the position of its first number */
function byRow (tensor: Numbers, f: (row: number[], at: number) => number[]): Float64Array {
  const length = tensor.shape.at(-1) as number
  return Float64Array.from(rows(tensor).flatMap((row, i) => f(row, i * length)))
}

function product (a: Numbers, b: Numbers, { transposeA, transposeB }: { transposeA: boolean, transposeB: boolean }, shape: readonly number[]): Float64Array {
  const [height, width] = shape.slice(-2) as [number, number]
  const inner = a.shape.at(transposeA ? -2 : -1) as number
  const out = new Float64Array(count(shape))
  for (let batch = 0; batch < count(shape.slice(0, -2)); batch++) {
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        let total = 0
        for (let k = 0; k < inner; k++) {
          total += (a.data[batch * height * inner + (transposeA ? k * height + row : row * inner + k)] as number) *
            (b.data[batch * inner * width + (transposeB ? column * inner + k : k * width + column)] as number)
        }
        out[(batch * height + row) * width + column] = total
      }
    }
  }
  return out
}

/** Sum over `axes`, which follow each other. */
function summed ({ shape: from, data }: Numbers, axes: readonly number[], shape: readonly number[]): Float64Array {
  const inner = count(from.slice((axes.at(-1) as number) + 1))
  const along = count(axes.map(axis => from[axis] as number))
  const sums = new Float64Array(count(shape))
  data.forEach((value, at) => {
    const to = Math.floor(at / (along * inner)) * inner + at % inner
    sums[to] = (sums[to] as number) + value
  })
  return sums
}

/** Every place `by` places on along an axis; zero where nothing came to, gone what has no place. */
function moved ({ shape: from, data }: Numbers, axis: number, by: number, shape: readonly number[]): Float64Array {
  const inner = count(from.slice(axis + 1))
  const [had, has] = [from[axis] as number, shape[axis] as number]
  return Float64Array.from({ length: count(shape) }, (_, at) => {
    const place = Math.floor(at / inner) % has - by
    const outer = Math.floor(at / (inner * has))
    return place < 0 || place >= had ? 0 : data[(outer * had + place) * inner + at % inner] as number
  })
}

function permuted ({ shape, data }: Numbers, order: readonly number[]): Float64Array {
  const strides = shape.map((_, axis) => count(shape.slice(axis + 1)))
  const to = order.map(axis => shape[axis] as number)
  return data.map((_, at) => {
    let from = 0
    let rest = at
    for (let axis = to.length - 1; axis >= 0; axis--) {
      from += rest % (to[axis] as number) * (strides[order[axis] as number] as number)
      rest = Math.floor(rest / (to[axis] as number))
    }
    return data[from] as number
  })
}
