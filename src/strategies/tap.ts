/**
 * TAP: two-stage adaptive personalisation. One modular model for all inputs and tasks, averaged module by module over the
 * sites that have it; beside it a personal model at every site, whose modules are replaced by the agreed ones only where those
 * do better, and which learns from them once more at the end. src/methods/tap says how.
 * Source: arXiv 2509.26524, after its official code.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export const tap: Strategy = {
  ...fedavg,
  name: 'tap',
  source: 'TAP, arXiv 2509.26524',
  method: { name: 'tap' }
}
