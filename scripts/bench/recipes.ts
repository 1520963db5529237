/**
 * Measures the recipes of the README: one simulated consortium per seed and variant, every figure from test rows that no
 * choice looked at. Prints one JSON row per run; `--out` keeps them with a Markdown table.
 *
 *     node scripts/bench/recipes.ts --data ../shared/data/digits --seeds 50,51,52 --variants base,one-host --out scripts/bench/results/digits
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, basename } from 'node:path'
import { parseArgs } from 'node:util'
import { createCharter } from '../../src/federation/charter.ts'
import { createBackend } from '../../src/backend/index.ts'
import { loadBestRung } from '../../src/backend/ladder.ts'
import { openDataset } from '../../src/data/open.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { deriveSeed } from '../../src/random.ts'
import type { CharterOptions } from '../../src/federation/charter.ts'
import type { ClientReport } from '../../src/training/committee.ts'
import type { DatasetOptions } from '../../src/data/dataset.ts'

interface Variant {
  readonly hosts?: number
  readonly differentInit?: boolean
  readonly tasks?: readonly string[]
  readonly spread?: boolean
  readonly charter?: Partial<CharterOptions>
}

const VARIANTS: Readonly<Record<string, Variant>> = {
  base: {},
  'merge-all': { charter: { merge: { mode: 'all' } } },
  'never-meet': { charter: { merge: { mode: 'none' } } },
  'one-host': { hosts: 1 },
  'different-init': { differentInit: true },
  mean: { charter: { projection: { rule: 'mean', strict: 'off' } } },
  unbalanced: { charter: { projection: { balance: 'none' } } },
  'strict-gradient': { charter: { projection: { strict: 'gradient' } } },
  'per-task': { charter: { projection: { unit: 'task' } } },
  canary: { tasks: ['pose', 'eyes', 'expression'] },
  'one-task-each': { spread: true },
  f16: { charter: { cutCodec: 'f16' } },
  bf16: { charter: { cutCodec: 'bf16' } },
  int8: { charter: { cutCodec: 'int8' } }
}

interface Row {
  readonly data: string
  readonly variant: string
  readonly seed: number
  readonly seconds: number
  /** What clients and hosts sent each other in the whole run, as their channels counted it. */
  readonly bytesUp: number
  readonly bytesDown: number
  readonly clients: readonly ClientReport[]
}

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    seeds: { type: 'string', default: '50,51,52' },
    variants: { type: 'string', default: 'base' },
    hosts: { type: 'string', default: '2' },
    rows: { type: 'string' },
    clients: { type: 'string' },
    model: { type: 'string', default: '{}' },
    training: { type: 'string', default: '{}' },
    out: { type: 'string' }
  }
})
if (values.data === undefined) throw new Error('--data PATH|NAME is missing')

const rung = await loadBestRung()
const backend = createBackend(rung, { onFall: line => process.stderr.write(`${line}\n`) })
const rows: Row[] = []
for (const name of values.variants.split(',')) {
  const variant = VARIANTS[name]
  if (variant === undefined) throw new Error(`no variant ${name}; known: ${Object.keys(VARIANTS).join(', ')}`)
  for (const seed of values.seeds.split(',').map(Number)) rows.push(await measure(name, variant, seed))
}
const table = summarise(rows)
process.stdout.write(table)
if (values.out !== undefined) {
  mkdirSync(dirname(values.out), { recursive: true })
  writeFileSync(`${values.out}.json`, `[\n${rows.map(row => JSON.stringify(kept(row))).join(',\n')}\n]\n`)
  writeFileSync(`${values.out}.md`, table)
}

async function measure (name: string, variant: Variant, seed: number): Promise<Row> {
  const data = values.data as string
  const options: DatasetOptions = {
    seed,
    ...variant.tasks === undefined ? {} : { tasks: variant.tasks },
    ...values.rows === undefined ? {} : { rows: Number(values.rows) },
    ...values.clients === undefined ? {} : { clients: Number(values.clients) }
  }
  const dataset = await openDataset(data, options)
  const charter = createCharter({
    name: 'recipes',
    seed,
    input: dataset.input,
    tasks: dataset.tasks,
    ...variant.charter,
    model: { ...dataset.recipe.model, ...JSON.parse(values.model) as object },
    training: { ...dataset.recipe.training, ...JSON.parse(values.training) as object }
  })
  const taskIds = dataset.tasks.map(task => task.id)
  const spread = variant.spread ?? dataset.recipe.spread ?? false
  const hosts = variant.hosts ?? Number(values.hosts)
  const startedAt = performance.now()
  const result = await simulate({
    charter,
    dataset,
    backend,
    hosts: Array.from({ length: hosts }, (_, i) => `host-${i}`),
    clients: dataset.clientIds.map((_, i) => `client-${i}`),
    control: true,
    ...spread ? { tasksOf: (client: string) => [taskIds[dataset.clientIds.indexOf(client) % taskIds.length] as string] } : {},
    ...variant.differentInit === true ? { partsSeed: (client: string) => deriveSeed(seed, 'different', client) } : {}
  })
  const row: Row = {
    data: basename(data),
    variant: name,
    seed,
    seconds: (performance.now() - startedAt) / 1000,
    bytesUp: result.bytes.up,
    bytesDown: result.bytes.down,
    clients: result.clients
  }
  const means = summary([row])
  const conflicts = result.rounds.reduce((sum, round) => sum + round.conflictPairs, 0) / Math.max(1, result.rounds.reduce((sum, round) => sum + round.pairs, 0))
  process.stderr.write(`${row.data} ${name} seed ${seed}: local ${means.local} simple ${means.simple ?? 'none'} federated ${means.federated} ensemble ${means.ensemble} served ${means.served} two locals ${means.twoLocals}; conflicts ${conflicts.toFixed(2)}, ${row.seconds.toFixed(1)} s\n`)
  return row
}

/** What a result file keeps of a run: one number per client, task and candidate. */
function kept ({ clients, ...row }: Row): object {
  return {
    ...row,
    clients: clients.map(({ client, served, tasks }) => ({
      client,
      served,
      tasks: tasks.map(({ scores, ...task }) => ({ ...task, scores: Object.fromEntries(Object.entries(scores).map(([candidate, { value }]) => [candidate, value])) }))
    }))
  }
}

/** Mean over clients and tasks of metrics on one scale: those where higher is better. An error alone keeps its own unit. */
function summary (of: readonly Row[], pick: (client: ClientReport, task: string) => boolean = () => true): Record<string, string> {
  const totals: Record<string, number[]> = {}
  const mixed = of.some(row => row.clients.some(client => client.tasks.some(task => task.higherIsBetter && pick(client, task.id))))
  for (const row of of) {
    for (const client of row.clients) {
      for (const task of client.tasks) {
        if (!pick(client, task.id) || (mixed && !task.higherIsBetter)) continue
        for (const [candidate, score] of Object.entries(task.scores)) (totals[candidate] ??= []).push(score.value)
      }
    }
  }
  return Object.fromEntries(Object.entries(totals).map(([candidate, list]) => [candidate, (list.reduce((a, b) => a + b, 0) / list.length).toFixed(4)]))
}

function summarise (all: readonly Row[]): string {
  const columns = ['local', 'simple', 'simpleRefit', 'bestLocal', 'twoLocals', 'federated', 'ensemble', 'simple+federated', 'served']
  const lines = [`| data | variant | seeds | slice | ${columns.join(' | ')} | fed - local by seed | ens - local by seed |`, `|${' --- |'.repeat(columns.length + 6)}`]
  const add = (variant: string, slice: string, of: readonly Row[], pick?: (client: ClientReport, task: string) => boolean): void => {
    const means = summary(of, pick)
    const gain = (candidate: string): string => of.map(row => {
      const one = summary([row], pick)
      return (Number(one[candidate]) - Number(one.local)).toFixed(3)
    }).join(' ')
    lines.push(`| ${of[0]?.data} | ${variant} | ${of.map(row => row.seed).join(' ')} | ${slice} | ${columns.map(column => means[column] ?? '').join(' | ')} | ${gain('federated')} | ${gain('ensemble')} |`)
  }
  for (const variant of new Set(all.map(row => row.variant))) {
    const of = all.filter(row => row.variant === variant)
    const first = of[0] as Row
    add(variant, '**all**', of)
    for (const task of new Set(first.clients.flatMap(client => client.tasks.map(entry => entry.id)))) add(variant, task, of, (_, id) => id === task)
    for (const client of first.clients) add(variant, client.client, of, ({ client: id }) => id === client.client)
  }
  return `${[...lines, ...against(all)].join('\n')}\n`
}

/** Every other variant minus `base` on the same seeds: mean difference with its standard error, and bytes of base over its own. */
function against (all: readonly Row[]): string[] {
  const base = all.filter(row => row.variant === 'base')
  const others = [...new Set(all.map(row => row.variant))].filter(variant => variant !== 'base')
  if (base.length === 0 || others.length === 0) return []
  const columns = ['federated', 'ensemble', 'served']
  const lines = ['', `| variant - base, pairs | ${columns.join(' | ')} | bytes base / variant |`, `|${' --- |'.repeat(columns.length + 2)}`]
  for (const variant of others) {
    const pairs = all.filter(row => row.variant === variant).flatMap(row => base.filter(({ seed }) => seed === row.seed).map(reference => [row, reference] as const))
    if (pairs.length === 0) continue
    const cells = columns.map(column => {
      const differences = pairs.map(pair => {
        const [own, reference] = pair.map(row => Number(summary([row])[column])) as [number, number]
        return own - reference
      })
      const { mean, error } = meanAndError(differences)
      return `${signed(mean)}${pairs.length > 1 ? ` ± ${error.toFixed(4)}` : ''} (${differences.map(signed).join(' ')})`
    })
    const sent = (i: 0 | 1): number => pairs.reduce((sum, pair) => sum + pair[i].bytesUp + pair[i].bytesDown, 0)
    lines.push(`| ${variant}, ${pairs.length} | ${cells.join(' | ')} | ${(sent(1) / sent(0)).toFixed(3)} |`)
  }
  return lines
}

function signed (value: number): string { return `${value < 0 ? '' : '+'}${value.toFixed(4)}` }

/** Of the mean: standard deviation over the square root of the number. */
function meanAndError (values: readonly number[]): { mean: number, error: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const spread = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, error: Math.sqrt(spread / (values.length - 1) / values.length) }
}
