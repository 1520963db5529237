/**
 * GradNorm: weights under which the tasks' gradients have comparable lengths, longer for a task that trains slowly.
 *
 *     w = n softmax(s);   G_i = w_i |g_i|;   r_i = (L_i / L_i(first epoch)) / their mean;   target_i = mean(G) r_i^alpha
 *     s descends sum_i |G_i - target_i|, the targets held constant;   alpha = 1.5, s starts at 1
 *
 * |g_i| is the length at the cut, the last thing that all tasks share. In the first epoch, here a round, w = 1, and its
 * mean losses are what r compares with. The softmax keeps the sum of w at n. A step teaches nothing if it shows
 * nothing of a task. The slope is taken in lengths of mean(G): what s does must not depend on the scale of the losses.
 * Source: Chen et al., ICML 2018, algorithm 1.
 */
import { EpochMeans, rateOf, shows, softmaxWeights } from './weighting.ts'
import type { LossWeighting, WeightingInit } from './weighting.ts'

const ALPHA = 1.5
/** The paper's rate for the weights. */
const RATE = 0.025
/** s stays within this of its mean: weights of n tasks from n e^-20 up. */
const WIDEST = 10

export interface GradnormTerms {
  readonly weights: Float64Array
  readonly lengths: Float64Array
  readonly rates: Float64Array
  readonly targets: Float64Array
  readonly loss: number
  /** Of the loss along s. */
  readonly slope: Float64Array
}

export function gradnormTerms (scale: ArrayLike<number>, norms: ArrayLike<number>, losses: ArrayLike<number>, first: ArrayLike<number>, alpha = ALPHA): GradnormTerms {
  const n = scale.length
  const weights = softmaxWeights(scale)
  const lengths = weights.map((w, i) => w * (norms[i] as number))
  const progress = Float64Array.from(losses, (loss, i) => rateOf(loss, first[i] as number))
  const mean = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / n
  const rates = progress.map((value) => value / mean(progress))
  const targets = rates.map((rate) => mean(lengths) * rate ** alpha)
  const gaps = lengths.map((length, i) => length - (targets[i] as number))
  // d|gap_i| / dw_i, then through w = n softmax(s)
  const along = gaps.map((gap, i) => Math.sign(gap) * (norms[i] as number))
  const pull = weights.reduce((sum, w, i) => sum + w / n * (along[i] as number), 0)
  const slope = weights.map((w, i) => w * ((along[i] as number) - pull))
  return { weights, lengths, rates, targets, loss: gaps.reduce((sum, gap) => sum + Math.abs(gap), 0), slope }
}

export function gradnorm ({ tasks: n, epochSteps, alpha }: WeightingInit): LossWeighting {
  // steps, sums, counts of the first epoch | whether it is over | its means | s
  const size = EpochMeans.size(n)
  const state = new Float32Array(size + 1 + 2 * n).fill(1, size + 1 + n)
  const over = state.subarray(size, size + 1)
  const first = state.subarray(size + 1, size + 1 + n)
  const scale = state.subarray(size + 1 + n)
  const running = new EpochMeans(n, state)
  return {
    weights: () => over[0] === 0 ? new Float64Array(n).fill(1) : softmaxWeights(scale),
    learn (step) {
      if (over[0] === 0) {
        const means = running.add(step, epochSteps)
        if (means === undefined) return
        means.forEach((mean, i) => { first[i] = Number.isFinite(mean) ? mean : 0 })
        over[0] = 1
        return
      }
      if (!step.losses.every((_, i) => shows(step, i))) return
      const { slope, lengths } = gradnormTerms(scale, step.norms, step.losses, first, alpha)
      const mean = lengths.reduce((sum, length) => sum + length, 0) / n
      if (!(mean > 0 && slope.every(Number.isFinite))) return
      const moved = slope.map((value, i) => (scale[i] as number) - RATE * value / mean)
      const middle = moved.reduce((sum, value) => sum + value, 0) / n
      // the softmax knows differences only: the mean goes back to where it began
      moved.forEach((value, i) => { scale[i] = 1 + Math.max(-WIDEST, Math.min(WIDEST, value - middle)) })
    },
    save: () => state.slice(),
    load: (saved) => { state.set(saved) }
  }
}
