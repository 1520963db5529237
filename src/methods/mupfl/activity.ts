/**
 * Which hidden units of a trunk matter at a site (BAVD): a map remembers how active each one was, and only the most active are
 * trained. A unit is dropped by its way out of the layer: with those weights at 0 it adds nothing and gets no gradient.
 *
 *     m <- beta m + (1 - beta) mean |a|
 */
import type { Graph, Parameter } from '../../graph/graph.ts'

/** Mean |a| per unit. @param hidden - [rows, units] */
export function activityOf (hidden: Float32Array, units: number): Float64Array {
  const sum = new Float64Array(units)
  for (let i = 0; i < hidden.length; i++) sum[i % units] = (sum[i % units] as number) + Math.abs(hidden[i] as number)
  const rows = hidden.length / units
  return sum.map(value => value / rows)
}

export function remembered<T extends Float32Array | Float64Array> (map: T, activity: ArrayLike<number>, beta: number): T {
  return map.map((value, i) => beta * value + (1 - beta) * (activity[i] as number)) as T
}

/** Units that a layer does without: all but `keep` of them, rounded up, the most active ones; of equals the lower stays. */
export function droppedUnits (map: ArrayLike<number>, keep: number): number[] {
  const byActivity = Array.from({ length: map.length }, (_, i) => i).sort((a, b) => (map[b] as number) - (map[a] as number) || a - b)
  return byActivity.slice(Math.ceil(keep * map.length)).sort((a, b) => a - b)
}

/** Per layer of a trunk: the weights by which its hidden units go on, [units, width]. */
export function waysOut ({ parameters }: Graph): Parameter[] { return parameters.filter(({ name }) => name.endsWith('.down.weight')) }

/** Zeros where dropped units would go on. */
export function silence (flat: Float32Array, { offset, shape: [, width] }: Parameter, dropped: readonly number[]): void {
  for (const unit of dropped) flat.fill(0, offset + unit * (width as number), offset + (unit + 1) * (width as number))
}
