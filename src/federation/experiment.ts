/** One run of any strategy in one process, by the engine that its kind needs. */
import { simulate } from './simulator.ts'
import { trainAlone } from './alone.ts'
import type { SimulationInit, SimulationResult } from './simulator.ts'
import type { Strategy } from '../strategies/index.ts'

export async function runExperiment (strategy: Strategy, init: SimulationInit): Promise<SimulationResult> {
  if (strategy.kind === 'alone') return await trainAlone({ ...init, pooled: strategy.pooled === true })
  return await simulate(init)
}
