/**
 * Runs a model part operation by operation on whatever tfjs backend a rung brought up. Tensors are freed at their last use
 * (computed once per program), never by the garbage collector.
 *
 * A graphics device answers a read only after all that was asked of it before, so there each call uploads and reads once:
 * parameters go up as one flat vector and are cut apart there, their gradients are joined there and come back as one. On
 * rungs that compute in memory of their own process the extra copies would only cost time.
 */
import { BackendError, InvalidParametersError } from '../errors.ts'
import { bindInputs, seedFor } from './arguments.ts'
import { GELU_DENSITY, GELU_SLOPE, GELU_TANH, axesOf, resolveShape } from '../graph/graph.ts'
import type { Backend, ForwardOptions, Gradients, Kept, Model, Passed } from './backend.ts'
import type { Device } from './device.ts'
import type { Fused } from './rungs/rung.ts'
import type { Sizes } from './arguments.ts'
import type { GeluForm, Node, Op } from '../graph/graph.ts'
import type { Program } from '../graph/gradients.ts'
import type { TensorData } from '../tensor/tensor.ts'
import type * as tfjs from '@tensorflow/tfjs-core'

type Tf = typeof tfjs

export interface EagerRung {
  readonly name: string
  readonly tf: Tf
  readonly memoryBytes: number
  readonly device?: Device
  readonly fused?: Fused
}

export function createEagerBackend (rung: EagerRung): Backend {
  return {
    name: rung.name,
    memoryBytes: rung.memoryBytes,
    load: program => new EagerModel(rung, program),
    liveTensors: () => rung.tf.memory().numTensors,
    dispose: () => {}
  }
}

/** Forward values that backward reads, or the inputs to compute them from, plus the parameter tensors of that pass (shared, counted). */
class Held implements Kept {
  readonly owner: EagerModel
  readonly values: Map<number, tfjs.Tensor>
  readonly sizes: Sizes
  readonly parameters: ParameterSet
  readonly inputs: Readonly<Record<string, TensorData>> | undefined
  open = true

  constructor (owner: EagerModel, values: Map<number, tfjs.Tensor>, sizes: Sizes, parameters: ParameterSet, inputs: Readonly<Record<string, TensorData>> | undefined) {
    this.owner = owner
    this.values = values
    this.sizes = sizes
    this.parameters = parameters
    this.inputs = inputs
    parameters.users++
  }

  get groups (): number { return this.sizes.get('G') ?? 1 }

  release (): void {
    if (!this.open) return
    this.open = false
    for (const value of this.values.values()) value.dispose()
    this.parameters.drop()
  }
}

class ParameterSet {
  readonly tensors: ReadonlyMap<number, tfjs.Tensor>
  users = 1
  constructor (tensors: ReadonlyMap<number, tfjs.Tensor>) { this.tensors = tensors }
  drop (): void {
    if (--this.users === 0) for (const tensor of this.tensors.values()) tensor.dispose()
  }
}

/** Numbers that operations multiply or add, each uploaded once: an upload in between would cut a batch of GPU commands in two. */
class Scalars {
  readonly #tf: Tf
  readonly #tensors = new Map<number, tfjs.Tensor>()
  constructor (tf: Tf) { this.#tf = tf }

  get (value: number): tfjs.Tensor {
    const known = this.#tensors.get(value)
    if (known !== undefined) return known
    const tensor = this.#tf.keep(this.#tf.scalar(value, 'float32')) // whatever tidy is at work
    this.#tensors.set(value, tensor)
    return tensor
  }

  dispose (): void {
    for (const tensor of this.#tensors.values()) tensor.dispose()
    this.#tensors.clear()
  }
}

class EagerModel implements Model {
  readonly parameterCount: number
  readonly #tf: Tf
  readonly #device: Device | undefined
  readonly #fused: Fused | undefined
  readonly #scalars: Scalars
  readonly #program: Program
  readonly #parameterIds: ReadonlyMap<string, number>
  /** Node -> the last node that reads it, within forward and within backward. */
  readonly #lastForwardUse: Int32Array
  readonly #lastBackwardUse: Int32Array
  readonly #saved: ReadonlySet<number>
  readonly #outputs: ReadonlySet<number>
  readonly #gradients: ReadonlySet<number>
  #parameters: ParameterSet | undefined

  constructor ({ tf, device, fused }: EagerRung, program: Program) {
    this.#tf = tf
    this.#device = device
    this.#fused = fused
    this.#scalars = new Scalars(tf)
    this.#program = program
    this.parameterCount = program.graph.parameterCount
    this.#parameterIds = new Map(program.graph.nodes.flatMap(node => node.op.kind === 'parameter' ? [[node.op.name, node.id]] : []))
    this.#lastForwardUse = lastUse(program.nodes, 0, program.forwardCount)
    this.#lastBackwardUse = lastUse(program.nodes, program.forwardCount, program.nodes.length)
    const parameters = new Set(this.#parameterIds.values())
    this.#saved = new Set(program.saved.filter(id => !parameters.has(id)))
    this.#outputs = new Set(program.graph.outputs.values())
    this.#gradients = new Set([...program.inputGradients.values(), ...program.parameterGradients.values()])
  }

  setParameters (flat: Float32Array): void {
    const { graph } = this.#program
    if (flat.length !== graph.parameterCount) throw new InvalidParametersError(`model has ${graph.parameterCount} parameters, got ${flat.length}`)
    const tensors = this.#device === undefined ? this.#uploadEach(flat) : this.#uploadWhole(flat)
    this.#parameters?.drop()
    this.#parameters = new ParameterSet(tensors)
  }

  async forward (inputs: Readonly<Record<string, TensorData>>, options: ForwardOptions = {}): Promise<Passed> {
    const { groups = 1, keep = 'values' } = options
    return await this.#guard(async () => {
      const saved = keep === 'values' ? this.#saved : new Set<number>()
      const parameters = this.#current()
      const sizes = bindInputs(this.#program, inputs, groups)
      const values = this.#runForward(inputs, sizes, parameters, saved)
      const kept = new Held(this, values, sizes, parameters, keep === 'values' ? undefined : inputs)
      try {
        const outputs = await download(values, this.#program.graph.outputs)
        for (const id of this.#outputs) {
          if (saved.has(id)) continue
          values.get(id)?.dispose()
          values.delete(id)
        }
        return { outputs, kept }
      } catch (cause) {
        kept.release()
        throw cause
      }
    })
  }

  async infer (inputs: Readonly<Record<string, TensorData>>): Promise<Readonly<Record<string, TensorData>>> {
    return await this.#guard(async () => {
      const values = this.#runForward(inputs, bindInputs(this.#program, inputs, 1), this.#current(), new Set())
      try {
        return await download(values, this.#program.graph.outputs)
      } finally {
        for (const value of values.values()) value.dispose()
      }
    })
  }

  async backward (kept: Kept, seeds: Readonly<Record<string, TensorData>>): Promise<Gradients> {
    try {
      return await this.backwardKeep(kept, seeds)
    } finally {
      kept.release()
    }
  }

  async backwardKeep (kept: Kept, seeds: Readonly<Record<string, TensorData>>): Promise<Gradients> {
    if (!(kept instanceof Held) || kept.owner !== this || !kept.open) throw new InvalidParametersError('backward: this forward pass has already been used up')
    return await this.#guard(async () => await this.#runBackward(kept, seeds))
  }

  dispose (): void {
    this.#parameters?.drop()
    this.#parameters = undefined
    this.#scalars.dispose()
  }

  /** @throws {BackendError} the graphics device was lost under way: what was read is no result */
  async #guard<T> (pass: () => Promise<T>): Promise<T> {
    if (this.#device === undefined) return await pass()
    try {
      const result = await pass()
      this.#device.check()
      return result
    } catch (cause) {
      throw await this.#device.explain(cause)
    }
  }

  #current (): ParameterSet {
    if (this.#parameters === undefined) throw new BackendError('forward before setParameters')
    return this.#parameters
  }

  /** @returns the outputs and what is to be kept; the caller's to free */
  #runForward (inputs: Readonly<Record<string, TensorData>>, sizes: Sizes, parameters: ParameterSet, keep: ReadonlySet<number>): Map<number, tfjs.Tensor> {
    const { nodes, forwardCount } = this.#program
    const values = new Map<number, tfjs.Tensor>(parameters.tensors)
    const owned = new Map<number, tfjs.Tensor>()
    const wanted = new Set([...keep, ...this.#outputs])
    try {
      for (let id = 0; id < forwardCount; id++) {
        const node = nodes[id] as Node
        if (node.op.kind === 'parameter') continue
        const value = node.op.kind === 'input'
          ? this.#upload(inputs[node.op.name] as TensorData)
          : this.#apply(node, values, sizes)
        values.set(id, value)
        owned.set(id, value)
        this.#free(node, owned, id, this.#lastForwardUse, wanted)
      }
    } catch (cause) {
      for (const value of owned.values()) value.dispose()
      throw cause
    }
    return owned
  }

  #uploadEach (flat: Float32Array): Map<number, tfjs.Tensor> {
    return new Map(this.#program.graph.parameters.map(({ name, shape, offset, size }) =>
      [this.#parameterIds.get(name) as number, this.#upload({ data: flat.slice(offset, offset + size), shape })]))
  }

  #uploadWhole (flat: Float32Array): Map<number, tfjs.Tensor> {
    const tf = this.#tf
    const tensors = new Map<number, tfjs.Tensor>()
    tf.tidy(() => {
      const whole = tf.tensor1d(flat, 'float32') // the first cut uploads it, and no tensor that outlives this keeps the array
      for (const { name, shape, offset, size } of this.#program.graph.parameters) {
        tensors.set(this.#parameterIds.get(name) as number, tf.keep(tf.reshape(tf.slice1d(whole, offset, size), [...shape])))
      }
    })
    return tensors
  }

  async #runBackward (kept: Held, seeds: Readonly<Record<string, TensorData>>): Promise<Gradients> {
    const { nodes, forwardCount, inputGradients } = this.#program
    const owned = kept.inputs === undefined ? new Map<number, tfjs.Tensor>() : this.#runForward(kept.inputs, kept.sizes, kept.parameters, this.#saved)
    const values = new Map<number, tfjs.Tensor>([...kept.values, ...kept.parameters.tensors, ...owned])
    try {
      for (let id = forwardCount; id < nodes.length; id++) {
        const node = nodes[id] as Node
        const value = node.op.kind === 'seed'
          ? this.#upload(seedFor(node.op.name, seeds, node, kept.sizes))
          : this.#apply(node, values, kept.sizes)
        values.set(id, value)
        owned.set(id, value)
        this.#free(node, owned, id, this.#lastBackwardUse, this.#gradients)
      }
      const [parameters, inputs] = await Promise.all([
        this.#device === undefined ? this.#readEach(values, kept.groups) : this.#readJoined(values, kept.groups),
        download(values, inputGradients)
      ])
      return { inputs, parameters }
    } finally {
      for (const value of owned.values()) value.dispose()
    }
  }

  /** [groups, parameters] flat; zeros for parameters that no output depends on. */
  async #readEach (values: ReadonlyMap<number, tfjs.Tensor>, groups: number): Promise<Float32Array> {
    const { graph, parameterGradients } = this.#program
    const gradients = new Float32Array(groups * graph.parameterCount)
    for (const { name, offset, size } of graph.parameters) {
      const id = parameterGradients.get(name)
      if (id === undefined) continue
      const data = await (values.get(id) as tfjs.Tensor).data() as Float32Array
      for (let group = 0; group < groups; group++) gradients.set(data.subarray(group * size, (group + 1) * size), group * graph.parameterCount + offset)
    }
    return gradients
  }

  /** As `#readEach`, in one read. */
  async #readJoined (values: ReadonlyMap<number, tfjs.Tensor>, groups: number): Promise<Float32Array> {
    const tf = this.#tf
    const { graph, parameterGradients } = this.#program
    if (graph.parameterCount === 0) return new Float32Array(0)
    const joined = tf.tidy(() => tf.concat2d(graph.parameters.map(({ name, size }) => {
      const id = parameterGradients.get(name)
      return id === undefined ? tf.zeros<tfjs.Rank.R2>([groups, size]) : tf.reshape<tfjs.Rank.R2>(values.get(id) as tfjs.Tensor, [groups, size])
    }), 1))
    try {
      const gradients = await joined.data() as Float32Array
      return graph.parameters.length === 1 ? gradients.slice() : gradients // of a single part it may be the caller's own seed
    } finally {
      joined.dispose()
    }
  }

  /** Frees what `node` was the last to read. */
  #free (node: Node, owned: Map<number, tfjs.Tensor>, at: number, lastUses: Int32Array, wanted: ReadonlySet<number>): void {
    for (const input of [...node.inputs, at]) {
      if ((lastUses[input] as number) > at || wanted.has(input)) continue
      owned.get(input)?.dispose()
      owned.delete(input)
    }
  }

  #upload ({ data, shape }: TensorData): tfjs.Tensor {
    return this.#tf.tensor(data, [...shape], 'float32')
  }

  #apply (node: Node, values: ReadonlyMap<number, tfjs.Tensor>, sizes: Sizes): tfjs.Tensor {
    this.#device?.check()
    const inputs = node.inputs.map(id => values.get(id)) as [tfjs.Tensor, tfjs.Tensor, tfjs.Tensor]
    const [a, b, c] = inputs
    return this.#fused?.(node.op, inputs) ?? apply(this.#tf, this.#scalars, node.op, a, b, c, () => resolveShape(node.shape, sizes))
  }
}

function apply (tf: Tf, scalars: Scalars, op: Op, a: tfjs.Tensor, b: tfjs.Tensor, c: tfjs.Tensor, shape: () => number[]): tfjs.Tensor {
  switch (op.kind) {
    case 'matMul': return tf.matMul(a, b, op.transposeA, op.transposeB)
    case 'add': return tf.add(a, b)
    case 'sub': return tf.sub(a, b)
    case 'mul': return tf.mul(a, b)
    case 'scale': return tf.mul(a, scalars.get(op.factor))
    case 'reshape': return tf.reshape(a, shape())
    case 'transpose': return tf.transpose(a, [...op.order])
    case 'sum': return tf.sum(a, axesOf(op))
    case 'pad': return tf.pad(a, a.shape.map((_, axis) => axis === op.axis ? [op.before, op.after] : [0, 0]))
    case 'slice': return tf.slice(a, a.shape.map((_, axis) => axis === op.axis ? op.from : 0), shape())
    case 'softmax': return tf.softmax(a)
    case 'tanh': return tf.tanh(a)
    case 'inverseDeviation': return tf.tidy(() => {
      const centred = tf.sub(a, tf.mean(a, -1, true))
      return tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), scalars.get(op.epsilon)))
    })
    case 'standardise': return tf.tidy(() => tf.mul(tf.sub(a, tf.mean(a, -1, true)), b))
    // a = standardised, b = inverse deviation, c = gradient
    case 'standardiseGrad': return tf.tidy(() => {
      const spread = tf.mul(a, tf.mean(tf.mul(a, c), -1, true))
      return tf.mul(tf.sub(tf.sub(c, tf.mean(c, -1, true)), spread), b)
    })
    // a = softmax output, b = gradient
    case 'softmaxGrad': return tf.tidy(() => {
      const product = tf.mul(a, b)
      return tf.sub(product, tf.mul(a, tf.sum(product, -1, true)))
    })
    case 'tanhGrad': return tf.tidy(() => tf.mul(b, tf.sub(scalars.get(1), tf.square(a))))
    case 'geluGate': return tf.tidy(() => geluGate(tf, scalars, op.form, a))
    case 'gelu': return tf.mul(a, b)
    // a = input, b = gate, c = gradient
    case 'geluGrad': return tf.tidy(() => tf.mul(c, tf.add(b, geluLean(tf, scalars, op.form, a, b))))
    case 'oneHot': return tf.tidy(() => tf.cast(tf.oneHot(tf.cast(a, 'int32'), op.size), 'float32')) // asked for floats, wasm writes the bits of integers
    case 'maskKeys': return tf.tidy(() => tf.add(a, tf.reshape(b, [b.shape[0] as number, 1, 1, b.shape[1] as number])))
    case 'input':
    case 'parameter':
    case 'seed': throw new Error(`${op.kind} is not computed`)
  }
}

function geluGate (tf: Tf, scalars: Scalars, form: GeluForm, x: tfjs.Tensor): tfjs.Tensor {
  if (form === 'sigmoid') return tf.sigmoid(tf.mul(x, scalars.get(GELU_SLOPE)))
  if (form === 'erf') return tf.mul(tf.add(tf.erf(tf.mul(x, scalars.get(Math.SQRT1_2))), scalars.get(1)), scalars.get(0.5))
  const bent = tf.add(tf.mul(tf.square(x), scalars.get(GELU_TANH.cube)), scalars.get(1))
  return tf.sigmoid(tf.mul(tf.mul(x, bent), scalars.get(2 * GELU_TANH.slope)))
}

/** x times the gate's derivative: that of a sigmoid s(u) is u' s (1 - s), that of erf the normal density. */
function geluLean (tf: Tf, scalars: Scalars, form: GeluForm, x: tfjs.Tensor, gate: tfjs.Tensor): tfjs.Tensor {
  if (form === 'erf') return tf.mul(tf.mul(x, scalars.get(GELU_DENSITY)), tf.exp(tf.mul(tf.square(x), scalars.get(-0.5))))
  const steep = form === 'sigmoid'
    ? tf.mul(x, scalars.get(GELU_SLOPE))
    : tf.mul(tf.mul(x, tf.add(tf.mul(tf.square(x), scalars.get(3 * GELU_TANH.cube)), scalars.get(1))), scalars.get(2 * GELU_TANH.slope))
  return tf.mul(tf.mul(steep, gate), tf.sub(scalars.get(1), gate))
}

/** Reads named tensors, all at once: a graphics device then keeps us waiting once. */
async function download (values: ReadonlyMap<number, tfjs.Tensor>, names: ReadonlyMap<string, number>): Promise<Record<string, TensorData>> {
  return Object.fromEntries(await Promise.all([...names].map(async ([name, id]) => {
    const value = values.get(id) as tfjs.Tensor
    const data = await value.data() as Float32Array
    // Some backends hand out a view of their own memory.
    return [name, { shape: [...value.shape], data: data.slice() }]
  })))
}

function lastUse (nodes: readonly Node[], from: number, to: number): Int32Array {
  const last = new Int32Array(nodes.length).fill(-1)
  for (let id = from; id < to; id++) for (const input of (nodes[id] as Node).inputs) last[input] = id
  return last
}
