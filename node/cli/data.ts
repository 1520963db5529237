/** `fmtl-node data check`: can this data be trained on, and what is in it. Exit status 10 when not. */
import { checkData } from '../../src/data/check-thread.ts'
import { clean, percent, table } from './format.ts'
import { examples, formatOption } from './help.ts'
import { exitStatus } from './exit-codes.ts'
import { readCharterFile } from './site.ts'
import type { CheckReport } from '../../src/data/check.ts'
import type { Column } from './format.ts'
import type { Command } from 'commander'
import type { Format } from './help.ts'

/** Only decides which rows would be held out; no figure of the report depends on it. */
const SEED = 0

export function registerData (program: Command): void {
  const command = program.command('data')
    .description('look at this site\'s data')
    .command('check <path>')
    .description('read every row of a data set and say what is in it and what is wrong with it')
    .option('--client <id>', 'look at this client\'s rows only')
    .option('--charter <file>', 'whether the data are what this consortium trains')
    .option('--tasks <ids>', 'look at these tasks only, separated by commas (default: all)')
    .addOption(formatOption())
    .action(async (path: string, options: { client?: string, charter?: string, tasks?: string, format: Format }) => {
      const charter = options.charter === undefined ? undefined : await readCharterFile(options.charter)
      const report = await checkData(path, {
        seed: SEED,
        ...charter === undefined ? {} : { charter: { input: charter.input, tasks: charter.tasks, ...charter.inputs === undefined ? {} : { inputs: charter.inputs } } },
        ...options.client === undefined ? {} : { only: [options.client] },
        ...options.tasks === undefined ? {} : { tasks: options.tasks.split(',').map(id => id.trim()) }
      })
      process.stdout.write(options.format === 'json' ? JSON.stringify(report) + '\n' : describe(path, report))
      if (!report.ok) process.exitCode = exitStatus('ERR_DATA')
    })
  examples(command, 'fmtl-node data check ./our-data', 'fmtl-node data check ./our-data --client north --charter charter.json --format json')
}

function describe (path: string, { ok, samples, rows, input, columns, skipped, clients, tasks, problems, warnings }: CheckReport): string {
  const width = process.stdout.columns ?? 120
  const lines = [`${path}: ${samples} rows at ${clients.length} ${clients.length === 1 ? 'client' : 'clients'} (${rows.train} training, ${rows.holdout} hold-out, ${rows.test} test)${skipped.count > 0 ? `, ${skipped.count} left out` : ''}`]
  if (input !== undefined) lines.push(`each row: ${input.modality} of ${input.shape.join(' x ')}`)
  lines.push('')
  if (clients.length > 0) {
    const rows = clients.map(({ id, train, holdout, test }) => [clean(id), String(train), String(holdout), String(test)])
    lines.push(...table([{ title: 'client', shrink: true }, number('train'), number('holdout'), number('test')], rows, { width }), '')
  }
  if (tasks.length > 0) {
    const rows = tasks.map(({ id, kind, support, classes = {} }) =>
      [clean(id), kind, String(support), Object.entries(classes).map(([name, n]) => `${clean(name)} ${n}`).join(', ')])
    lines.push(...table([{ title: 'task', shrink: true }, { title: 'kind' }, number('labels'), { title: 'by class', shrink: true }], rows, { width }), '')
  }
  const gaps = columns.filter(({ missing }) => missing > 0)
  if (gaps.length > 0) lines.push(...table([{ title: 'column', shrink: true }, number('missing')], gaps.map(({ name, missing }) => [clean(name), percent(missing)]), { width }), '')
  lines.push(
    ...problems.map(problem => `problem: ${clean(problem)}`),
    ...warnings.map(warning => `warning: ${clean(warning)}`),
    ok ? 'ready to train on' : 'not ready: correct the problems and run this again')
  return lines.join('\n') + '\n'
}

function number (title: string): Column { return { title, align: 'right' } }
