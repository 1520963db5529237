/**
 * FedPAE: no host, no rounds, no common model. Every site trains models of its own, one per architecture, and hands them to
 * its peers when they are ready. What arrives stands on the site's bench beside its own; from there it picks, task by task,
 * the few that together serve its private hold-out best:
 *
 *     strength(E)  mean accuracy of the members          diversity(E)  volume that their errors span (Pang's determinant)
 *     E            of each size the Pareto front of both, of all fronts the most accurate ensemble
 *
 * and keeps it only where it beats the site's own models, the whole bench and the best single one (src/ensemble/select.ts).
 * Nobody waits: who publishes late is taken late. Bytes: cards, and per pull the weights of one model.
 * The second architecture and the guard are this project's; the paper has networks for pictures, up to eight of them.
 * Source: Mueller et al., FedPAE: peer-adaptive ensemble learning, arXiv 2410.14075.
 */
import type { Strategy } from './strategy.ts'

export const fedpae: Strategy = {
  name: 'fedpae',
  source: 'Mueller et al., arXiv 2410.14075',
  kind: 'peer',
  model: { trunk: 'client', sharedEmbedder: false, sharedHeads: [], correctedHeads: [], dropout: 0 },
  projection: { rule: 'mean', strict: 'off', balance: 'none' },
  merge: { mode: 'none' },
  bench: { architectures: [{}, { width: 32, layers: 1, heads: 4, hidden: 64 }] }
}
