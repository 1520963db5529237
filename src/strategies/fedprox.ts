/**
 * FedProx: FedAvg whose clients stay near what all agreed on. With w the values that the round began with, fixed for it:
 *
 *     w_k <- w_k - eta (grad F_k(w_k) + mu (w_k - w))
 *
 * mu is training.proximal; with 0 it is FedAvg bit for bit. The paper tries .001 to 1. Under AdamW, the default, the pull
 * passes through the moments as the gradient does; the paper's step is training.optimiser = sgd.
 * Source: Li et al., Federated optimization in heterogeneous networks, arXiv 1812.06127.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const fedprox: Strategy = {
  ...fedavg,
  name: 'fedprox',
  source: 'Li et al., arXiv 1812.06127',
  training: { ...fedavg.training, proximal: 0.01 }
}
