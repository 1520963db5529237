/**
 * MTSL: multi-task split learning without federation. One shared upper model, private lower models, nothing ever averaged
 * between clients, the plain mean of their gradients, hosts that never meet. Its per-entity learning rates are the
 * charter's lrTrunk and lrClient.
 * Source: Zheng and Eryilmaz, arXiv 2406.00150.
 */
import type { Strategy } from './strategy.ts'

export const mtsl: Strategy = {
  name: 'mtsl',
  source: 'Zheng and Eryilmaz, arXiv 2406.00150',
  kind: 'split',
  projection: { rule: 'mean', strict: 'off', balance: 'none' },
  merge: { mode: 'none' }
}
