/**
 * FedRBN's propagation: a site that never saw an attack takes over the statistics that attacked rows have at others, those
 * nearest to it the most.
 *
 *     score_j = mean over layers of (cos(mean_c^j, mean_c) + cos(var_c^j, var_c)) / 2 / T      w = softmax(score)
 *     mean_a = sum_j w_j mean_a^j      var_a = sum_j w_j var_a^j
 *
 * One source is copied. Source: Hong et al., Federated robustness propagation, arXiv 2106.10196, and its code.
 */
import { dot, norm } from '../kernels/index.ts'
import { pairsIn } from '../models/batch-norm.ts'
import { weightedMean } from '../training/contributions.ts'
import type { Norm } from '../models/batch-norm.ts'

/** Running statistics of all normalisations, laid out by `statisticsGraph`. */
export interface Source {
  readonly clean: Float32Array
  readonly attacked: Float32Array
}

export interface Propagation {
  /** cosine: by the likeness of clean statistics; equal: all alike. */
  readonly weights: 'cosine' | 'equal'
  readonly temperature: number
}

/** Of every source, in their order; they sum to 1. */
export function sourceWeights (norms: readonly Norm[], sources: readonly Source[], own: Float32Array, { weights, temperature }: Propagation): readonly number[] {
  if (weights === 'equal' || sources.length === 1) return sources.map(() => 1 / sources.length)
  const mine = pairsIn(norms, own)
  const scores = sources.map(({ clean }) => pairsIn(norms, clean).reduce((sum, [mean, variance], layer) => {
    const [ownMean, ownVariance] = mine[layer] as typeof mine[number]
    return sum + (cosine(mean, ownMean) + cosine(variance, ownVariance)) / 2 / temperature / norms.length
  }, 0))
  const top = Math.max(...scores)
  const total = scores.reduce((sum, score) => sum + Math.exp(score - top), 0)
  return scores.map(score => Math.exp(score - top) / total)
}

/** @param sources - one at least. @param own - the receiving site's clean statistics */
export function propagated (norms: readonly Norm[], sources: readonly Source[], own: Float32Array, propagation: Propagation): Float32Array {
  return weightedMean(sources.map(({ attacked }) => attacked), sourceWeights(norms, sources, own, propagation), new Float32Array(own.length))
}

/** 0 where either has no length. */
function cosine (a: Float32Array, b: Float32Array): number { return dot(a, b) / Math.max(norm(a) * norm(b), 1e-8) }
