/**
 * One shared linear model per task, no trunk: hashed words times an idf that all agree on, or a table's columns, into logistic
 * regression for classes and least squares for numbers. Every step is one gradient over all rows of all sites,
 *
 *     W <- W + v_t,    v_t = -eta sum_k n_k/n grad F_k(W), accelerated at the host
 *
 * so that the sites end where one site with all their rows would (FedSGD; src/training/linear/model.ts says what is minimised).
 * On short texts and small tables it is what a deep model has to beat. Several hosts agree exactly only where they meet after
 * every step (training.stepsPerRound = 1); between two meetings each follows its own sites.
 * Source: McMahan et al., arXiv 1602.05629 (FedSGD); momentum at the server: Hsu et al., arXiv 1909.06335.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const fedlinear: Strategy = {
  ...fedavg,
  name: 'fedlinear',
  source: 'McMahan et al. (FedSGD), arXiv 1602.05629',
  model: { kind: 'linear', sharedHeads: 'all', correctedHeads: [] },
  training: {
    rounds: 5, // sentences .677 in 100 steps, .679 in 800; heart (disease, exang) .825 and .819, in 200 .823 and .816
    stepsPerRound: 20,
    optimiser: 'sgd',
    lrLocal: 1, // of the largest step that surely descends
    serverMomentum: 0.9,
    weightDecay: 4e-4, // 1 / (C n): C = 10 of 250 rows
    smoothing: 0
  }
}
