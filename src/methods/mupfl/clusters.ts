/**
 * How much each site weighs in the common model (ACMU). Sites are alike as far as their weights and their activity maps point
 * the same way; those that are alike are averaged by rows first, clusters by how many sites they have.
 *
 *     s_ij = (cos(w_i, w_j) + cos(m_i, m_j)) / 2       average linkage, cut where 1 - s > cut
 *     a_i  = |C| / N * n_i / sum_{j in C} n_j
 */
import { averageLinkage, cutAt, distance } from '../../combinatorics/linkage.ts'
import type { Point } from '../../combinatorics/linkage.ts'

export function similarity (weights: readonly [Point, Point], maps: readonly [Point, Point]): number {
  return 1 - (distance(...weights, 'cosine') + distance(...maps, 'cosine')) / 2
}

export function clustersOf (similarities: ReadonlyArray<readonly number[]>, cut: number): number[][] {
  return cutAt(averageLinkage(similarities.map((row, i) => row.map((value, j) => i === j ? 0 : 1 - value))), cut)
}

/** Per site; they sum to 1. @param samples - rows; a site with 0 is in no cluster */
export function sharesOf (clusters: ReadonlyArray<readonly number[]>, samples: readonly number[]): number[] {
  const having = clusters.map(cluster => cluster.filter(site => (samples[site] as number) > 0))
  const sites = having.reduce((sum, { length }) => sum + length, 0)
  const shares = samples.map(() => 0)
  for (const cluster of having) {
    const total = cluster.reduce((sum, site) => sum + (samples[site] as number), 0)
    for (const site of cluster) shares[site] = cluster.length / sites * (samples[site] as number) / total
  }
  return shares
}
