/**
 * Looks a data set over before anybody trains on it. Unlike a run it reads every row and every task, goes on after a
 * mistake, and collects what it finds: `problems` keep the set from being used, `warnings` are worth a look.
 */
import { basename } from 'node:path'
import { findManifest, openDataset, setPaths } from './open.ts'
import { FmtlError } from '../errors.ts'
import { compare } from './check-charter.ts'
import { readRaw } from './check-raw.ts'
import { elements } from '../tensor/tensor.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientData, DatasetOptions, InputSpec, Rows } from './dataset.ts'
import type { RawReport } from './check-raw.ts'
import type { Skips } from './readers/skips.ts'
import type { TaskKind, TaskSpec } from '../tasks/task.ts'

export interface CheckOptions extends DatasetOptions {
  /** What a consortium trains: the data must fit it. */
  readonly charter?: Pick<Charter, 'input' | 'inputs' | 'tasks'>
  /** Look at these clients only: a site has its own files, not the others'. Default: all. */
  readonly only?: readonly string[]
}

export interface TaskSupport {
  readonly id: string
  readonly kind: TaskKind
  /** Labelled positions over all rows of all clients. */
  readonly support: number
  /** The same by class, for the kinds that have classes. */
  readonly classes?: Readonly<Record<string, number>>
  /** The names of labels 0, 1, ... */
  readonly labels?: readonly string[]
}

export interface ColumnSupport {
  readonly name: string
  /** Share of the rows without a value. */
  readonly missing: number
}

export interface CheckReport {
  readonly ok: boolean
  readonly samples: number
  /** All clients' rows, by use. */
  readonly rows: { readonly train: number, readonly holdout: number, readonly test: number }
  /** What one row looks like; absent where the set cannot be opened. */
  readonly input?: InputSpec
  readonly columns: readonly ColumnSupport[]
  /** Samples that cannot be read and were left out: how many, and the first with file and cause. */
  readonly skipped: Skips
  readonly clients: ReadonlyArray<{ id: string, train: number, holdout: number, test: number }>
  readonly tasks: readonly TaskSupport[]
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
}

/** Below this a metric's own noise hides every gain: one row of 20 is .05. */
const FEW_ROWS = 20
/** With fewer, a class is learnt by heart, and its recall moves by a tenth with every row. */
const FEW_LABELS = 10

export async function checkDataset (path: string, options: CheckOptions): Promise<CheckReport> {
  const { only, charter, ...dataOptions } = options
  const problems = new Set<string>()
  const warnings = new Set<string>()
  const clients: Array<CheckReport['clients'][number]> = []
  const tasks = new Map<string, Count>()
  const constant = new Map<string, string[]>()
  let input: InputSpec | undefined
  let raw: RawReport = { columns: [], skipped: { count: 0, named: [] } }
  try {
    const { manifest, folder } = await findManifest(path)
    if ('sets' in manifest) return together(await checkSets(setPaths(manifest, folder), options))
    const everything: DatasetOptions = 'scenes' in manifest
      ? dataOptions
      : { ...dataOptions, tasks: options.tasks ?? manifest.tasks.map(({ id }) => id), rows: options.rows ?? Number.MAX_SAFE_INTEGER }
    const data = await openDataset(path, everything)
    input = data.input
    if (charter !== undefined) compare(charter, data, problems, warnings)
    for (const spec of data.tasks) tasks.set(spec.id, countOf(spec))
    for (const id of only ?? data.clientIds) {
      const client = await attempt(async () => await data.client(id), problems)
      if (client !== undefined) {
        clients.push({ id, train: client.train.count, holdout: client.holdout.count, test: client.test.count })
        look(client, tasks, problems, warnings)
        for (const name of constantColumns(client)) constant.set(name, [...constant.get(name) ?? [], id])
        continue
      }
      // which tasks are to blame: each is tried alone, and what they have in common is said once
      for (const { id: task } of data.tasks) {
        if (!('scenes' in manifest) && manifest.tasks.some((rule) => rule.id === task && rule.clients?.includes(id) === false)) continue
        await attempt(async () => await (await openDataset(path, { ...everything, tasks: [task] })).client(id), problems)
      }
    }
    if (!('scenes' in manifest) && clients.length > 0) {
      raw = await readRaw(manifest, folder, manifest.clients.files === undefined ? undefined : clients.map(({ id }) => id))
    }
  } catch (err) {
    problems.add(sentence(err))
  }
  for (const what of raw.skipped.named) warnings.add(`left out: ${what}`)
  if (raw.skipped.count > raw.skipped.named.length) warnings.add(`left out: ${raw.skipped.count - raw.skipped.named.length} more`)
  for (const { name, missing } of raw.columns) if (missing === 1) warnings.add(`column '${name}' is empty`)
  for (const [name, ids] of constant) {
    warnings.add(`column '${name}' is the same in every training row of ${ids.length} of ${clients.length} clients (${ids.slice(0, 3).join(', ')}${ids.length > 3 ? ', ...' : ''})`)
  }
  for (const { spec, perClass } of tasks.values()) {
    const empty = perClass === undefined || clients.length === 0 ? [] : perClass.flatMap((n, c) => n === 0 ? [className(spec, c)] : [])
    if (empty.length > 0) warnings.add(`task '${spec.id}': no row of class ${empty.join(', ')}`)
    const few = (perClass ?? []).flatMap((n, c) => n > 0 && n < FEW_LABELS ? [`${className(spec, c)} (${n})`] : [])
    if (few.length > 0) warnings.add(`task '${spec.id}': fewer than ${FEW_LABELS} rows of class ${few.join(', ')}`)
  }
  return {
    ok: problems.size === 0,
    samples: clients.reduce((sum, { train, holdout, test }) => sum + train + holdout + test, 0),
    rows: total(clients),
    ...(input === undefined ? {} : { input }),
    ...raw,
    clients,
    tasks: [...tasks.values()].map(({ spec, support, perClass }) => ({
      id: spec.id,
      kind: spec.kind,
      support,
      ...(perClass === undefined ? {} : { classes: Object.fromEntries(perClass.map((n, c) => [className(spec, c), n])), labels: perClass.map((_, c) => className(spec, c)) })
    })),
    problems: [...problems],
    warnings: [...warnings]
  }
}

/** Sets that train as one are looked at one by one; those that have none of the clients in question are left out. */
async function checkSets (sets: readonly string[], { only, ...options }: CheckOptions): Promise<ReadonlyArray<readonly [string, CheckReport]>> {
  const some: CheckOptions = { ...options, ...options.tasks === undefined ? {} : { someTasks: true } }
  const reports: Array<readonly [string, CheckReport]> = []
  for (const set of sets) {
    const here = only === undefined ? undefined : (await openDataset(set, { seed: options.seed })).clientIds.filter((id) => only.includes(id))
    if (here?.length !== 0) reports.push([set, await checkDataset(set, { ...some, ...here === undefined ? {} : { only: here } })])
  }
  return reports
}

function together (reports: ReadonlyArray<readonly [string, CheckReport]>): CheckReport {
  const all = <T>(of: (report: CheckReport) => readonly T[]): T[] => reports.flatMap(([, report]) => of(report))
  const said = (of: 'problems' | 'warnings'): string[] => reports.flatMap(([set, report]) => report[of].map((line) => `${basename(set)}: ${line}`))
  const clients = all(({ clients }) => clients)
  return {
    ok: reports.every(([, { ok }]) => ok),
    samples: reports.reduce((sum, [, { samples }]) => sum + samples, 0),
    rows: total(clients),
    columns: all(({ columns }) => columns),
    skipped: { count: reports.reduce((sum, [, { skipped }]) => sum + skipped.count, 0), named: all(({ skipped }) => skipped.named) },
    clients,
    tasks: all(({ tasks }) => tasks),
    problems: said('problems'),
    warnings: said('warnings')
  }
}

function total (clients: CheckReport['clients']): CheckReport['rows'] {
  const sum = (part: 'train' | 'holdout' | 'test'): number => clients.reduce((n, client) => n + client[part], 0)
  return { train: sum('train'), holdout: sum('holdout'), test: sum('test') }
}

async function attempt<T> (work: () => Promise<T>, problems: Set<string>): Promise<T | undefined> {
  try {
    return await work()
  } catch (err) {
    problems.add(sentence(err))
    return undefined
  }
}

/** What, why and what next in one line. A bug of ours is not a problem of the data: it is thrown on. */
function sentence (err: unknown): string {
  if (!(err instanceof FmtlError)) throw err
  return err.next === undefined ? err.message : `${err.message}: ${err.next}`
}

interface Count {
  readonly spec: TaskSpec
  support: number
  readonly perClass: number[] | undefined
}

function countOf (spec: TaskSpec): Count {
  const labelled = spec.kind === 'classes' || spec.kind === 'token-classes' || spec.kind === 'dense-classes'
  const classes = labelled ? spec.channels : spec.kind === 'dense-binary' ? 2 : undefined
  return { spec, support: 0, perClass: classes === undefined ? undefined : Array.from({ length: classes }, () => 0) }
}

function className (spec: TaskSpec, c: number): string { return spec.classNames?.[c] ?? String(c) }

function look (client: ClientData, tasks: ReadonlyMap<string, Count>, problems: Set<string>, warnings: Set<string>): void {
  const { id, train, holdout, test } = client
  if (train.count === 0) problems.add(`client '${id}': no training row is left: check the test rule of the manifest`)
  if (test.count === 0) warnings.add(`client '${id}': no test row, so nothing can be reported for it`)
  else if (test.count < FEW_ROWS) warnings.add(`client '${id}': only ${test.count} test rows`)
  if (train.count > 0 && train.count < FEW_ROWS) warnings.add(`client '${id}': only ${train.count} training rows`)
  for (const spec of client.tasks) {
    const count = tasks.get(spec.id) as Count
    const known = [train, holdout, test].map((rows) => addLabels(count, rows))
    if (train.count > 0 && known[0] === 0) warnings.add(`client '${id}': no training row has a label of task '${spec.id}'`)
  }
}

/** Adds a part's labels to the counts and says how many there were. */
function addLabels (count: Count, rows: Rows): number {
  const { spec, perClass } = count
  const y = rows.y[spec.id] as Float32Array
  let known = 0
  for (let p = 0; p < y.length; p += spec.targets) {
    const value = y[p] as number
    if (Number.isNaN(value) || (perClass !== undefined && value < 0)) continue
    known++
    if (perClass !== undefined) perClass[value] = (perClass[value] as number) + 1
  }
  count.support += known
  return known
}

/** Plain columns only: a category or a missing flag that does not occur at one site is usual. */
function constantColumns ({ input, train, holdout }: ClientData): string[] {
  const width = elements(input.shape)
  if (input.columns === undefined || train.count + holdout.count < 2) return []
  return input.columns.filter((name, c) => {
    if (name.endsWith('?') || name.includes('=')) return false
    const first = (train.count > 0 ? train : holdout).x[c]
    return [train, holdout].every((rows) => Array.from({ length: rows.count }, (_, row) => rows.x[row * width + c]).every((v) => v === first))
  })
}
