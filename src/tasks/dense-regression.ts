/**
 * One number per pixel (depth, distance). Loss: absolute error on the scaled target, mean over the pixels of a
 * picture that have one, then over pictures; mae and rmse are in the target's own unit. NaN pixels are unknown.
 */
import { scores } from './metrics.ts'
import { anyTarget, deviationOf, errors, meanOf, overTargets, scaledAbsoluteError, unscale } from './scaled.ts'
import { extent, meanLoss, meanOfLabelled } from './shapes.ts'
import type { Task, TaskSpec } from './task.ts'

export function denseRegression (spec: TaskSpec): Task {
  return {
    spec,
    loss (prediction, y) {
      const size = extent(spec, prediction, y)
      const grad = new Float32Array(prediction.data.length)
      const value = meanLoss(size, (p) => anyTarget(y, p, size.targets), (p, share) =>
        overTargets(y, p, size.targets, (i, c, part) => {
          const error = (prediction.data[i] as number) - ((y.data[i] as number) - meanOf(spec, c)) / deviationOf(spec, c)
          grad[i] = share * part * Math.sign(error)
          return Math.abs(error)
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
