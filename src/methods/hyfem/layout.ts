/**
 * How HyFEM's tensors stand in each other. The host holds a layer of `capacity` hidden units over all blocks; a site holds one of
 * model.hidden units over its own blocks, and sends it in parts:
 *
 *     fusion/<block>   [hidden, width]          fusion/bias   [hidden]          head/<task>   [hidden, outputs], then [outputs]
 */
import { elements } from '../../tensor/tensor.ts'
import type { Charter } from '../../federation/charter.ts'
import type { TaskSpec } from '../../tasks/task.ts'

export const BIAS = 'fusion/bias'

export function fusionName (block: number): string { return `fusion/${block}` }

export function headName ({ id }: TaskSpec): string { return `head/${id}` }

export function outputsOf ({ positions, channels }: TaskSpec): number { return elements(positions) * channels }

/** A part of a matrix's rows, [rows, width] flat. */
export function rowsAt (values: Float32Array, rows: readonly number[], width: number): Float32Array {
  const picked = new Float32Array(rows.length * width)
  rows.forEach((row, i) => { picked.set(values.subarray(row * width, (row + 1) * width), i * width) })
  return picked
}

/** A site's 'fusion' unit, blocks one after the other and the biases last, as what it sends, and back. */
export function splitFusion (values: Float32Array, held: readonly number[], { model: { backbone: { width, hidden } } }: Pick<Charter, 'model'>): ReadonlyMap<string, Float32Array> {
  return new Map([
    ...held.map((v, i) => [fusionName(v), values.subarray(i * hidden * width, (i + 1) * hidden * width)] as const),
    [BIAS, values.subarray(held.length * hidden * width)] as const
  ])
}
