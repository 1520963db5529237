/** Tensors as nested lists, and comparisons that say which tensor and which number differ. */
import type { ExecutionContext } from 'ava'
import type { NamedTensor, TensorData } from '../../src/tensor/tensor.ts'

export type Nested = number | readonly Nested[]

/** Nested lists of one length per axis. */
export function fromNested (nested: Nested): TensorData {
  const shape: number[] = []
  for (let axis = nested; typeof axis !== 'number'; axis = axis[0] as Nested) shape.push(axis.length)
  const numbers = (part: Nested): number[] => typeof part === 'number' ? [part] : part.flatMap(numbers)
  return { shape, data: Float32Array.from(numbers(nested)) }
}

/** Every number within `tolerance` of the largest number of the tensor. */
export function close (t: ExecutionContext, what: string, got: ArrayLike<number>, want: ArrayLike<number>, tolerance: number): void {
  t.is(got.length, want.length, `${what}: length`)
  let scale = 0
  for (let i = 0; i < want.length; i++) scale = Math.max(scale, Math.abs(want[i] as number))
  let worst = 0
  for (let i = 0; i < want.length; i++) {
    const off = Math.abs((got[i] as number) - (want[i] as number))
    if (!(off <= worst)) worst = off // NaN counts as worst
  }
  t.true(worst <= tolerance * scale, `${what}: off by ${worst}, largest number ${scale}`)
}

export function byName (tensors: readonly NamedTensor[]): Readonly<Record<string, Float32Array>> {
  return Object.fromEntries(tensors.map(({ name, tensor }) => [name, tensor.data]))
}
