/** Inverted dropout at a client's two ends of the cut. */
import { Random, deriveSeed } from '../random.ts'
import type { TensorData } from '../tensor/tensor.ts'

/** 0 or 1 / (1 - share) for each of `size` numbers; undefined when off. */
export function dropoutMask (share: number, size: number, { seed, end, step }: { seed: number, end: string, step: number }): Float32Array | undefined {
  if (share <= 0) return undefined
  const random = new Random(deriveSeed(seed, end, step))
  return Float32Array.from({ length: size }, () => random.next() < share ? 0 : 1 / (1 - share))
}

export function masked (tensor: TensorData, mask: Float32Array | undefined): TensorData {
  if (mask === undefined) return tensor
  return { shape: tensor.shape, data: tensor.data.map((value, i) => value * (mask[i] as number)) }
}
