/**
 * FedAMP: no common model. Every client keeps a whole model of its own for good; the host passes messages between them, to
 * each an anchor made of the models that are like it, and the client trains near that:
 *
 *     xi_kj = alphaK exp(-|w_k - w_j|^2 / sigma) / sigma      xi_kk = 1 - sum_j xi_kj      u_k = sum_j xi_kj w_j
 *     w_k  <- w_k - eta (grad F_k(w_k) + lambda / alphaK (w_k - u_k))
 *
 * alphaK is training.attention, lambda training.pull, sigma training.sigma or, left out, the median squared distance, in which
 * distances are then measured. The pull is that of the squared norm, as in the paper. What is evaluated and served is w_k.
 * lambda was chosen by hold-out loss, seeds 0 to 2 (digits, heart): .1 .695, .591; .3 .718, .541; 1 .808, .495 (FedAvg .737, .530).
 * A client sends its model and gets its anchor, 8 |w| bytes a round, as FedAvg. With several hosts each makes the anchors of
 * its own clients, and they never meet: there is nothing to merge.
 * Source: Huang et al., Personalized cross-silo federated learning on non-IID data, arXiv 2007.03797.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const fedamp: Strategy = {
  ...fedavg,
  name: 'fedamp',
  source: 'Huang et al., arXiv 2007.03797',
  training: { ...fedavg.training, attention: 0.5, pull: 0.3 },
  merge: { mode: 'none' }
}
