/**
 * FedAvg: every client holds the whole model and trains it alone for E steps; what that changed is averaged, weighted by
 * rows, and everybody goes on from there. One contribution a round, E as many steps as the split strategies take in one.
 * There is no fixed server: whoever hosts coordinates its clients, and several hosts average their deltas in the same way.
 * The paper's clients use plain SGD: training.optimiser = sgd. The default is AdamW, whose moments stay at the client.
 * Source: McMahan et al., Communication-efficient learning of deep networks from decentralized data, arXiv 1602.05629.
 */
import type { Strategy } from './strategy.ts'

export const fedavg: Strategy = {
  name: 'fedavg',
  source: 'McMahan et al., arXiv 1602.05629',
  kind: 'whole',
  model: { trunk: 'client', sharedEmbedder: true, sharedHeads: 'all', correctedHeads: [], dropout: 0 },
  training: { stepsPerRound: 1, localSteps: 20 },
  projection: { rule: 'mean', strict: 'off', balance: 'none' },
  merge: { mode: 'all', rate: 1, momentum: 0 }
}
