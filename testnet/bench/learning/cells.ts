/**
 * What the runs of a bench say, data set by data set: for every task one cell per column (a strategy, a yardstick, or what
 * is served), averaged over sites and then over seeds. Choices (which local model is the better one, what is served) are
 * those of the run with a hold-out; figures are those of the run that was trained on all rows, where there is one.
 */
import { meanOf } from '../../figures.ts'
import type { Run, RunClient, RunOrder } from './run.ts'

/** Columns that come out of the leading strategy's runs. */
export const YARDSTICKS = ['simple', 'local', 'bestLocal', 'twoLocals'] as const
export const SERVED = 'served'
/** Candidates of the leading strategy that are shown where they exist. */
export const COMMITTEE = ['ensemble', 'simple+federated'] as const

export interface Cell {
  /** Mean over seeds of the mean over sites, and the deviation of the former; NaN where nothing defines it. */
  readonly mean: number
  readonly deviation: number
  readonly seeds: number
  /** Mean over seeds, by site. */
  readonly sites: Readonly<Record<string, number>>
}

export interface TaskRow {
  readonly task: string
  readonly metric: string
  readonly higherIsBetter: boolean
  readonly cells: Readonly<Record<string, Cell>>
}

export interface Cost {
  readonly strategy: string
  /** Of one site and run, both ways, payload. */
  readonly bytes: number
  readonly seconds: number
  readonly parameters: number
  /** Gradient steps until the training loss is what every strategy reaches in the end. */
  readonly stepsToTarget: number
  readonly steps: number
}

export interface DataTable {
  readonly data: string
  readonly seeds: readonly number[]
  readonly tasks: readonly TaskRow[]
  /** The same before training on the hold-out rows too, of the leading strategy; undefined without a refit. */
  readonly before: readonly TaskRow[] | undefined
  readonly costs: readonly Cost[]
  /** Strategies that have no answer to this data, with the reason. */
  readonly unfit: Readonly<Record<string, string>>
}

/** Columns in the order in which tables show them. */
export function columnsOf (strategies: readonly string[]): string[] {
  return [...YARDSTICKS, ...strategies.filter(name => name !== 'local'), ...COMMITTEE, SERVED]
}

export function tableOf (data: string, of: readonly Run[], strategies: readonly string[], lead: string): DataTable {
  const runs = of.filter(({ unfit }) => unfit === undefined)
  const seeds = [...new Set(runs.map(({ order }) => order.seed))].sort((a, b) => a - b)
  const find = (strategy: string, seed: number, refit: boolean): Run | undefined =>
    runs.find(({ order }) => order.strategy === strategy && order.seed === seed && order.refit === refit)
  const refit = runs.some(({ order }) => order.refit)
  const sitesAt = (seed: number): Site[] => {
    const choice = find(lead, seed, false)
    const final = find(lead, seed, refit) ?? choice
    const others = new Map(strategies.filter(name => name !== lead).map(name => [name, find(name, seed, refit)]))
    return (choice?.clients ?? []).map(client => ({
      choice: client,
      final: final?.clients.find(each => each.client === client.client) ?? client,
      others: new Map([...others].map(([name, run]) => [name, run?.clients.find(each => each.client === client.client)]))
    }))
  }
  const bySeed = new Map(seeds.map(seed => [seed, sitesAt(seed)]))
  const columns = columnsOf(strategies)
  return {
    data,
    seeds,
    tasks: rowsOf(bySeed, columns, (site, task, column) => valueOf(site, task, column, lead)),
    before: refit ? rowsOf(bySeed, [...YARDSTICKS.filter(name => name !== 'twoLocals'), lead, ...COMMITTEE, SERVED], (site, task, column) => beforeRefit(site, task, column, lead)) : undefined,
    costs: costsOf(seeds, strategies, (strategy, seed) => find(strategy, seed, refit) ?? find(strategy, seed, false)),
    unfit: Object.fromEntries(of.flatMap(({ order, unfit }) => unfit === undefined ? [] : [[order.strategy, unfit]]))
  }
}

interface Site {
  readonly choice: RunClient
  readonly final: RunClient
  readonly others: ReadonlyMap<string, RunClient | undefined>
}

function rowsOf (bySeed: ReadonlyMap<number, readonly Site[]>, columns: readonly string[], value: (site: Site, task: string, column: string) => number): TaskRow[] {
  const tasks = new Map([...bySeed.values()].flat().flatMap(({ choice }) => choice.tasks).map(task => [task.id, task]))
  return [...tasks.values()].map(({ id, metric, higherIsBetter }) => ({
    task: id,
    metric,
    higherIsBetter,
    cells: Object.fromEntries(columns.map(column => [column, cellOf(bySeed, id, (site, task) => value(site, task, column))] as const).filter(([, { seeds }]) => seeds > 0))
  }))
}

function cellOf (bySeed: ReadonlyMap<number, readonly Site[]>, task: string, value: (site: Site, task: string) => number): Cell {
  const sites = new Map<string, number[]>()
  const means: number[] = []
  for (const at of bySeed.values()) {
    const values = at.map(site => [site.choice.client, value(site, task)] as const).filter(([, value]) => Number.isFinite(value))
    for (const [client, value] of values) sites.set(client, [...sites.get(client) ?? [], value])
    if (values.length > 0) means.push(meanOf(values.map(([, value]) => value)))
  }
  return { mean: meanOf(means), deviation: deviation(means), seeds: means.length, sites: Object.fromEntries([...sites].map(([client, values]) => [client, meanOf(values)])) }
}

function valueOf ({ choice, final, others }: Site, task: string, column: string, lead: string): number {
  if (column === lead) return scoreOf(final, task, 'federated')
  if (others.has(column)) return scoreOf(others.get(column), task, 'federated')
  const candidate = chosen(choice, task, column)
  // Fitted on all rows with the strength that the hold-out chose; label scopes leave it out, where the strength is fixed.
  const refit = candidate === 'simple' ? scoreOf(choice, task, 'simpleRefit') : Number.NaN
  return Number.isFinite(refit) ? refit : scoreOf(final, task, candidate)
}

function beforeRefit ({ choice }: Site, task: string, column: string, lead: string): number {
  return scoreOf(choice, task, column === lead ? 'federated' : chosen(choice, task, column))
}

function chosen ({ served, bestLocal = 'local', tasks }: RunClient, task: string, column: string): string {
  return column === SERVED ? tasks.find(({ id }) => id === task)?.served ?? served : column === 'bestLocal' ? bestLocal : column
}

function scoreOf (client: RunClient | undefined, task: string, candidate: string): number {
  return client?.tasks.find(({ id }) => id === task)?.scores[candidate] ?? Number.NaN
}

function costsOf (seeds: readonly number[], strategies: readonly string[], find: (strategy: string, seed: number) => Run | undefined): Cost[] {
  const targets = new Map(seeds.map(seed => [seed, Math.max(...strategies.map(name => Math.min(...(find(name, seed)?.curve ?? []).map(([, loss]) => loss))).filter(Number.isFinite))]))
  return strategies.flatMap(strategy => {
    const runs = seeds.flatMap(seed => find(strategy, seed) ?? [])
    const [first] = runs
    if (first === undefined) return []
    return [{
      strategy,
      bytes: meanOf(runs.map(({ bytesUp, bytesDown, clients }) => (bytesUp + bytesDown) / clients.length)),
      seconds: meanOf(runs.map(({ seconds }) => seconds)),
      parameters: first.parameters,
      steps: first.steps,
      stepsToTarget: meanOf(runs.map(({ curve, order }) => curve.find(([, loss]) => loss <= (targets.get(order.seed) as number))?.[0] ?? Number.NaN))
    }]
  })
}

/**
 * How much better than the best local model, in per cent and averaged over the tasks; above 0 is better for every metric
 * (FMTL-Bench's Delta, arXiv 2402.12876).
 */
export function relativeGain (tasks: readonly TaskRow[], column: string): number {
  return meanOf(tasks.flatMap(({ cells, higherIsBetter }) => {
    const [value, local] = [cells[column]?.mean, cells.bestLocal?.mean]
    return value === undefined || local === undefined ? [] : [100 * (higherIsBetter ? 1 : -1) * (value - local) / local]
  }))
}

export function orderKey (order: RunOrder): string { return JSON.stringify(Object.entries(order).sort(([a], [b]) => a < b ? -1 : 1)) }

function deviation (values: readonly number[]): number {
  const centre = meanOf(values)
  return values.length < 2 ? Number.NaN : Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1))
}
