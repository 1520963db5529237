/** Checks of what callers hand to a model, the same for every executor. */
import { InvalidParametersError } from '../errors.ts'
import { bindShape, resolveShape } from '../graph/graph.ts'
import type { Node } from '../graph/graph.ts'
import type { Program } from '../graph/gradients.ts'
import type { TensorData } from '../tensor/tensor.ts'

export type Sizes = ReadonlyMap<string, number>

/** The sizes behind the symbols of the program's shapes: those of the inputs, and the number of groups that their rows make. */
export function bindInputs ({ graph, nodes, grouped }: Program, inputs: Readonly<Record<string, TensorData>>, groups: number): Sizes {
  if (!grouped && groups !== 1) throw new InvalidParametersError('this model keeps no gradients per group')
  const sizes = new Map<string, number>(grouped ? [['G', groups]] : [])
  for (const [name, id] of graph.inputs) {
    const given = inputs[name]
    if (given === undefined) throw new InvalidParametersError(`model input ${name} is missing`)
    bindShape(name, (nodes[id] as Node).shape, given.shape, sizes)
    if ((given.shape[0] as number) % groups !== 0) throw new InvalidParametersError(`model input ${name}: ${given.shape[0]} rows do not make ${groups} equal groups`)
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
