/**
 * What sites that train whole models change in a plain gradient step. Pure arithmetic on one unit's flat weights.
 *
 *     FedProx, Ditto   gradient + weight (values - anchor)       anchor: the values that all agreed on, fixed for a round
 *     pFedMe           the same for theta, anchored on w;  then  w <- w - share (w - theta)
 */
type Numbers = Float32Array | Float64Array

/** The gradient of loss + weight / 2 |values - anchor|^2. Without weight the gradient itself, bit for bit. */
export function pulled<T extends Numbers> (gradient: T, values: T, anchor: T, weight: number): T {
  if (weight === 0) return gradient
  const sum = gradient.slice() as T
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + weight * ((values[i] as number) - (anchor[i] as number))
  return sum
}

export function difference (values: Float32Array, from: Float32Array): Float32Array {
  return values.map((value, i) => value - (from[i] as number))
}

/** `values` moved by `share` of the way to `leader`. */
export function followed<T extends Numbers> (values: T, leader: T, share: number): T {
  const moved = values.slice() as T
  for (let i = 0; i < moved.length; i++) moved[i] = (moved[i] as number) - share * ((moved[i] as number) - (leader[i] as number))
  return moved
}
