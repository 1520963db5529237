/**
 * Runs a model part operation by operation on whatever tfjs backend a rung brought up. The reference for every other
 * executor. Tensors are freed at their last use (computed once per program), never by the garbage collector.
 */
import { BackendError, InvalidParametersError } from '../errors.ts'
import { bindInputs, seedFor } from './arguments.ts'
import { GELU_SLOPE, axesOf, resolveShape } from '../graph/graph.ts'
import type { Backend, ForwardOptions, Gradients, Kept, Model, Passed } from './backend.ts'
import type { Sizes } from './arguments.ts'
import type { Node, Op } from '../graph/graph.ts'
import type { Program } from '../graph/gradients.ts'
import type { TensorData } from '../tensor/tensor.ts'
import type * as tfjs from '@tensorflow/tfjs-core'

type Tf = typeof tfjs

export interface EagerRung {
  readonly name: string
  readonly tf: Tf
  readonly memoryBytes: number
}

export function createEagerBackend (rung: EagerRung): Backend {
  return {
    name: rung.name,
    memoryBytes: rung.memoryBytes,
    load: program => new EagerModel(rung.tf, program),
    liveTensors: () => rung.tf.memory().numTensors,
    dispose: () => {}
  }
}

/** Forward values that backward reads, or the inputs to compute them from, plus the parameter tensors of that pass (shared, counted). */
class Held implements Kept {
  readonly values: Map<number, tfjs.Tensor>
  readonly sizes: Sizes
  readonly parameters: ParameterSet
  readonly inputs: Readonly<Record<string, TensorData>> | undefined
  open = true

  constructor (values: Map<number, tfjs.Tensor>, sizes: Sizes, parameters: ParameterSet, inputs: Readonly<Record<string, TensorData>> | undefined) {
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

class EagerModel implements Model {
  readonly parameterCount: number
  readonly #tf: Tf
  readonly #program: Program
  readonly #parameterIds: ReadonlyMap<string, number>
  /** Node -> the last node that reads it, within forward and within backward. */
  readonly #lastForwardUse: Int32Array
  readonly #lastBackwardUse: Int32Array
  readonly #saved: ReadonlySet<number>
  readonly #outputs: ReadonlySet<number>
  readonly #gradients: ReadonlySet<number>
  #parameters: ParameterSet | undefined

  constructor (tf: Tf, program: Program) {
    this.#tf = tf
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
    const tensors = new Map<number, tfjs.Tensor>()
    for (const { name, shape, offset, size } of graph.parameters) {
      tensors.set(this.#parameterIds.get(name) as number, this.#upload({ data: flat.slice(offset, offset + size), shape }))
    }
    this.#parameters?.drop()
    this.#parameters = new ParameterSet(tensors)
  }

  async forward (inputs: Readonly<Record<string, TensorData>>, options: ForwardOptions = {}): Promise<Passed> {
    const { groups = 1, keep = 'values' } = options
    const sizes = bindInputs(this.#program, inputs, groups)
    const values = this.#runForward(inputs, sizes, this.#current(), keep === 'values' ? this.#saved : new Set())
    const kept = new Held(values, sizes, this.#current(), keep === 'values' ? undefined : inputs)
    try {
      return { outputs: await this.#read(values), kept }
    } finally {
      for (const id of this.#outputs) {
        if (keep === 'values' && this.#saved.has(id)) continue
        values.get(id)?.dispose()
        values.delete(id)
      }
    }
  }

  async infer (inputs: Readonly<Record<string, TensorData>>): Promise<Readonly<Record<string, TensorData>>> {
    const values = this.#runForward(inputs, bindInputs(this.#program, inputs, 1), this.#current(), new Set())
    try {
      return await this.#read(values)
    } finally {
      for (const value of values.values()) value.dispose()
    }
  }

  async backward (kept: Kept, seeds: Readonly<Record<string, TensorData>>): Promise<Gradients> {
    try {
      return await this.backwardKeep(kept, seeds)
    } finally {
      kept.release()
    }
  }

  async backwardKeep (kept: Kept, seeds: Readonly<Record<string, TensorData>>): Promise<Gradients> {
    if (!(kept instanceof Held) || !kept.open) throw new InvalidParametersError('backward: this forward pass has already been used up')
    const { nodes, forwardCount, inputGradients, parameterGradients, graph } = this.#program
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
      const { groups } = kept
      const gradients = new Float32Array(groups * graph.parameterCount)
      const inputs: Record<string, TensorData> = {}
      for (const { name, offset, size } of graph.parameters) {
        const id = parameterGradients.get(name)
        if (id === undefined) continue
        const data = await (values.get(id) as tfjs.Tensor).data() as Float32Array
        for (let g = 0; g < groups; g++) gradients.set(data.subarray(g * size, (g + 1) * size), g * graph.parameterCount + offset)
      }
      for (const [name, id] of inputGradients) inputs[name] = await download(values.get(id) as tfjs.Tensor)
      return { inputs, parameters: gradients }
    } finally {
      for (const value of owned.values()) value.dispose()
    }
  }

  dispose (): void {
    this.#parameters?.drop()
    this.#parameters = undefined
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

  /** Frees what `node` was the last to read. */
  #free (node: Node, owned: Map<number, tfjs.Tensor>, at: number, lastUses: Int32Array, wanted: ReadonlySet<number>): void {
    for (const input of [...node.inputs, at]) {
      if ((lastUses[input] as number) > at || wanted.has(input)) continue
      owned.get(input)?.dispose()
      owned.delete(input)
    }
  }

  async #read (values: ReadonlyMap<number, tfjs.Tensor>): Promise<Record<string, TensorData>> {
    const outputs: Record<string, TensorData> = {}
    for (const [name, id] of this.#program.graph.outputs) outputs[name] = await download(values.get(id) as tfjs.Tensor)
    return outputs
  }

  #upload ({ data, shape }: TensorData): tfjs.Tensor {
    return this.#tf.tensor(data, [...shape], 'float32')
  }

  #apply (node: Node, values: ReadonlyMap<number, tfjs.Tensor>, sizes: Sizes): tfjs.Tensor {
    const [a, b, c] = node.inputs.map(id => values.get(id)) as [tfjs.Tensor, tfjs.Tensor, tfjs.Tensor]
    return apply(this.#tf, node.op, a, b, c, () => resolveShape(node.shape, sizes))
  }
}

function apply (tf: Tf, op: Op, a: tfjs.Tensor, b: tfjs.Tensor, c: tfjs.Tensor, shape: () => number[]): tfjs.Tensor {
  switch (op.kind) {
    case 'matMul': return tf.matMul(a, b, op.transposeA, op.transposeB)
    case 'add': return tf.add(a, b)
    case 'sub': return tf.sub(a, b)
    case 'mul': return tf.mul(a, b)
    case 'scale': return tf.mul(a, op.factor)
    case 'reshape': return tf.reshape(a, shape())
    case 'transpose': return tf.transpose(a, [...op.order])
    case 'sum': return tf.sum(a, axesOf(op))
    case 'softmax': return tf.softmax(a)
    case 'tanh': return tf.tanh(a)
    case 'inverseDeviation': return tf.tidy(() => {
      const centred = tf.sub(a, tf.mean(a, -1, true))
      return tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), op.epsilon))
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
    case 'tanhGrad': return tf.tidy(() => tf.mul(b, tf.sub(1, tf.square(a))))
    case 'geluGate': return tf.tidy(() => tf.sigmoid(tf.mul(a, GELU_SLOPE)))
    case 'gelu': return tf.mul(a, b)
    // a = input, b = gate s, c = gradient: d/dx = s + 1.702 x s (1 - s)
    case 'geluGrad': return tf.tidy(() => tf.mul(c, tf.add(b, tf.mul(tf.mul(tf.mul(a, GELU_SLOPE), b), tf.sub(1, b)))))
    case 'input':
    case 'parameter':
    case 'seed': throw new Error(`${op.kind} is not computed`)
  }
}

async function download (value: tfjs.Tensor): Promise<TensorData> {
  const data = await value.data() as Float32Array
  // Some backends hand out a view of their own memory.
  return { shape: [...value.shape], data: data.slice() }
}

function lastUse (nodes: readonly Node[], from: number, to: number): Int32Array {
  const last = new Int32Array(nodes.length).fill(-1)
  for (let id = from; id < to; id++) for (const input of (nodes[id] as Node).inputs) last[input] = id
  return last
}
