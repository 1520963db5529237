/**
 * Translates a differentiated model part into one TensorFlow graph that holds the forward and the backward pass. A run
 * names what it feeds and what it fetches, and TensorFlow prunes the rest: forward fetches the outputs and what backward
 * reads; backward feeds those values in place of the operations that made them, so nothing is computed twice.
 *
 * Parameters enter as one flat vector and leave as one flat gradient (one per group of rows, where grouped): one transfer
 * each way instead of one per weight.
 * The slices cost nothing where they start on 64 bytes. Shapes with symbolic sizes are fed as well: one graph then serves
 * every batch size and token count. Graphs written for one size each were no faster, measured on trunks 48 to 192 wide.
 */
import { GELU_DENSITY, GELU_SLOPE, GELU_TANH, axesOf } from '../../graph/graph.ts'
import { FLOAT, INT32 } from './graph-def.ts'
import type { Argument, Attribute, Constant, NodeDef } from './graph-def.ts'
import type { Dim, GeluForm, Node, Op, Shape } from '../../graph/graph.ts'
import type { Program } from '../../graph/gradients.ts'

export interface Lowered {
  readonly nodes: readonly NodeDef[]
  /** What the nodes are fed, by name. */
  readonly placeholders: ReadonlyMap<string, Argument>
  /** Placeholder -> the shape to feed it, resolved for the sizes of the pass. */
  readonly shapes: ReadonlyMap<string, Shape>
  /** Output name -> tensor. */
  readonly outputs: ReadonlyMap<string, string>
  /** Input name -> tensor of its gradient. */
  readonly inputGradients: ReadonlyMap<string, string>
}

/** Placeholder of the flat parameter vector. */
export const PARAMETERS = 'parameters'
/** Tensor of the flat parameter gradient. */
export const GRADIENTS = 'gradients'

/** The tensor that a node of the program computes, or that is fed in its place. */
export function tensorOf (id: number): string { return `n${id}` }

/** A tensor of floats as a graph or a function is given it. */
export function given (name: string, shape: Shape): Argument { return { name, type: FLOAT, shape: shape.map(dim => typeof dim === 'number' ? dim : -1) } }

export function lower (program: Program): Lowered { return new Lowering().run(program) }

class Lowering {
  readonly #nodes: NodeDef[] = []
  readonly #placeholders = new Map<string, Argument>()
  readonly #shapes = new Map<string, Shape>()
  readonly #constants = new Map<string, string>()

  run ({ graph, nodes, inputGradients, parameterGradients, grouped }: Program): Lowered {
    this.#placeholders.set(PARAMETERS, given(PARAMETERS, [graph.parameterCount]))
    const parameters = new Map(graph.parameters.map(parameter => [parameter.name, parameter]))
    for (const node of nodes) {
      const name = tensorOf(node.id)
      const { op } = node
      if (op.kind === 'input' || op.kind === 'seed') {
        this.#placeholders.set(name, given(name, node.shape))
      } else if (op.kind === 'parameter') {
        const { offset, size, shape } = parameters.get(op.name) as typeof graph.parameters[number]
        const part = this.#add(`${name}_flat`, 'Slice', [PARAMETERS, this.#ints([offset]), this.#ints([size])], { T: { type: FLOAT }, Index: { type: INT32 } })
        this.#add(name, 'Reshape', [part, this.#ints(shape)], { T: { type: FLOAT }, Tshape: { type: INT32 } })
      } else {
        this.#lower(name, node, op)
      }
    }
    const groups: Shape = grouped ? ['G'] : []
    const parts = graph.parameters.map(({ name, size }) => {
      const id = parameterGradients.get(name)
      return id === undefined ? this.#zeros([...groups, size]) : this.#add(undefined, 'Reshape', [tensorOf(id), this.#shape([...groups, size])], { T: { type: FLOAT }, Tshape: { type: INT32 } })
    })
    if (parts.length > 1) this.#add(GRADIENTS, 'ConcatV2', [...parts, this.#int(groups.length)], { T: { type: FLOAT }, Tidx: { type: INT32 }, N: { count: parts.length } })
    else this.#identity(GRADIENTS, parts[0] ?? this.#zeros([...groups, 0])) // ConcatV2 wants two at least
    // Names of their own: TensorFlow refuses to fetch what is fed, and a part may hand an input or a seed straight through.
    const named = (prefix: string, ids: ReadonlyMap<string, number>): Map<string, string> =>
      new Map([...ids].map(([name, id], i) => [name, this.#identity(`${prefix}${i}`, tensorOf(id))]))
    return {
      nodes: this.#nodes,
      placeholders: this.#placeholders,
      shapes: this.#shapes,
      outputs: named('output', graph.outputs),
      inputGradients: named('inputGradient', inputGradients)
    }
  }

  #lower (name: string, node: Node, op: Op): void {
    const [a, b, c] = node.inputs.map(tensorOf) as [string, string, string]
    switch (op.kind) {
      case 'matMul': {
        const flat = node.shape.length === 2
        const [left, right] = flat ? ['transpose_a', 'transpose_b'] : ['adj_x', 'adj_y']
        this.#add(name, flat ? 'MatMul' : 'BatchMatMulV2', [a, b], { T: { type: FLOAT }, [left as string]: { flag: op.transposeA }, [right as string]: { flag: op.transposeB } })
        break
      }
      case 'add': this.#float('AddV2', [a, b], name); break
      case 'sub': this.#float('Sub', [a, b], name); break
      case 'mul': this.#float('Mul', [a, b], name); break
      case 'scale': this.#float('Mul', [a, this.#number(op.factor)], name); break
      case 'reshape': this.#add(name, 'Reshape', [a, this.#shape(node.shape)], { T: { type: FLOAT }, Tshape: { type: INT32 } }); break
      case 'transpose': this.#add(name, 'Transpose', [a, this.#ints(op.order)], { T: { type: FLOAT }, Tperm: { type: INT32 } }); break
      case 'sum': this.#reduce('Sum', a, axesOf(op), false, name); break
      case 'pad': {
        const sides = this.#constant(INT32, [node.shape.length, 2], node.shape.flatMap((_, axis) => axis === op.axis ? [op.before, op.after] : [0, 0]))
        this.#add(name, 'Pad', [a, sides], { T: { type: FLOAT }, Tpaddings: { type: INT32 } })
        break
      }
      case 'slice': {
        const [begin, size] = [node.shape.map((_, axis) => axis === op.axis ? op.from : 0), node.shape.map((_, axis) => axis === op.axis ? op.size : -1)]
        this.#add(name, 'Slice', [a, this.#ints(begin), this.#ints(size)], { T: { type: FLOAT }, Index: { type: INT32 } })
        break
      }
      case 'softmax': this.#float('Softmax', [a], name); break
      case 'tanh': this.#float('Tanh', [a], name); break
      case 'inverseDeviation': {
        const centred = this.#float('Sub', [a, this.#mean(a)])
        const variance = this.#mean(this.#float('Square', [centred]))
        this.#float('Rsqrt', [this.#float('AddV2', [variance, this.#number(op.epsilon)])], name)
        break
      }
      case 'standardise': this.#float('Mul', [this.#float('Sub', [a, this.#mean(a)]), b], name); break
      // a = standardised, b = inverse deviation, c = gradient
      case 'standardiseGrad': {
        const spread = this.#float('Mul', [a, this.#mean(this.#float('Mul', [a, c]))])
        this.#float('Mul', [this.#float('Sub', [this.#float('Sub', [c, this.#mean(c)]), spread]), b], name)
        break
      }
      // a = softmax output, b = gradient
      case 'softmaxGrad': {
        const product = this.#float('Mul', [a, b])
        this.#float('Sub', [product, this.#float('Mul', [a, this.#reduce('Sum', product, [-1], true)])], name)
        break
      }
      // a = output, b = gradient
      case 'tanhGrad': this.#float('TanhGrad', [a, b], name); break
      case 'geluGate': this.#gate(op.form, a, name); break
      case 'gelu': this.#float('Mul', [a, b], name); break
      // a = input, b = gate, c = gradient
      case 'geluGrad': this.#float('Mul', [c, this.#float('AddV2', [b, this.#lean(op.form, a, b)])], name); break
      case 'oneHot': {
        const whole = this.#add(undefined, 'Cast', [a], { SrcT: { type: FLOAT }, DstT: { type: INT32 } })
        this.#add(name, 'OneHot', [whole, this.#int(op.size), this.#number(1), this.#number(0)], { T: { type: FLOAT }, TI: { type: INT32 } })
        break
      }
      // a = scores [B, heads, N, N], b = mask [B, N]
      case 'maskKeys': {
        const [rows, keys] = [node.shape[0] as Dim, node.shape[3] as Dim]
        const spread = this.#add(undefined, 'Reshape', [b, this.#shape([rows, 1, 1, keys])], { T: { type: FLOAT }, Tshape: { type: INT32 } })
        this.#float('AddV2', [a, spread], name)
        break
      }
      case 'input':
      case 'parameter':
      case 'seed': throw new Error(`${op.kind} is not computed`)
    }
  }

  #gate (form: GeluForm, x: string, name: string): void {
    if (form === 'erf') {
      const erf = this.#float('Erf', [this.#float('Mul', [x, this.#number(Math.SQRT1_2)])])
      this.#float('Mul', [this.#float('AddV2', [erf, this.#number(1)]), this.#number(0.5)], name)
    } else {
      this.#float('Sigmoid', [form === 'sigmoid' ? this.#float('Mul', [x, this.#number(GELU_SLOPE)]) : this.#bent(x, GELU_TANH.cube)], name)
    }
  }

  /** x times the gate's derivative; SigmoidGrad(s, z) = z s (1 - s) in one kernel. */
  #lean (form: GeluForm, x: string, gate: string): string {
    if (form === 'erf') {
      const bell = this.#float('Exp', [this.#float('Mul', [this.#float('Square', [x]), this.#number(-0.5)])])
      return this.#float('Mul', [this.#float('Mul', [x, this.#number(GELU_DENSITY)]), bell])
    }
    return this.#float('SigmoidGrad', [gate, form === 'sigmoid' ? this.#float('Mul', [x, this.#number(GELU_SLOPE)]) : this.#bent(x, 3 * GELU_TANH.cube)])
  }

  /** 2 slope x (1 + cube x^2). */
  #bent (x: string, cube: number): string {
    const bend = this.#float('AddV2', [this.#float('Mul', [this.#float('Square', [x]), this.#number(cube)]), this.#number(1)])
    return this.#float('Mul', [this.#float('Mul', [x, bend]), this.#number(2 * GELU_TANH.slope)])
  }

  #mean (a: string): string { return this.#reduce('Mean', a, [-1], true) }

  #reduce (op: 'Mean' | 'Sum', a: string, axes: readonly number[], keep: boolean, name?: string): string {
    return this.#add(name, op, [a, this.#ints(axes)], { T: { type: FLOAT }, Tidx: { type: INT32 }, keep_dims: { flag: keep } })
  }

  #float (op: string, inputs: readonly string[], name?: string): string { return this.#add(name, op, inputs, { T: { type: FLOAT } }) }

  #zeros (shape: Shape): string { return this.#add(undefined, 'Fill', [this.#shape(shape), this.#number(0)], { T: { type: FLOAT }, index_type: { type: INT32 } }) }

  #identity (name: string, input: string): string { return this.#float('Identity', [input], name) }

  #shape (shape: Shape): string {
    if (shape.every(dim => typeof dim === 'number')) return this.#ints(shape)
    const name = `shape_${shape.map(dim => String(dim).replaceAll('*', 'x').replaceAll('/', 'per')).join('_')}`
    if (!this.#shapes.has(name)) {
      this.#shapes.set(name, shape)
      this.#placeholders.set(name, { name, type: INT32, shape: [shape.length] })
    }
    return name
  }

  #ints (values: readonly number[]): string { return this.#constant(INT32, [values.length], values) }
  #int (value: number): string { return this.#constant(INT32, [], [value]) }
  #number (value: number): string { return this.#constant(FLOAT, [], [value]) }

  #constant (type: Constant['type'], shape: readonly number[], values: readonly number[]): string {
    const key = [type, shape.length, ...values].join()
    const known = this.#constants.get(key)
    if (known !== undefined) return known
    const name = this.#add(`constant${this.#constants.size}`, 'Const', [], { dtype: { type }, value: { tensor: { type, shape, values } } })
    this.#constants.set(key, name)
    return name
  }

  #add (name: string | undefined, op: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>>): string {
    const own = name ?? `t${this.#nodes.length}`
    this.#nodes.push({ name: own, op, inputs, attributes })
    return own
  }
}
