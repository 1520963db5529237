/**
 * Uncertainty weighting: each task learns how noisy it is, s = log of its variance, and weighs less the noisier.
 *
 *     L = sum_i L_i / (2 exp(s_i)) + s_i / 2;      w_i = 1 / (2 exp(s_i)),  dL/ds_i = 1/2 - L_i w_i,  s starts at -0.5
 *
 * s settles where exp(s_i) = L_i. It moves by gradient descent with the slope held to one, so that a large first loss does
 * not throw it far beyond.
 * Source: Kendall, Gal and Cipolla, CVPR 2018, equation 10, in the form of LibMTL.
 */
import { shows } from './weighting.ts'
import type { LossWeighting, WeightingInit } from './weighting.ts'

const START = -0.5
/** 100 steps move s by up to 2.5, a weight by a factor of 12. */
const RATE = 0.025
/** Bounds of s: weights from 1.7e-4 to 1.5e3. */
const LARGEST = 8

export function uncertaintyTerms (logVariance: ArrayLike<number>, losses: ArrayLike<number>): { total: number, weights: Float64Array, slope: Float64Array } {
  const weights = Float64Array.from(logVariance, (s) => 1 / (2 * Math.exp(s)))
  const slope = weights.map((w, i) => 0.5 - w * (losses[i] as number))
  const total = weights.reduce((sum, w, i) => sum + w * (losses[i] as number) + (logVariance[i] as number) / 2, 0)
  return { total, weights, slope }
}

export function uncertainty ({ tasks }: WeightingInit): LossWeighting {
  const state = new Float32Array(tasks).fill(START)
  return {
    weights: () => uncertaintyTerms(state, state).weights,
    learn (step) {
      const { slope } = uncertaintyTerms(state, step.losses)
      slope.forEach((value, i) => {
        if (!shows(step, i)) return
        const moved = (state[i] as number) - RATE * Math.max(-1, Math.min(1, value))
        state[i] = Math.max(-LARGEST, Math.min(LARGEST, moved))
      })
    },
    save: () => state.slice(),
    load: (saved) => { state.set(saved) }
  }
}
