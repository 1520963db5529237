/**
 * FedPer: FedAvg of everything but the heads, which stay at their clients and train together with the rest:
 *
 *     base <- sum_k p_k base_k        head_k <- head_k
 *
 * model.sharedHeads says which heads travel all the same; with `all` it is FedAvg.
 * Source: Arivazhagan et al., Federated learning with personalization layers, arXiv 1912.00818.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const fedper: Strategy = {
  ...fedavg,
  name: 'fedper',
  source: 'Arivazhagan et al., arXiv 1912.00818',
  model: { ...fedavg.model, sharedHeads: [] }
}
