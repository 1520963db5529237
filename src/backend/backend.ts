/**
 * The compute port. A backend takes a differentiated model part and offers forward and backward on it; whether it runs the
 * operations one by one or compiles them is its own affair. Forward and backward may lie seconds apart (a host waits for a
 * client's gradient in between), so what backward needs is kept under a handle with one owner.
 */
import type { Program } from '../graph/gradients.ts'
import type { TensorData } from '../tensor/tensor.ts'

/** What a forward pass left behind for its backward pass. Exactly one of `backward` and `release` must end it. */
export interface Kept {
  /** Equal parts that its rows make. */
  readonly groups: number
  release (): void
}

export interface Passed {
  readonly outputs: Readonly<Record<string, TensorData>>
  readonly kept: Kept
}

export interface Gradients {
  /** By input name; only the inputs the program was differentiated for. */
  readonly inputs: Readonly<Record<string, TensorData>>
  /** dL/dparameters, [groups, parameters] flat, in the graph's parameter order. */
  readonly parameters: Float32Array
}

export interface ForwardOptions {
  /** Equal parts of the rows whose parameter gradients stay apart (a grouped program only). Default 1. */
  readonly groups?: number
  /** values: all that backward reads (default); inputs: these alone, and backward computes the rest once more. */
  readonly keep?: 'values' | 'inputs'
}

export interface Model {
  readonly parameterCount: number
  /** Copies `flat` in; the next forward uses it. A pass under way keeps the values it began with. */
  setParameters (flat: Float32Array): void
  /** Forward for a backward to come. */
  forward (inputs: Readonly<Record<string, TensorData>>, options?: ForwardOptions): Promise<Passed>
  /** Forward only: nothing is kept. */
  infer (inputs: Readonly<Record<string, TensorData>>): Promise<Readonly<Record<string, TensorData>>>
  /** Ends `kept`. A second call with the same handle throws. */
  backward (kept: Kept, seeds: Readonly<Record<string, TensorData>>): Promise<Gradients>
  /** As `backward`, but `kept` stays usable: several gradients at one point. */
  backwardKeep (kept: Kept, seeds: Readonly<Record<string, TensorData>>): Promise<Gradients>
  dispose (): void
}

export interface Backend {
  readonly name: string
  readonly memoryBytes: number
  load (program: Program): Model
  /** Tensors alive now; must be flat over rounds. */
  liveTensors (): number
  dispose (): void
}
