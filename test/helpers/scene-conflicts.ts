/** Scenes with one task many times as heavy as the others, under a gradient rule that keeps tasks apart; and what came of it. */
import { oneHost } from './charters.ts'
import { createCharter } from '../../src/federation/charter.ts'
import { openScenes } from '../../src/data/scenes.ts'
import { simulate } from '../../src/federation/simulator.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { ClientData, Dataset } from '../../src/data/dataset.ts'
import type { ProjectionSpec } from '../../src/federation/charter.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

/** Pictures of 16 x 16, the five tasks that are learnt best, a camera with one task each, as in the toy. */
export const HEAVY_TASK = 'seg'
const TASKS = [HEAVY_TASK, 'depth', 'edge', 'cls', 'count']

function heavier (dataset: Dataset, factor: number): Dataset {
  const weigh = (tasks: readonly TaskSpec[]): readonly TaskSpec[] => tasks.map(task => task.id === HEAVY_TASK ? { ...task, weight: factor * (task.weight ?? 1) } : task)
  return {
    ...dataset,
    tasks: weigh(dataset.tasks),
    client: async id => {
      const data = await dataset.client(id)
      return { ...data, tasks: weigh(data.tasks) } satisfies ClientData
    }
  }
}

export interface SceneRunInit {
  readonly seed: number
  readonly factor: number
  readonly projection: Partial<ProjectionSpec>
  readonly lrTrunk: number
  readonly steps: number
}

export interface SceneRun {
  readonly conflictShare: number
  readonly meanCosine: number
  readonly removedShare: number
  readonly minDirectionCosine: number
  readonly minUpdateCosine: number
  /** Task -> logarithm of the test loss. */
  readonly logLosses: Readonly<Record<string, number>>
  /** Mean of those over the tasks but the heavy one: a difference of d is a factor of e^d. */
  readonly others: number
}

export async function runScenes (backend: Backend, { seed, factor, projection, lrTrunk, steps }: SceneRunInit): Promise<SceneRun> {
  const dataset = heavier(openScenes({ name: 'scenes', scenes: { size: 16, clients: TASKS.length } }, { seed, rows: 80, tasks: TASKS }), factor)
  const charter = createCharter({
    name: 'scenes',
    seed,
    input: dataset.input,
    tasks: dataset.tasks,
    model: { width: 32, layers: 1, heads: 4, hidden: 64, embedder: { patch: 4 } },
    training: { rounds: 4, stepsPerRound: steps / 4, batch: 16, lrTrunk, lrClient: 4e-3 },
    projection: { unit: 'task', balance: 'none', attention: 'none', ...projection },
    merge: { mode: 'none' }
  })
  const tasksOf = (client: string): readonly string[] => [TASKS[dataset.clientIds.indexOf(client)] as string]
  const { clients, rounds } = await simulate(oneHost({ charter, dataset, backend, tasksOf }))
  const logLosses = Object.fromEntries(clients.flatMap(({ tasks }) => tasks.map(({ id, scores }) => [id, Math.log(scores.federated?.all.loss as number)])))
  return {
    conflictShare: rounds.reduce((sum, { conflictPairs }) => sum + conflictPairs, 0) / rounds.reduce((sum, { pairs }) => sum + pairs, 0),
    meanCosine: mean(rounds.map(({ meanCosine }) => meanCosine)),
    removedShare: mean(rounds.map(({ removedShare }) => removedShare)),
    minDirectionCosine: Math.min(...rounds.map(({ minDirectionCosine }) => minDirectionCosine)),
    minUpdateCosine: Math.min(...rounds.map(({ minUpdateCosine }) => minUpdateCosine)),
    logLosses,
    others: mean(TASKS.filter(id => id !== HEAVY_TASK).map(id => logLosses[id] as number))
  }
}

function mean (values: readonly number[]): number { return values.reduce((sum, value) => sum + value, 0) / values.length }
