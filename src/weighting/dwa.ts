/**
 * Dynamic weight averaging: a task whose loss falls slowly weighs more.
 *
 *     w = n softmax((L(t-1) / L(t-2)) / T),  T = 2;      w = 1 in the first two epochs
 *
 * L(t) is the mean loss of epoch t, here a round. A task of which an epoch showed nothing keeps its last mean.
 * Source: Liu et al., End-to-End Multi-Task Learning with Attention, CVPR 2019, equation 7.
 */
import { EpochMeans, rateOf, softmaxWeights } from './weighting.ts'
import type { LossWeighting, WeightingInit } from './weighting.ts'

const TEMPERATURE = 2

export function dwaWeights (last: ArrayLike<number>, before: ArrayLike<number>, temperature = TEMPERATURE): Float64Array {
  return softmaxWeights(Array.from(last, (loss, i) => rateOf(loss, before[i] as number) / temperature))
}

export function dwa ({ tasks: n, epochSteps, temperature }: WeightingInit): LossWeighting {
  // steps, sums, counts of the epoch under way | epochs over | means of the last one | of the one before
  const state = new Float32Array(EpochMeans.size(n) + 1 + 2 * n)
  const [last, before] = [0, 1].map((i) => state.subarray(EpochMeans.size(n) + 1 + i * n).subarray(0, n)) as [Float32Array, Float32Array]
  const epochs = state.subarray(EpochMeans.size(n), EpochMeans.size(n) + 1)
  const running = new EpochMeans(n, state)
  return {
    weights: () => (epochs[0] as number) < 2 ? new Float64Array(n).fill(1) : dwaWeights(last, before, temperature),
    learn (step) {
      const means = running.add(step, epochSteps)
      if (means === undefined) return
      before.set(last)
      means.forEach((mean, i) => { if (Number.isFinite(mean)) last[i] = mean })
      epochs[0] = Math.min(2, (epochs[0] as number) + 1)
    },
    save: () => state.slice(),
    load: (saved) => { state.set(saved) }
  }
}
