/** `fmtl-node committee show`: which models serve this home's site, task by task, and why these. */
import { examples } from './help.ts'
import { addRunningOptions, homeOf, printAnswer } from './running.ts'
import { clean, duration, metric, painter, plural, signed, table, wrap } from './format.ts'
import { request } from '../control/client.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import type { Command } from 'commander'
import type { CommitteeAnswer } from '../control/committee.ts'
import type { Paint } from './format.ts'
import type { RunningFlags } from './running.ts'

const PROSE_COLUMNS = 110

export function registerCommittee (program: Command): void {
  const group = program.command('committee').description('which models serve this site, where peers trade them')
  const command = addRunningOptions(group.command('show'))
    .description('members, what each is worth on this site\'s hold-out, and what else was compared')
    .option('--task <id>', 'of one task only')
    .action(async (flags: RunningFlags & { task?: string }) => {
      const answer = ofTask(await request<CommitteeAnswer>(homeOf(flags), 'GET', '/committee'), flags.task)
      if (flags.format === 'json') printAnswer({ success: true, ...answer })
      else process.stdout.write(`${committeeLines(answer, process.stdout.columns ?? 140, painter(process.stdout.isTTY)).join('\n')}\n`)
    })
  examples(command, 'fmtl-node committee show', 'fmtl-node committee show --task digit --format json')
}

/** @throws {InvalidParametersError} this site has no such task */
function ofTask (answer: CommitteeAnswer, wanted: string | undefined): CommitteeAnswer {
  if (wanted === undefined) return answer
  const tasks = answer.tasks.filter(({ task }) => task === wanted)
  if (tasks.length === 0) throw new InvalidParametersError(`${answer.node} has no task '${wanted}'`, { next: `use one of ${answer.tasks.map(({ task }) => task).join(', ')}` })
  return { ...answer, tasks }
}

export function committeeLines ({ node, models, own, choices, chosenSecondsAgo, served, tasks }: CommitteeAnswer, width: number, paint: Paint): string[] {
  const prose = Math.min(width, PROSE_COLUMNS)
  return [
    `${clean(node)} chooses from ${plural(models, 'model')}, ${own} of its own; chosen ${duration(chosenSecondsAgo)} ago, for the ${ordinal(choices)} time`,
    ...served === undefined ? ['its own models still learn: their committee serves, until a better one is chosen'] : wrap(`serves ${clean(decisionOf(served.reason))}`, prose),
    ...tasks.flatMap(({ task, samples, models, passedOver, members, by, accuracy, strength, diversity, rivals, reason }) => [
      '',
      `${paint('bold', clean(task))}  ${metric(accuracy)} on ${plural(samples, 'hold-out label')}; strength ${metric(strength)}, diversity ${metric(diversity)}`,
      `${plural(models, 'model')} answer${models === 1 ? 's' : ''} this task${passedOver === 0 ? '' : `, ${passedOver} too far behind to be looked at`}`,
      ...table(
        [{ title: 'member', shrink: true }, { title: 'model', shrink: true }, { title: 'architecture', shrink: true }, { title: 'version', align: 'right' }, { title: 'alone', align: 'right' }, { title: 'adds', align: 'right' }],
        members.map(member => [member.own ? 'own' : clean(member.name) || clean(member.peer), clean(member.modelId), clean(member.arch), String(member.version), metric(member.accuracy), signed(member.loses)]),
        { width, paint }),
      ...table(
        [{ title: 'compared' }, { title: 'models', align: 'right' }, { title: 'hold-out', align: 'right' }, { title: '' }],
        rivals.map(rival => [clean(rival.by), String(rival.size), metric(rival.accuracy), rival.by === by ? 'serves' : '']),
        { width, paint }),
      ...wrap(clean(reason), prose).map(line => paint('dim', line))
    ])
  ]
}

/** Of a report's reason, what was served and why; what each task's search said stands with the task. */
function decisionOf (reason: string): string { return reason.split('; ')[0] as string }

function ordinal (n: number): string {
  const last = n % 100 >= 11 && n % 100 <= 13 ? 0 : n % 10
  return `${n}${['th', 'st', 'nd', 'rd'][last] ?? 'th'}`
}
