/** One run of any strategy in one process, by the engine that its kind needs. */
import { meanByTask } from './round-log.ts'
import { simulate } from './simulator.ts'
import { simulatePeers } from './peers.ts'
import { trainAlone } from './alone.ts'
import type { SimulationInit, SimulationResult } from './simulator.ts'
import type { Strategy } from '../strategies/index.ts'
import type { TaskLoss } from '../backbone/frames.ts'

export async function runExperiment (strategy: Strategy, init: SimulationInit): Promise<SimulationResult> {
  if (strategy.kind === 'alone') return await trainAlone({ ...init, pooled: strategy.pooled === true })
  if (strategy.kind === 'peer') return await simulatePeers({ ...init, onStep: together(init) })
  return await simulate(init)
}

/** Sites of different pace are at different steps: a step is told once all have taken it. */
function together ({ dataset, onStep }: SimulationInit): (client: string, step: number, losses: Readonly<Record<string, number>>) => void {
  const waiting = new Map<number, TaskLoss[][]>()
  return (_, step, losses) => {
    const given = waiting.get(step) ?? []
    given.push(Object.entries(losses).map(([task, loss]) => ({ task, loss, samples: 1 })))
    waiting.set(step, given)
    if (given.length < dataset.clientIds.length) return
    waiting.delete(step)
    onStep?.('peers', step, meanByTask(given.flat()))
  }
}
