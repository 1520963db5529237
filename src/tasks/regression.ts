/**
 * Numbers per row. Loss: smooth L1 (quadratic within one deviation) on (y - mean) / deviation, mean over the
 * outputs that have a target; link: back to the target's own unit, in which mae and rmse are given; row loss:
 * mean absolute error in deviations. A NaN target is unknown and weighs nothing.
 */
import { scores } from './metrics.ts'
import { anyTarget, deviationOf, errors, meanOf, overTargets, scaledAbsoluteError, unscale } from './scaled.ts'
import { extent, meanLoss, meanOfLabelled } from './shapes.ts'
import type { Task, TaskSpec } from './task.ts'

/** Where smooth L1 turns from quadratic to linear, in deviations of the target. */
const BETA = 1

export function regression (spec: TaskSpec): Task {
  return {
    spec,
    loss (prediction, y) {
      const size = extent(spec, prediction, y)
      const grad = new Float32Array(prediction.data.length)
      const value = meanLoss(size, (p) => anyTarget(y, p, size.targets), (p, share) =>
        overTargets(y, p, size.targets, (i, c, part) => {
          const target = ((y.data[i] as number) - meanOf(spec, c)) / deviationOf(spec, c)
          const error = (prediction.data[i] as number) - target
          grad[i] = share * part * Math.max(-1, Math.min(1, error / BETA))
          return Math.abs(error) < BETA ? error * error / (2 * BETA) : Math.abs(error) - BETA / 2
        }))
      return { value, grad: { shape: prediction.shape, data: grad } }
    },
    link: (prediction) => unscale(spec, prediction),
    rowLoss: (linked, y) => scaledAbsoluteError(spec, linked, y),
    score (linked, y) {
      const { mae, rmse, support } = errors(spec, linked, y)
      return scores(spec, support, { mae, rmse, loss: meanOfLabelled(scaledAbsoluteError(spec, linked, y)) })
    }
  }
}
