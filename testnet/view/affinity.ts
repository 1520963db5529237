/** The split of a run's tasks as a person reads it: what each does to the others, the groups, what they were chosen over. */
import { clean, count, metric, percent, table, tableWidth } from '../../node/cli/format.ts'
import type { Paint } from '../../node/cli/format.ts'
import type { SummaryAffinity } from '../affinity.ts'
import type { ValuedGroups } from '../../src/federation/groups.ts'

export function affinityLines (affinity: SummaryAffinity, section: (title: string, text: string) => string[], { width, paint }: { width: number, paint: Paint }): string[] {
  const { tasks, matrix, groups, reason, encoderSteps: { total, allInOne: one, oneByOne, probes } } = affinity
  const columns = [{ title: 'a step on', shrink: true }, ...tasks.map(task => ({ title: clean(task), align: 'right' as const, shrink: true }))]
  const rows = matrix.map((row, source) => [clean(tasks[source] as string), ...row.map((value, target) => cell(value, source === target, paint))])
  const share = one === 0 || oneByOne === 0 ? [] : [`${percent(total / one, 0)} of one model for all, ${percent(total / oneByOne, 0)} of one for every task`]
  return [
    ...table(columns, rows, { width, gap: tableWidth(columns, rows) <= width ? 2 : 1, paint }),
    paint('dim', 'affinity: by how much of itself a column\'s loss falls per unit of rate of a step on the row\'s task; + helps'),
    ...section('groups', `${groups.map(names).join(' | ')}: ${reason}`),
    ...chosenFrom(affinity).flatMap(text => section('', text)),
    ...section('', [`${count(total)} steps of the encoder over all clients, ${count(probes)} of them for measuring`, ...share].join('; '))
  ]
}

function names (tasks: readonly string[]): string { return tasks.join(' + ') }

/** What was weighed, in one line; none where nothing was. */
function chosenFrom ({ best, runnerUp, allInOne }: SummaryAffinity): string[] {
  const valued = ({ groups, value }: ValuedGroups): string => `${groups.map(names).join(' | ')} ${metric(value)}`
  if (best === null) return []
  return [[`best ${valued(best)}`, ...runnerUp === null ? [] : [`second ${valued(runnerUp)}`], `all in one ${metric(allInOne)}`].join('; ')]
}

/** A task's help to itself decides nothing. */
function cell (value: number | null, own: boolean, paint: Paint): string {
  if (own) return paint('dim', metric(value))
  if (value === null) return paint('yellow', '-')
  return value < 0 ? paint('red', metric(value)) : metric(value)
}
