/** One rung of the compute ladder: a tfjs backend that loaded, is set, and is ready to multiply. */
import type { Device } from '../device.ts'
import type { Op } from '../../graph/graph.ts'
import type * as tfjs from '@tensorflow/tfjs-core'

export type RungName = 'webgpu' | 'tensorflow' | 'wasm' | 'cpu'

/** One operation of a graph in a single kernel of the rung's own; undefined where it has none for that kind. */
export type Fused = (op: Op, inputs: readonly tfjs.Tensor[]) => tfjs.Tensor | undefined

export interface Rung {
  readonly name: RungName
  /** Ready, with this rung's backend set. One copy of tfjs-core serves every rung, so a process has one rung at a time. */
  readonly tf: typeof tfjs
  readonly memoryBytes: number
  /** The adapter emulates a GPU on the CPU: slower than the rungs below it, so it serves only when asked for by name. */
  readonly software: boolean
  /** Where a graphics device computes, which may be lost under way. */
  readonly device?: Device
  /** Asked before an operation is composed of tfjs's kernels. */
  readonly fused?: Fused
}
