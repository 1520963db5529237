/** Tables in memory, site by site, for methods at toy scale: normal clouds around class centres, drawn by a seed. */
import { Random, deriveSeed } from '../../src/random.ts'
import { charterBy, oneHost } from './charters.ts'
import { simulate } from '../../src/federation/simulator.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { ClientReport } from '../../src/training/committee.ts'
import type { Dataset, Rows } from '../../src/data/dataset.ts'
import type { SimulationInit, SimulationResult } from '../../src/federation/simulator.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

export interface TableSites {
  readonly columns: number
  readonly classes: number
  /** Labels that a site has, and its rows: train, hold-out, test. */
  readonly sites: ReadonlyArray<{ readonly labels: readonly number[], readonly rows: readonly [number, number, number] }>
  /** The numbers of a row of this class. */
  readonly draw: (label: number, random: Random, site: number) => ArrayLike<number>
  readonly seed: number
}

export function kindOf (classes: number): TaskSpec {
  return { id: 'kind', kind: 'classes', channels: classes, targets: 1, positions: [1], metric: 'accuracy' }
}

export function tableSites ({ columns, classes, sites, draw, seed }: TableSites): Dataset {
  const tasks = [kindOf(classes)]
  const input = { modality: 'table', shape: [columns] } as const
  const clientIds = sites.map((_, i) => `site-${i}`)
  const part = (site: number, name: string): Rows => {
    const { labels, rows: [train, holdout, test] } = sites[site] as TableSites['sites'][number]
    const count = { train, holdout, test }[name] as number
    const random = new Random(deriveSeed(seed, 'table', site, name))
    const [x, y] = [new Float32Array(count * columns), new Float32Array(count)]
    for (let row = 0; row < count; row++) {
      const label = labels[random.int(labels.length)] as number
      y[row] = label
      x.set(Float32Array.from(draw(label, random, site)), row * columns)
    }
    return { count, x, y: { kind: y }, source: Int32Array.from({ length: count }, (_, row) => row) }
  }
  return {
    name: 'tables',
    input,
    tasks,
    clientIds,
    recipe: {},
    client: async id => {
      const site = clientIds.indexOf(id)
      return { id, input, tasks, train: part(site, 'train'), holdout: part(site, 'holdout'), test: part(site, 'test') }
    }
  }
}

export interface ToyRun {
  readonly strategy: string
  readonly seed: number
  readonly model?: Readonly<Record<string, unknown>>
  readonly training?: Readonly<Record<string, unknown>>
  readonly method?: Readonly<Record<string, unknown>>
  /** Every site has a host of its own, and hosts do not meet. */
  readonly apart?: true
  readonly simulation?: Partial<SimulationInit>
}

/** One consortium in one process, without local models to compare with. */
export async function runToy (backend: Backend, dataset: Dataset, { strategy, seed, model, training, method, apart, simulation }: ToyRun): Promise<SimulationResult> {
  const charter = charterBy(strategy, dataset, { seed, model, training, method, merge: apart === true ? { mode: 'none' } : undefined })
  return await simulate(oneHost({ charter, dataset, backend, ...apart === true ? { hosts: dataset.clientIds } : {}, ...simulation }))
}

/** Mean over the sites of the first task's accuracy on test rows. */
export function accuracyOf (reports: readonly ClientReport[], candidate = 'federated'): number {
  return reports.reduce((sum, { tasks }) => sum + (tasks[0]?.scores[candidate]?.value ?? NaN), 0) / reports.length
}
