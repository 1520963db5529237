/**
 * One run of `bench learning` after the other, in a process of its own: orders come as messages, results go back the same
 * way. A run is a simulated consortium of one data set, strategy and seed; every figure is of test rows that no choice
 * looked at.
 */
import { InvalidParametersError } from '../../../src/errors.ts'
import { architecturesOf } from '../../../src/bench/spec.ts'
import { concatRows, pickRows, withoutHoldout } from '../../../src/data/pool.ts'
import { createCharter } from '../../../src/federation/charter.ts'
import { createBackend } from '../../../src/backend/index.ts'
import { loadBestRung } from '../../../src/backend/ladder.ts'
import { localStepsOf, totalSteps } from '../../../src/training/spec.ts'
import { modelFloats } from '../../../src/planning/index.ts'
import { openDataset } from '../../../src/data/open.ts'
import { openExperiment } from '../../../src/strategies/outside.ts'
import { ownLabels } from '../../../src/training/label-scopes.ts'
import { runExperiment } from '../../../src/federation/experiment.ts'
import { settingsOf } from '../../../src/strategies/index.ts'
import { tasksOfClient } from '../../../src/data/dataset.ts'
import { tuneHeap } from '../../../src/compute/heap.ts'
import type { Backend } from '../../../src/backend/backend.ts'
import type { Charter, CharterOptions } from '../../../src/federation/charter.ts'
import type { ClientReport, TaskReport } from '../../../src/training/committee.ts'
import type { Dataset, Rows } from '../../../src/data/dataset.ts'
import type { LabelScopes } from '../../../src/training/label-scopes.ts'
import type { RungName } from '../../../src/backend/ladder.ts'

export interface RunOrder {
  /** Folder, manifest or built-in name of the data set. */
  readonly data: string
  /** One of ours, or a strategy file. */
  readonly strategy: string
  readonly seed: number
  /** Trains on the hold-out rows too: for figures, once everything is chosen. */
  readonly refit: boolean
  /** Trains local models beside, a second one for the two-locals control in a refit. */
  readonly baseline: boolean
  readonly hosts: number
  readonly tasks?: readonly string[]
  readonly rounds?: number
  readonly rows?: number
  readonly clients?: number
  readonly partition?: 'by-site' | 'iid' | 'dirichlet'
  readonly backend?: RungName
  /** Over the strategy's and the recipe's settings. */
  readonly settings?: Pick<CharterOptions, 'model' | 'training' | 'projection' | 'merge' | 'bench'>
}

export interface RunTask {
  /** Where sites know some of the labels only, once among their own and once among all: 'intent (own)', 'intent (all)'. */
  readonly id: string
  readonly metric: string
  readonly higherIsBetter: boolean
  /** By candidate; null where the test rows do not define the metric. */
  readonly scores: Readonly<Record<string, number | null>>
  /** Where it is not what the client serves otherwise. */
  readonly served?: string
}

export interface RunClient {
  readonly client: string
  readonly served: string
  readonly bestLocal?: string
  readonly tasks: readonly RunTask[]
}

export interface Run {
  readonly order: RunOrder
  /** Name of the data set. */
  readonly data: string
  readonly seconds: number
  /** Payload from clients and back in the whole run, the evaluation at its end included. */
  readonly bytesUp: number
  readonly bytesDown: number
  /** Gradient steps of a client. */
  readonly steps: number
  /** Weights of one site's model. */
  readonly parameters: number
  /** Training loss, mean over the tasks and over a stretch of steps: [gradient steps so far, loss]. */
  readonly curve: ReadonlyArray<readonly [number, number]>
  readonly clients: readonly RunClient[]
  /** Why the strategy has no answer to this data, in one line; the rest is empty then. */
  readonly unfit?: string
}

export type RunAnswer = { readonly run: Run } | { readonly error: string, readonly next?: string }

/** Gradient steps that make up one point of a curve: a round of the recipes. */
const STRETCH = 20

async function perform (order: RunOrder, backend: Backend): Promise<Run> {
  const { data, seed, refit, baseline, hosts, tasks, rounds, rows, clients, partition, settings } = order
  const { strategy, rule } = await openExperiment(order.strategy)
  const whole = refit && strategy.kind !== 'peer' // without a hold-out peers choose nobody
  const opened = await openDataset(data, {
    seed,
    ...tasks === undefined ? {} : { tasks },
    ...rows === undefined ? {} : { rows },
    ...clients === undefined ? {} : { clients },
    ...partition === undefined ? {} : { partition }
  })
  const dataset = whole ? withoutHoldouts(opened) : opened
  let charter: Charter
  try {
    charter = createCharter({
      name: `bench ${dataset.name}`,
      seed,
      input: dataset.input,
      ...dataset.inputs === undefined ? {} : { inputs: dataset.inputs },
      tasks: dataset.tasks,
      ...settingsOf(strategy, dataset.recipe, { ...settings, training: { ...rounds === undefined ? {} : { rounds }, ...settings?.training } })
    })
  } catch (error) {
    if (!(error instanceof InvalidParametersError)) throw error
    return { order, data: dataset.name, seconds: 0, bytesUp: 0, bytesDown: 0, steps: 0, parameters: 0, curve: [], clients: [], unfit: error.message }
  }
  const all = await rowsOfAllLabels(dataset)
  const curve = new Curve(charter)
  const startedAt = performance.now()
  const result = await runExperiment(strategy, {
    charter,
    dataset,
    backend,
    hosts: Array.from({ length: hosts }, (_, i) => `host-${i + 1}`),
    clients: dataset.clientIds,
    control: baseline && refit,
    ...rule === undefined ? {} : { rule },
    baseline,
    tasksOf: client => tasksOfClient(dataset, client),
    ...all === undefined ? {} : { all },
    onStep: (_, step, losses) => { curve.add(step, losses) }
  })
  return {
    order,
    data: dataset.name,
    seconds: (performance.now() - startedAt) / 1000,
    bytesUp: result.bytes.up,
    bytesDown: result.bytes.down,
    steps: totalSteps(charter.training) * localStepsOf(charter.training),
    parameters: weightsOf(charter),
    curve: curve.end(),
    clients: result.clients.map(report => kept(report, all !== undefined))
  }
}

/** Hold-out rows are trained on as well, by choices that were made with them. */
function withoutHoldouts (dataset: Dataset): Dataset {
  const { name, input, inputs, tasks, clientIds, recipe, parts } = dataset
  return {
    name,
    input,
    tasks,
    clientIds,
    recipe,
    ...inputs === undefined ? {} : { inputs },
    ...parts === undefined ? {} : { parts },
    client: async id => withoutHoldout(await dataset.client(id))
  }
}

/** Of all models that a site trains. */
function weightsOf ({ bench, ...charter }: Charter): number {
  const ids = charter.tasks.map(({ id }) => id)
  const models = bench === undefined ? [charter.model] : architecturesOf(bench, charter.model, charter.input).map(({ model }) => model)
  return models.map(model => modelFloats({ ...charter, model }, ids))
    .reduce((sum, { trunk, parts }) => sum + trunk + Object.values(parts).reduce((sum, size) => sum + size, 0), 0)
}

/** The test rows of all sites, each once, where every site lacks labels that others have. */
async function rowsOfAllLabels (dataset: Dataset): Promise<Rows | undefined> {
  if (dataset.inputs !== undefined) return undefined // rows of different kinds are no one set of rows
  const tests: Rows[] = []
  const seen = new Set<number>()
  for (const id of dataset.clientIds) {
    const data = await dataset.client(id)
    if (data.tasks.every(task => ownLabels(task, data) === undefined)) return undefined
    const { source } = data.test
    tests.push(pickRows(data.test, [...source.keys()].filter(row => !seen.has(source[row] as number))))
    for (const row of source) seen.add(row)
  }
  return concatRows(tests)
}

/** @param scoped - labels differ from site to site */
function kept ({ client, served, bestLocal, tasks }: ClientReport, scoped: boolean): RunClient {
  const row = ({ id, metric, higherIsBetter }: TaskReport, scores: TaskReport['scores']): RunTask =>
    ({ id, metric, higherIsBetter, scores: Object.fromEntries(Object.entries(scores).map(([name, { value }]) => [name, Number.isFinite(value) ? value : null])) })
  return {
    client,
    served,
    ...bestLocal === undefined ? {} : { bestLocal },
    tasks: tasks.flatMap(task => !scoped || task.scopes === undefined
      ? [row(task, task.scores)]
      : (['own', 'all'] as const).map(name => {
          const { scores, served } = (task.scopes as LabelScopes)[name]
          return { ...row(task, scores), id: `${task.id} (${name})`, served }
        }))
  }
}

class Curve {
  readonly #points: Array<readonly [number, number]> = []
  readonly #localSteps: number
  /** Clock steps in a stretch. */
  readonly #stretch: number
  #step = 0
  #losses: number[] = []

  constructor ({ training }: Charter) {
    this.#localSteps = localStepsOf(training)
    this.#stretch = Math.ceil(STRETCH / this.#localSteps)
  }

  add (step: number, losses: Readonly<Record<string, number>>): void {
    const values = Object.values(losses)
    this.#step = step
    this.#losses.push(values.reduce((sum, loss) => sum + loss, 0) / values.length)
    if (step % this.#stretch === 0) this.#close()
  }

  /** A last stretch that is shorter counts too. */
  end (): ReadonlyArray<readonly [number, number]> {
    if (this.#losses.length > 0) this.#close()
    return this.#points
  }

  #close (): void {
    const loss = this.#losses.reduce((sum, value) => sum + value, 0) / this.#losses.length
    this.#losses = []
    this.#points.push([this.#step * this.#localSteps, Number(loss.toPrecision(5))])
  }
}

if (process.send !== undefined) {
  tuneHeap()
  let backend: Backend | undefined
  process.on('message', (order: RunOrder) => {
    const answer = async (): Promise<RunAnswer> => {
      backend ??= createBackend(await loadBestRung({ prefer: order.backend }))
      return { run: await perform(order, backend) }
    }
    answer()
      .catch((error: Error & { next?: string }): RunAnswer => ({ error: error.message, ...error.next === undefined ? {} : { next: error.next } }))
      .then(message => process.send?.(message))
      .catch(() => { process.exitCode = 1 })
  })
  process.once('disconnect', () => { process.exit() })
}
