/** Checks of what callers hand to a model, the same for every executor. */
import { InvalidParametersError } from '../errors.ts'
import { bindShape, resolveShape } from '../graph/graph.ts'
import type { Node } from '../graph/graph.ts'
import type { Program } from '../graph/gradients.ts'
import type { TensorData } from '../tensor/tensor.ts'

export type Sizes = ReadonlyMap<string, number>

/** The sizes behind the symbols of the program's shapes. */
export function bindInputs ({ graph, nodes }: Program, inputs: Readonly<Record<string, TensorData>>): Sizes {
  const sizes = new Map<string, number>()
  for (const [name, id] of graph.inputs) {
    const given = inputs[name]
    if (given === undefined) throw new InvalidParametersError(`model input ${name} is missing`)
    bindShape(name, (nodes[id] as Node).shape, given.shape, sizes)
  }
  return sizes
}

/** The gradient for output `name`, shaped like the output was. */
export function seedFor (name: string, seeds: Readonly<Record<string, TensorData>>, node: Node, sizes: Sizes): TensorData {
  const given = seeds[name]
  const shape = resolveShape(node.shape, sizes)
  if (given === undefined || given.shape.join() !== shape.join()) {
    throw new InvalidParametersError(`backward: gradient of ${name} must be [${shape.join(', ')}], got [${given?.shape.join(', ') ?? 'none'}]`)
  }
  return given
}
