/**
 * SplitFed: split training whose client parts are averaged. Embedders of one modality and heads of one task are one model
 * over all clients, the trunk is updated once a step from the mean of their gradients, and hosts average what they have:
 *
 *     psi <- psi - eta mean_k grad_k psi        phi <- phi - eta mean_k grad_k phi
 *
 * The paper averages client parts once a round, weighted by rows; here gradients are averaged every step, each client with
 * one batch, which is the same where a round is one step of SGD. Without the averaging of client parts it is MTSL.
 * Source: Thapa et al., SplitFed: when federated learning meets split learning, arXiv 2004.12088.
 */
import { mtsl } from './mtsl.ts'
import type { Strategy } from './strategy.ts'

export const splitfed: Strategy = {
  name: 'splitfed',
  source: 'Thapa et al., arXiv 2004.12088',
  kind: 'split',
  model: { sharedEmbedder: true, sharedHeads: 'all', correctedHeads: [] },
  projection: mtsl.projection,
  merge: { mode: 'all', rate: 1, momentum: 0 }
}
