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
