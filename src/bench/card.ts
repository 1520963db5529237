/** What a site says of a model before anybody takes it: enough to decide whether it could be used here at all. */
import { createHash } from 'node:crypto'
import { specHash } from '../models/spec.ts'
import type { TaskSpec } from '../tasks/task.ts'

export interface CardTask {
  readonly id: string
  /** Numbers that the model gives per position: classes, or outputs of a regression. */
  readonly classes: number
  /** Label space: hash of what the labels mean. Two sites with the same one can take each other's answers. */
  readonly space: string
}

export interface ModelCard {
  /** Whose it is. */
  readonly peer: string
  /** Names the model among its peer's. */
  readonly modelId: string
  /** Counts up from 1; a higher one replaces. */
  readonly version: number
  /** `Architecture.id` of ./spec.ts. */
  readonly arch: string
  /** Weights, embedder first, then trunk, then a head per task in the order of `tasks`. */
  readonly parameters: number
  /** As the weights travel. */
  readonly bytes: number
  /** Of those bytes, in hex: checked before they are used. */
  readonly sha256: string
  readonly tasks: readonly CardTask[]
  /** What the peer itself measured on its hold-out; nothing rests on it. */
  readonly valAccuracy?: number
}

/** Before the weights are in the form in which they travel. */
export type CardDraft = Omit<ModelCard, 'sha256'>

export function cardTask (task: TaskSpec): CardTask {
  return { id: task.id, classes: task.channels, space: labelSpace(task) }
}

/** Weight, smoothing and metric may differ: they do not change what a label means. */
export function labelSpace ({ kind, channels, targets, positions, classNames, scale }: TaskSpec): string {
  return specHash({ kind, channels, targets, positions, classNames, scale })
}

/** SHA-256 of weights that travel as 32-bit floats, in hex. */
export function weightsHash (weights: Float32Array): string {
  return createHash('sha256').update(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength)).digest('hex')
}

/** Order of a bench, whatever came first. */
export function byOrigin (a: Pick<ModelCard, 'peer' | 'modelId' | 'version'>, b: Pick<ModelCard, 'peer' | 'modelId' | 'version'>): number {
  if (a.peer !== b.peer) return a.peer < b.peer ? -1 : 1
  if (a.modelId !== b.modelId) return a.modelId < b.modelId ? -1 : 1
  return a.version - b.version
}
