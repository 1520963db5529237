/** The tables of a bench of learning, for a terminal and as Markdown. */
import { bytes, plural, table, tableWidth } from '../../../node/cli/format.ts'
import { SERVED, columnsOf, relativeGain } from './cells.ts'
import type { Column } from '../../../node/cli/format.ts'
import type { Cell, DataTable, TaskRow } from './cells.ts'

/** What a served model may fall short of the best local one before the table says that it loses: accuracy, and share of an error. */
const TOLERATED = { share: 0.01, error: 0.02 }

const TITLES: Readonly<Record<string, string>> = { simple: 'simple local', local: 'deep local', bestLocal: 'best local', twoLocals: 'two locals' }

export function titleOf (column: string, lead: string): string { return TITLES[column] ?? (column === 'simple+federated' ? `simple+${lead}` : column === 'ensemble' ? `local+${lead}` : column) }

export function asText (tables: readonly DataTable[], strategies: readonly string[], lead: string, width: number): string[] {
  const columns = shown(tables, strategies)
  const right = (title: string): { title: string, align: 'right' } => ({ title, align: 'right' })
  const figures = (some: readonly string[]): [Column[], string[][]] => [
    [{ title: 'data' }, { title: 'task' }, { title: 'metric' }, ...some.map(column => right(titleOf(column, lead)))],
    tables.flatMap(({ data, tasks }) => tasks.map(({ task, metric, cells }) => [data, task, metric, ...some.map(column => figure(cells[column]?.mean))]))
  ]
  return [
    ...blocksOf(columns, some => tableWidth(...figures(some)) <= width).flatMap(some => [...table(...figures(some), { width }), '']),
    ...table([{ title: 'data' }, { title: 'strategy' }, right('to and from a site'), right('seconds'), right('steps to target'), right('of')],
      costRows(tables), { width }),
    '',
    ...verdicts(tables)
  ]
}

export function asMarkdown (tables: readonly DataTable[], strategies: readonly string[], lead: string, machine: string): string {
  const columns = shown(tables, strategies)
  const before = tables.filter(table => table.before !== undefined)
  return `${[
    '# Learning', '',
    `${machine}. Mean over sites, then over seeds, and after ± the deviation over seeds; the hold-out chooses, the test rows are counted. ` +
    `\`served\` is what the sites of ${lead} serve; Delta is the gain over the best local model in per cent, averaged over the tasks, above 0 is better.`, '',
    ...markdownTable(['data', 'task', 'metric', ...columns.map(column => titleOf(column, lead))],
      tables.flatMap(({ data, seeds, tasks }) => [
        ...tasks.map(({ task, metric, higherIsBetter, cells }) => [`${data}, ${plural(seeds.length, 'seed')}`, task, `${metric}${higherIsBetter ? '' : ' (lower is better)'}`, ...columns.map(column => cellText(cells[column]))]),
        [data, '', 'Delta', ...columns.map(column => percent(relativeGain(tasks, column)))]
      ])),
    ...before.length === 0
      ? []
      : ['', '## Before the hold-out rows are trained on too', '',
          ...markdownTable(['data', 'task', ...before[0] === undefined ? [] : columnsBefore(before).map(column => titleOf(column, lead))],
            before.flatMap(({ data, before: rows = [] }) => rows.map(({ task, cells }) => [data, task, ...columnsBefore(before).map(column => cellText(cells[column]))])))],
    '', '## Cost', '',
    ...markdownTable(['data', 'strategy', 'payload to and from a site', 'seconds', 'steps to target', 'of'], costRows(tables)),
    '', ...verdicts(tables).map(line => `- ${line}`)
  ].join('\n')}\n`
}

function columnsBefore (tables: readonly DataTable[]): string[] {
  return [...new Set(tables.flatMap(({ before = [] }) => before.flatMap(({ cells }) => Object.keys(cells))))]
}

/** The columns in their order, as many side by side as fit. */
function blocksOf (columns: readonly string[], fits: (some: readonly string[]) => boolean): string[][] {
  const blocks: string[][] = [[]]
  for (const column of columns) {
    const block = blocks.at(-1) as string[]
    if (block.length === 0 || fits([...block, column])) block.push(column)
    else blocks.push([column])
  }
  return blocks
}

/** Columns that any data set has figures for. */
function shown (tables: readonly DataTable[], strategies: readonly string[]): string[] {
  return columnsOf(strategies).filter(column => tables.some(({ tasks }) => tasks.some(({ cells }) => cells[column] !== undefined)))
}

function costRows (tables: readonly DataTable[]): string[][] {
  return tables.flatMap(({ data, costs }) => costs.map(({ strategy, bytes: moved, seconds, stepsToTarget, steps }) =>
    [data, strategy, moved === 0 ? '' : bytes(moved), seconds.toFixed(1), Number.isFinite(stepsToTarget) ? stepsToTarget.toFixed(0) : '', String(steps)]))
}

/** Where what is served falls short of the best local model, in the mean and at a site. */
export function verdicts (tables: readonly DataTable[]): string[] {
  return tables.flatMap(({ data, tasks, unfit }) => [...Object.entries(unfit).map(([strategy, why]) => `${data}: no ${strategy}, ${why}`), ...tasks.flatMap(row => {
    const [served, local] = [row.cells[SERVED], row.cells.bestLocal]
    if (served === undefined || local === undefined) return []
    const loss = lossOf(row, served.mean, local.mean)
    const sites = Object.entries(served.sites).map(([site, value]) => ({ site, loss: lossOf(row, value, local.sites[site] ?? Number.NaN) })).filter(({ loss }) => Number.isFinite(loss))
    const worst = sites.reduce((worst, each) => each.loss > worst.loss ? each : worst, { site: '', loss: -Infinity })
    const limit = row.higherIsBetter ? TOLERATED.share : TOLERATED.error
    const unit = row.higherIsBetter ? '' : ' of the error'
    const said = (value: number): string => `${Math.abs(value).toFixed(3)}${unit}`
    return [`${data} ${row.task}: served ${loss > 0 ? `loses ${said(loss)} against` : `gains ${said(loss)} over`} the best local model${loss > limit ? ', more than is tolerated' : ''}; ` +
      `worst site ${worst.site} ${worst.loss > 0 ? `loses ${said(worst.loss)}` : `gains ${said(worst.loss)}`}`]
  })])
}

function lossOf ({ higherIsBetter }: TaskRow, served: number, local: number): number {
  return higherIsBetter ? local - served : (served - local) / local
}

function markdownTable (head: readonly string[], rows: ReadonlyArray<readonly string[]>): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), `|${' --- |'.repeat(head.length)}`, ...rows.map(line)]
}

function cellText (cell: Cell | undefined): string {
  if (cell === undefined || !Number.isFinite(cell.mean)) return ''
  return Number.isFinite(cell.deviation) ? `${figure(cell.mean)} ±${figure(cell.deviation)}` : figure(cell.mean)
}

/** .813 and 2.06: three digits that matter. */
function figure (value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return ''
  if (Math.abs(value) >= 100) return value.toFixed(0)
  return Math.abs(value) < 1 ? value.toFixed(3).replace(/^(-?)0\./, '$1.') : value.toPrecision(3)
}

function percent (value: number): string { return Number.isFinite(value) ? `${value > 0 ? '+' : ''}${value.toFixed(1)} %` : '' }
