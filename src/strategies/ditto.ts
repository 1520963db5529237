/**
 * Ditto: FedAvg, and beside it a model of every client's own, pulled to the agreed one. It never leaves, and it is the one
 * that is served. With w the agreed values as the round began:
 *
 *     v_k <- v_k - eta (grad F_k(v_k) + lambda (v_k - w))
 *
 * lambda is training.pull; with 0 v is what the client would have learnt alone. The paper tries .1 to 2. FedAvg's bytes,
 * twice its arithmetic. The paper's step is training.optimiser = sgd.
 * Source: Li et al., Ditto: fair and robust federated learning through personalization, arXiv 2012.04221.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const ditto: Strategy = {
  ...fedavg,
  name: 'ditto',
  source: 'Li et al., arXiv 2012.04221',
  training: { ...fedavg.training, personal: 'ditto', pull: 0.5 }
}
