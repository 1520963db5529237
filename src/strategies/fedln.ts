/**
 * FedLN, the counterpart of FedBN for these models: FedAvg of everything but the normalisations. FedBN keeps BatchNorm at its
 * client, with its running statistics; the models here have LayerNorm alone, which has none, so what stays is gain and
 * bias of every LayerNorm, found by what the graph does with them and not by name:
 *
 *     w <- sum_k p_k w_k outside of the normalisations        gain_k, bias_k stay
 *
 * Without a statistic of the inputs to keep apart it does less for shifted inputs than the paper's method does.
 * Source: Li et al., FedBN, arXiv 2102.07623.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const fedln: Strategy = {
  ...fedavg,
  name: 'fedln',
  source: 'after Li et al. (FedBN), arXiv 2102.07623',
  model: { ...fedavg.model, privateNorms: true }
}
