/**
 * MAS: FedAvg of all tasks as one model for the first 30 % of the rounds; clients measure meanwhile how a step on one task
 * changes the others' losses, all split the tasks by that, and each group trains the rest from the merged weights:
 *
 *     Z[i][j] = (1 - L_j(theta - eta grad L_i) / L_j(theta)) / eta        mean over batches, then over clients
 *     groups = argmax of the mean over tasks of sum_{i in g} Z[i][j] / (|g| - 1)
 *
 * Costs R0 + k (R - R0) rounds of the encoder, where one model of all tasks costs R and every task alone n R. Where the
 * measurements show too little gain (grouping.gain), all tasks stay in one group. Only a client with several tasks can measure. The rest is in the
 * charter's `grouping`.
 * Source: Zhuang et al., MAS: towards resource-efficient federated multiple-task learning, arXiv 2307.11285.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const mas: Strategy = {
  ...fedavg,
  name: 'mas',
  source: 'Zhuang et al., arXiv 2307.11285',
  grouping: { groups: 2 }
}
