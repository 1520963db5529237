/** One plain line per fact worth telling: the log of a run without a terminal, and the last lines under the live view. */
import { bytes, clean, count, duration, list, metric, percent, plural } from './format.ts'
import type { Explanation } from '../../src/bench/peer-trainer.ts'
import type { NodeEvent } from '../events.ts'
import type { RoundReport } from '../../src/backbone/frames.ts'

/** More tasks than this fill a screen with one fact. */
const TASKS_TOLD = 3

type Name = (text: string) => string

/** The fact in an event, or undefined where there is none. Node names stand in for peer ids. */
export function factOf (event: NodeEvent, rename: Name): string | undefined {
  const name: Name = text => clean(rename(text))
  const node = clean(event.node)
  switch (event.type) {
    case 'node:started':
      return `${node} started as ${list(event.roles)} ${event.backend === 'none' ? '' : `on ${clean(event.backend)} `}in ${duration(event.seconds)}: ${name(event.roleReason)}${event.falls.map(fall => `; ${name(fall)}`).join('')}${event.addresses.length === 0 ? '' : `; listens on ${event.addresses.map(clean).join(', ')}`}`
    case 'host:ready': return `${node} computes ${count(event.samplesPerSecond)} rows/s, ${count(event.parameters)} parameters`
    case 'client:ready': {
      const { train, holdout, test } = event.samples
      return `${node} has ${plural(event.tasks.length, 'task')} (${event.tasks.map(clean).join(', ')}) on ${train} training, ${holdout} hold-out, ${test} test rows`
    }
    case 'client:computing': return `${node} computes on ${clean(event.backend)}, loaded in ${duration(event.seconds)}${event.falls.map(fall => `; ${name(fall)}`).join('')}`
    case 'client:attached': return `${node} attached to ${name(event.host)} at step ${event.step}`
    case 'client:detached': return `${node} left ${name(event.host)}: ${name(event.reason)}`
    case 'members': return `${plural(event.members, 'member')} of the consortium: ${event.changes.slice(-5).map(({ kind, by }) => `${kind} by ${name(by)}`).join(', ')}`
    case 'member:waiting': return `${clean(event.name)} (${event.peer.slice(-8)}) is at the door, invited by ${name(event.invitedBy)}: fmtl-node admit ${event.peer.slice(-8)}`
    case 'peer:refused': return `${node} refused ${event.peer} from ${clean(event.address)}: ${name(event.reason)}`
    case 'waiting': return event.reason === '' ? undefined : `${node} waits: ${name(bare(event.reason))}`
    case 'step:skipped': return `${node} skipped ${event.from === event.to ? `step ${event.from}` : `steps ${event.from} to ${event.to}`}: ${name(event.reason)}`
    case 'round': return `${node} closed round ${event.report.round}${event.group === undefined ? '' : ` of ${event.group.map(clean).join(' + ')}`}: ${[merge(event.report, name), conflicts(event.report), ...between(event.report), ...fallbacks(event.report), cost(event.report), ...absent(event.report, name)].join('; ')}`
    case 'phase': return `${node} begins: ${clean(event.title)}`
    case 'affinity': {
      const { partition: { groups, reason }, encoderSteps: { total, allInOne } } = event
      return `${node} splits the tasks: ${groups.map(group => group.tasks.map(clean).join(' + ')).join(' | ')} (${clean(reason)}); ${count(total)} encoder steps, as one model ${count(allInOne)}`
    }
    case 'card:published': return `${node} offers ${clean(event.modelId)}, version ${event.version}, ${bytes(event.bytes)}${event.accuracy === undefined ? '' : `; ${metric(event.accuracy)} on its own hold-out`}`
    case 'card:refused': return `${node} does not take ${event.modelId === undefined ? 'a card' : clean(event.modelId)} of ${name(event.peer)}: ${name(event.reason)}`
    case 'model:considered': return `${node} ${event.kept ? `took ${clean(event.modelId)}` : `does not take ${clean(event.modelId)}`} of ${name(event.peer)}, version ${event.version}: ${event.accuracy === null ? '' : `${metric(event.accuracy)} on the hold-out, `}${name(event.reason)}`
    case 'committee': return `${node} is served ${committee(event.explanation, name)}`
    case 'report': {
      const { client, served, tasks } = event.report
      const who = client === event.node ? node : `${node} (${clean(client)})`
      const results = tasks.map(({ id, metric: metricName, scores }) => `${clean(id)} ${clean(metricName)} ${metric((scores.bestLocal ?? scores.local)?.value)} -> ${metric(scores.served?.value)}`)
      return `${who} is done: ${results.join(', ')} (best local -> served, by ${clean(served)})`
    }
    case 'error': return `${node} has a problem: ${name(event.message)} (${clean(event.code)})${event.next === undefined ? '' : `; next: ${name(event.next)}`}`
    case 'node:stopped': return `${node} stopped${event.exitCode === 0 ? '' : ` with exit status ${event.exitCode}`}: ${name(event.reason)}`
    case 'step': case 'checkpoint': case 'gauges': return undefined
  }
}

/** Which deltas a round took in, and why. */
export function merge (report: RoundReport, name: Name): string {
  return `merged ${report.merged.map(name).join(' + ')} (${name(report.mergeReason)})`
}

export function absent (report: RoundReport, name: Name): string[] {
  return report.missing.length === 0 ? [] : [`missing ${report.missing.map(name).join(', ')}`]
}

function conflicts (report: RoundReport): string {
  const direction = `min d.g cos ${metric(report.minDirectionCosine)}`
  if (report.pairs === 0) return `no pairs of gradients, ${direction}`
  return `${percent(report.conflictPairs / report.pairs)} of ${count(report.pairs)} pairs in conflict, cos mean ${metric(report.meanCosine)} min ${metric(report.minCosine)}, ${removed(report.removedShare)}, ${direction}`
}

/** How the hosts' deltas stood to each other. */
function between ({ between }: RoundReport): string[] {
  if (between === undefined || between.pairs === 0) return []
  const { hosts, pairs, conflictPairs, minCosine, minDirectionCosine, fallback } = between
  return [`deltas of ${hosts} hosts: ${conflictPairs} of ${plural(pairs, 'pair')} in conflict, cos min ${metric(minCosine)}, min d.delta cos ${metric(minDirectionCosine)}${fallback === true ? ', no answer of the rule\'s own' : ''}`]
}

function fallbacks ({ fallbacks = 0, steps }: RoundReport): string[] {
  return fallbacks === 0 ? [] : [`no answer of the rule's own in ${fallbacks} of ${plural(steps, 'step')}`]
}

/** What projection did to the length of the plain mean; attention may make it longer. */
export function removed (share: number | null): string {
  return share !== null && share < 0 ? `nothing removed (${percent(-share)} longer than the mean)` : `${percent(share)} removed`
}

function cost (report: RoundReport): string {
  return `${plural(report.steps, 'step')} in ${duration(report.seconds)}, ${bytes(report.bytesUp)} up, ${bytes(report.bytesDown)} down`
}

/** 'for digit by model-1 of north and own model-2, hold-out 0.912; ...', of three tasks. */
function committee ({ peer: self, tasks }: Explanation, name: Name): string {
  const lines = tasks.slice(0, TASKS_TOLD).map(({ task, members, accuracy }) => `for ${clean(task)} by ${list(members.map(({ peer, modelId }) => peer === self ? `own ${clean(modelId)}` : `${clean(modelId)} of ${name(peer)}`))}, hold-out ${metric(accuracy)}`)
  return `${lines.join('; ')}${tasks.length > TASKS_TOLD ? `; and for ${plural(tasks.length - TASKS_TOLD, 'task')} more` : ''}`
}

/** The reason itself, of 'waiting: 1 of 2 clients attached'. */
export function bare (reason: string): string { return reason.replace(/^waiting: /, '') }
