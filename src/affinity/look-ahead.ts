/**
 * Affinity of one batch, before the step that is really taken: for every source a step on its loss alone, on the shared
 * weights, and what that does to every target's loss. The parts of single tasks are not touched.
 *
 *     theta_i = theta - rate (g_i + weightDecay theta)
 *     Z[i][j] = (1 - L_j(theta_i) / L_j(theta)) / rate
 *
 * Source: Zhuang et al., MAS, arXiv 2307.11285. Divided by the rate, steps under a schedule can be compared.
 */
import { matrixOf } from './matrix.ts'

type Numbers = Float32Array | Float64Array

export interface LookAhead<T extends Numbers> {
  /** The shared weights. Not written to. */
  readonly shared: T
  /** Loss of every task on the batch, there. */
  readonly losses: readonly number[]
  /** Gradient of every task's loss in the shared weights, on the batch. */
  readonly gradients: readonly T[]
  readonly rate: number
  readonly weightDecay?: number
  /** Divide by the rate. Default true. */
  readonly perRate?: boolean
}

/**
 * @param lossesAt - loss of every task on the same batch at other shared weights; must leave no trace in the model
 * @returns Z, NaN in the columns of tasks without a loss to compare with
 */
export async function lookAhead<T extends Numbers> (init: LookAhead<T>, lossesAt: (shared: T) => Promise<readonly number[]>): Promise<number[][]> {
  const { shared, losses, gradients, rate, weightDecay = 0, perRate = true } = init
  const after: Array<readonly number[]> = []
  for (const gradient of gradients) {
    const moved = shared.slice() as T
    for (let i = 0; i < moved.length; i++) {
      const value = moved[i] as number
      moved[i] = value - rate * ((gradient[i] as number) + weightDecay * value)
    }
    after.push(await lossesAt(moved))
  }
  return matrixOf(losses.length, (source, target) => {
    const [before, then] = [losses[target] as number, after[source]?.[target] as number]
    const change = before > 0 && Number.isFinite(then) ? 1 - then / before : Number.NaN
    return perRate ? change / rate : change
  })
}
