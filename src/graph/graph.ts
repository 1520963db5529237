/**
 * A model part as data: a list of operations on tensors whose batch and token counts stay symbolic. Built once per part
 * (src/models), differentiated once (./gradients.ts), then run by an executor of the backend that serves. Nothing here
 * computes; the same description can be interpreted operation by operation or compiled as a whole.
 *
 * Sizes are numbers or symbols: 'B' rows, 'N' tokens, 'G' groups of rows, and terms such as 'B*N', 'B*16' or 'B*N/G'.
 */
import { InvalidParametersError } from '../errors.ts'

export type Dim = number | string
export type Shape = readonly Dim[]

export type Op =
  | { readonly kind: 'input', readonly name: string }
  | { readonly kind: 'parameter', readonly name: string }
  /** Adjoint of an output, fed to the backward pass. */
  | { readonly kind: 'seed', readonly name: string }
  | { readonly kind: 'matMul', readonly transposeA: boolean, readonly transposeB: boolean }
  | { readonly kind: 'add' | 'sub' | 'mul' } // b may lack leading axes of a
  | { readonly kind: 'scale', readonly factor: number }
  | { readonly kind: 'reshape' }
  | { readonly kind: 'transpose', readonly order: readonly number[] }
  | { readonly kind: 'inverseDeviation', readonly epsilon: number } // (variance over the last axis + epsilon)^-1/2, [.., 1]
  | { readonly kind: 'pad', readonly axis: number, readonly before: number, readonly after: number } // with zeros
  | { readonly kind: 'slice', readonly axis: number, readonly from: number, readonly size: number }
  | { readonly kind: 'standardise' } // (x - mean over the last axis) * inverseDeviation(x)
  | { readonly kind: 'standardiseGrad' } // of (standardised, inverseDeviation, gradient)
  | { readonly kind: 'sum', readonly from: number, readonly axes: number } // over `axes` axes, the first of them `from`
  | { readonly kind: 'geluGate', readonly form: GeluForm } // kept for the gradient
  | { readonly kind: 'gelu', readonly form: GeluForm } // of (x, gate): their product
  | { readonly kind: 'geluGrad', readonly form: GeluForm } // of (x, gate, gradient)
  | { readonly kind: 'softmax' | 'softmaxGrad' | 'tanh' | 'tanhGrad' }
  /** Whole numbers to rows of `size` that hold a single 1; for inputs, it has no gradient. */
  | { readonly kind: 'oneHot', readonly size: number }
  /** Of ([B, heads, N, N], [B, N]): the second added over the last axis, so that a softmax leaves tokens out; the second has no gradient. */
  | { readonly kind: 'maskKeys' }

/**
 * gelu is x * gate(x) (Hendrycks and Gimpel 2016, section 2). sigmoid: gate = sigmoid(1.702 x), half the kernels of the others
 * and the one our own models use; erf: the normal distribution function itself; tanh: what stands in for it in models trained
 * elsewhere, sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3).
 */
export type GeluForm = 'sigmoid' | 'erf' | 'tanh'
export const GELU_SLOPE = 1.702
export const GELU_TANH = { slope: Math.sqrt(2 / Math.PI), cube: 0.044715 }
/** The normal density at 0. */
export const GELU_DENSITY = 1 / Math.sqrt(2 * Math.PI)

/** The axes that a sum runs over. */
export function axesOf ({ from, axes }: { readonly from: number, readonly axes: number }): number[] {
  return Array.from({ length: axes }, (_, i) => from + i)
}

export interface Node {
  readonly id: number
  readonly op: Op
  readonly inputs: readonly number[]
  readonly shape: Shape
}

/** How a parameter starts: a normal with this deviation, evenly between two bounds of this size, or one value everywhere. */
export type Initial = { readonly deviation: number } | { readonly bound: number } | { readonly value: number }

export interface Parameter {
  readonly name: string
  readonly shape: readonly number[]
  readonly initial: Initial
  /** Position in the part's flat parameter vector. */
  readonly offset: number
  readonly size: number
}

export interface Graph {
  readonly nodes: readonly Node[]
  readonly inputs: ReadonlyMap<string, number>
  readonly parameters: readonly Parameter[]
  readonly outputs: ReadonlyMap<string, number>
  /** Floats in the flat parameter vector. */
  readonly parameterCount: number
}

/** Floats in the parameter vectors of several parts. */
export function numbersOf (parts: ReadonlyMap<string, Graph>): number { return [...parts.values()].reduce((sum, { parameterCount }) => sum + parameterCount, 0) }

export class GraphBuilder {
  readonly #nodes: Node[] = []
  readonly #inputs = new Map<string, number>()
  readonly #outputs = new Map<string, number>()
  readonly #parameters: Parameter[] = []
  #parameterCount = 0

  shape (id: number): Shape {
    const node = this.#nodes[id]
    if (node === undefined) throw new InvalidParametersError(`graph: no node ${id}`)
    return node.shape
  }

  input (name: string, shape: Shape): number {
    const id = this.node({ kind: 'input', name }, [], shape)
    this.#inputs.set(name, id)
    return id
  }

  parameter (name: string, shape: readonly number[], initial: Initial): number {
    const size = shape.reduce((a, b) => a * b, 1)
    this.#parameters.push({ name, shape, initial, offset: this.#parameterCount, size })
    this.#parameterCount += size
    return this.node({ kind: 'parameter', name }, [], shape)
  }

  output (name: string, id: number): void { this.#outputs.set(name, id) }

  /** [..., M, K] x [..., K, P]; leading axes are equal. */
  matMul (a: number, b: number, options: { transposeA?: boolean, transposeB?: boolean } = {}): number {
    const { transposeA = false, transposeB = false } = options
    const [sa, sb] = [this.shape(a), this.shape(b)]
    const rows = sa[sa.length - (transposeA ? 1 : 2)] as Dim
    const columns = sb[sb.length - (transposeB ? 2 : 1)] as Dim
    const [ka, kb] = [sa[sa.length - (transposeA ? 2 : 1)], sb[sb.length - (transposeB ? 1 : 2)]]
    if (ka !== kb || sa.length !== sb.length) throw new InvalidParametersError(`graph: matMul of [${sa.join()}] and [${sb.join()}]`)
    return this.node({ kind: 'matMul', transposeA, transposeB }, [a, b], [...sa.slice(0, -2), rows, columns])
  }

  add (a: number, b: number): number { return this.node({ kind: 'add' }, [a, b], this.shape(a)) }
  sub (a: number, b: number): number { return this.node({ kind: 'sub' }, [a, b], this.shape(a)) }
  mul (a: number, b: number): number { return this.node({ kind: 'mul' }, [a, b], this.shape(a)) }
  scale (a: number, factor: number): number { return this.node({ kind: 'scale', factor }, [a], this.shape(a)) }
  reshape (a: number, shape: Shape): number { return this.node({ kind: 'reshape' }, [a], shape) }
  softmax (a: number): number { return this.node({ kind: 'softmax' }, [a], this.shape(a)) }
  gelu (a: number, form: GeluForm = 'sigmoid'): number { return this.node({ kind: 'gelu', form }, [a, this.node({ kind: 'geluGate', form }, [a], this.shape(a))], this.shape(a)) }
  tanh (a: number): number { return this.node({ kind: 'tanh' }, [a], this.shape(a)) }
  sum (a: number, from: number, axes: number): number { return this.node({ kind: 'sum', from, axes }, [a], this.shape(a).toSpliced(from, axes)) }

  oneHot (a: number, size: number): number { return this.node({ kind: 'oneHot', size }, [a], [...this.shape(a), size]) }
  maskKeys (scores: number, mask: number): number { return this.node({ kind: 'maskKeys' }, [scores, mask], this.shape(scores)) }

  /** Zeros before and after along one axis, whose size is a number. */
  pad (a: number, axis: number, { before = 0, after = 0 }: { before?: number, after?: number }): number {
    return this.node({ kind: 'pad', axis, before, after }, [a], this.shape(a).with(axis, before + this.#size(a, axis) + after))
  }

  /** `size` places of one axis, whose size is a number, from `from` on. */
  slice (a: number, axis: number, from: number, size: number): number {
    if (from + size > this.#size(a, axis)) throw new InvalidParametersError(`graph: slice of ${size} from ${from} of [${this.shape(a).join()}]`)
    return this.node({ kind: 'slice', axis, from, size }, [a], this.shape(a).with(axis, size))
  }

  /** Zero mean and unit variance over the last axis: LayerNorm before its gain and bias. */
  standardise (a: number, epsilon: number): number {
    const deviation = this.node({ kind: 'inverseDeviation', epsilon }, [a], [...this.shape(a).slice(0, -1), 1])
    return this.node({ kind: 'standardise' }, [a, deviation], this.shape(a))
  }

  transpose (a: number, order: readonly number[]): number {
    const shape = this.shape(a)
    return this.node({ kind: 'transpose', order }, [a], order.map(axis => shape[axis] as Dim))
  }

  node (op: Op, inputs: readonly number[], shape: Shape): number {
    const id = this.#nodes.length
    this.#nodes.push({ id, op, inputs, shape })
    return id
  }

  #size (a: number, axis: number): number {
    const size = this.shape(a)[axis]
    if (typeof size !== 'number') throw new InvalidParametersError(`graph: axis ${axis} of [${this.shape(a).join()}] has no fixed size`)
    return size
  }

  build (): Graph {
    return {
      nodes: this.#nodes,
      inputs: this.#inputs,
      outputs: this.#outputs,
      parameters: this.#parameters,
      parameterCount: this.#parameterCount
    }
  }
}

/** Resolves symbolic sizes: 'B*N/G' under {B: 24, N: 16, G: 2} is 192. */
export function resolveShape (shape: Shape, sizes: ReadonlyMap<string, number>): number[] {
  return shape.map(dim => {
    if (typeof dim === 'number') return dim
    const [product = '', divisor] = dim.split('/')
    return resolveProduct(product, sizes) / (divisor === undefined ? 1 : resolveProduct(divisor, sizes))
  })
}

function resolveProduct (term: string, sizes: ReadonlyMap<string, number>): number {
  return term.split('*').reduce((product, symbol) => {
    const size = sizes.get(symbol) ?? (/^\d+$/.test(symbol) ? Number(symbol) : undefined)
    if (size === undefined) throw new InvalidParametersError(`graph: size of ${symbol} is not known from the inputs`)
    return product * size
  }, 1)
}

/** Binds the symbols of one input's shape to the sizes that arrived. */
export function bindShape (name: string, expected: Shape, actual: readonly number[], sizes: Map<string, number>): void {
  const fits = expected.length === actual.length && expected.every((dim, axis) => {
    const size = actual[axis] as number
    if (typeof dim === 'number') return dim === size
    const known = sizes.get(dim)
    if (known === undefined) sizes.set(dim, size)
    return known === undefined || known === size
  })
  if (!fits) throw new InvalidParametersError(`model input ${name}: expected [${expected.join(', ')}], got [${actual.join(', ')}]`)
}
