import type { TensorData } from '../tensor/tensor.ts'

/** What a task predicts; decides loss, link function and metric (one file per kind in this folder). */
export type TaskKind =
  | 'classes' // one label per row: softmax, cross-entropy
  | 'regression' // `outputs` numbers per row: smooth L1 on scaled targets, MAE in the target's unit
  | 'direction' // (cos, sin[, valid]) per row: squared error, angle error in degrees
  | 'token-classes' // one label per token (slots): cross-entropy over labelled tokens; label -1 = no token
  | 'dense-classes' // one label per pixel: cross-entropy, mean IoU
  | 'dense-regression' // one number per pixel: L1, mean absolute error
  | 'dense-direction' // unit vector per pixel: 1 - cosine, mean angle in degrees
  | 'dense-binary' // yes or no per pixel: weighted logistic loss, F1 of the positive class

/**
 * One task as the whole consortium knows it; travels in charters and attach requests.
 * A prediction is [rows, positions, channels]; the targets beside it [rows, positions, targets].
 * Positions: 1 for a row-level task, pixels for a dense one, tokens for a token task. Their order is the caller's,
 * the same in predictions and targets.
 */
export interface TaskSpec {
  readonly id: string
  /** Name of the input that it is read from, where a consortium has several. */
  readonly input?: string
  readonly kind: TaskKind
  /** Numbers the head puts out per position: classes, regression outputs, vector length. */
  readonly channels: number
  /** Numbers in the target per position (1 for a class label; 3 for (cos, sin, valid)). */
  readonly targets: number
  /** 1, or the picture's [height, width], or [tokens]. */
  readonly positions: readonly number[]
  readonly classNames?: readonly string[]
  /** Targets of a regression are scaled as (y - mean) / deviation before the loss, metrics are in the original unit. */
  readonly scale?: { readonly mean: readonly number[], readonly deviation: readonly number[] }
  /** Weight of this task in a client's summed loss. Default 1. */
  readonly weight?: number
  /** Label smoothing in [0, 1). */
  readonly smoothing?: number
  /** dense-binary: how much more a positive pixel weighs than a negative one. Default 1. */
  readonly positiveWeight?: number
  /** Metric shown in tables; others are in `Scores.all`. */
  readonly metric: string
}

export interface Scores {
  readonly metric: string
  readonly value: number
  readonly higherIsBetter: boolean
  /** Rows (or labelled positions) the value rests on. */
  readonly support: number
  /** Every metric the task knows, by name: accuracy, macroF1, auroc, loss, ... */
  readonly all: Readonly<Record<string, number>>
  /** Per class: support, recall, precision, f1. Absent for regressions. */
  readonly classes?: ReadonlyArray<{ name: string, support: number, recall: number, precision: number, f1: number }>
}

export interface Task {
  readonly spec: TaskSpec
  /**
   * Mean training loss over the batch (over the labelled positions of a row, then over the rows that have one) and
   * dL/dprediction, shaped like `prediction` (raw head outputs). `spec.weight` is left to the caller. A batch
   * without a label costs 0. No label: -1 or NaN for classes, NaN for numbers, valid = 0 for directions.
   */
  loss (prediction: TensorData, y: TensorData): { value: number, grad: TensorData }
  /** Raw head outputs to the space in which models are averaged: probabilities, original units, unit vectors. */
  link (prediction: TensorData): TensorData
  /**
   * One proper loss per row on linked outputs (negative log-likelihood, absolute error, ...); for serving decisions.
   * NaN where the row has no label: leave it out of means.
   */
  rowLoss (linked: TensorData, y: TensorData): Float64Array
  /** Metrics on linked outputs. NaN where the rows do not define one (no label at hand; AUROC with one class). */
  score (linked: TensorData, y: TensorData): Scores
}
