import { ShapeMismatchError } from '../errors.ts'

/** A dense float32 tensor outside any backend: row-major, owned by whoever holds it. */
export interface TensorData {
  readonly shape: readonly number[]
  readonly data: Float32Array
}

/** A tensor with the name it travels under. */
export interface NamedTensor {
  readonly name: string
  readonly tensor: TensorData
}

export function elements (shape: readonly number[]): number {
  let n = 1
  for (const dim of shape) n *= dim
  return n
}

/** @throws {ShapeMismatchError} the data does not fill the shape */
export function tensor (shape: readonly number[], data: Float32Array): TensorData {
  if (elements(shape) !== data.length) throw new ShapeMismatchError(shape, [data.length], 'tensor data')
  return { shape, data }
}

/** Data of named tensors, by name: views, not copies. */
export function dataByName (tensors: readonly NamedTensor[]): Map<string, Float32Array> { return new Map(tensors.map(({ name, tensor }) => [name, tensor.data])) }

/** Number by number, of tensors of one shape. Of a single one itself, not a copy. */
export function meanTensor (tensors: readonly TensorData[]): TensorData {
  const [first, ...rest] = tensors as [TensorData, ...TensorData[]]
  if (rest.length === 0) return first
  return { shape: first.shape, data: first.data.map((value, i) => rest.reduce((sum, { data }) => sum + (data[i] as number), value) / tensors.length) }
}

/** Whether every number is one: neither NaN nor infinite, which times 0 are NaN. No call per number: activations come every step. */
export function allFinite (data: Float32Array): boolean {
  let zero = 0
  for (let i = 0; i < data.length; i++) zero += 0 * (data[i] as number)
  return zero === 0
}

export function sameShape (a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i])
}

/**
 * Gives an array's memory back at once; nobody may read it afterwards, nor any other view of its buffer. A step makes and
 * drops megabytes: left to the garbage collector, they make it run several times a second, on the cores that compute.
 */
export function giveBack ({ buffer }: Float32Array): void {
  if (buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0)
}
