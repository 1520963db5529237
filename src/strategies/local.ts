/**
 * Local: every site trains the same model on its own rows and hears of nobody. What collaboration has to beat; a run of any
 * other strategy trains it beside.
 */
import type { Strategy } from './strategy.ts'

export const local: Strategy = {
  name: 'local',
  source: 'yardstick: each site alone',
  kind: 'alone',
  projection: {},
  merge: {}
}
