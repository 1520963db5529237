/** One honest sentence or two: what collaboration brought on average, who gained, who lost, who is missing. */
import { list, metric, percent, plural, signed } from '../node/cli/format.ts'
import type { Conflicts } from './conflicts.ts'
import type { SummaryTask } from './summary.ts'

/** What tables show as 0.000 is no gain and no loss. */
export const LEVEL = 0.0005

/**
 * @param missing - 'node: why', as in the summary
 * @param fallbacks - steps and merges without an answer of the rule's own, where there were any
 */
export function verdict (tasks: readonly SummaryTask[], missing: readonly string[], fallbacks?: Conflicts['fallbacks']): string {
  return `${outcome(tasks, missing)}${fallbacks === undefined ? '' : ` ${inWords(fallbacks)}.`}`
}

/** 'The gradient rule found no answer of its own in 3 steps and 1 merge, and gave the one that it falls back to' */
export function inWords ({ steps, merges }: NonNullable<Conflicts['fallbacks']>): string {
  const where = [...steps === 0 ? [] : [plural(steps, 'step')], ...merges === 0 ? [] : [plural(merges, 'merge')]]
  return `The gradient rule found no answer of its own in ${list(where)}, and gave the one that it falls back to`
}

function outcome (tasks: readonly SummaryTask[], missing: readonly string[]): string {
  const ranked = tasks.filter(task => task.gain !== null)
  const caveat = missing.length === 0 ? '' : `Incomplete run (${missing.map(text => text.split(':')[0]).join(', ')}). `
  if (ranked.length === 0) return `${caveat}Nothing can be said about gains: no task has both scores and enough test rows.`
  const rising = ranked.filter(task => task.higherIsBetter)
  const falling = ranked.filter(task => !task.higherIsBetter)
  const parts: string[] = []
  if (rising.length > 0) {
    const gains = rising.map(task => task.gain as number)
    const gain = meanOf(gains)
    const error = standardError(gains)
    const amount = `${signed(gain)}${error === undefined ? '' : ` +- ${metric(error)}`}`
    const over = `averaged over ${plural(rising.length, 'task')}`
    parts.push(Math.abs(gain) <= Math.max(LEVEL, error ?? 0)
      ? `Collaboration made no clear difference: ${amount} against the best local model, ${over}`
      : gain > 0
        ? `Collaboration gained ${amount} over the best local model, ${over}`
        : `Collaboration did not pay: what is served scores ${amount} against the best local model, ${over}`)
    const controls = rising.filter(task => task.twoLocals != null)
    if (controls.length === rising.length) {
      parts.push(`${signed(meanOf(controls.map(task => (task.served as number) - (task.twoLocals as number))))} over two local models without peers`)
    }
    const choosing = rising.filter(task => task.simple != null && task.local !== null)
    if (choosing.length === rising.length) {
      parts.push(`${signed(meanOf(choosing.map(task => (task.served as number) - (task.local as number))))} over the local deep models alone`)
    }
  }
  if (falling.length > 0) {
    const share = meanOf(falling.map(relativeGain))
    const change = Math.abs(share) <= LEVEL ? 'unchanged' : `${percent(Math.abs(share))} ${share > 0 ? 'lower' : 'higher'}`
    parts.push(`${parts.length === 0 ? 'With collaboration ' : ''}errors ${change} on average (${plural(falling.length, 'task')})`)
  }
  return `${caveat}${parts.join('; ')}. ${who(ranked)}.`
}

function who (ranked: readonly SummaryTask[]): string {
  const clients = [...new Set(ranked.map(task => task.client))].map(client => ({
    client, gain: meanOf(ranked.filter(task => task.client === client).map(relativeGain))
  }))
  const gained = clients.filter(({ gain }) => gain > LEVEL)
  const lost = clients.filter(({ gain }) => gain < -LEVEL)
  const level = clients.length - gained.length - lost.length
  if (clients.length > 1 && gained.length === clients.length) return `All ${clients.length} clients gained`
  return [
    gained.length === 0 ? 'No client gained' : `${list(gained.map(({ client }) => client))} gained`,
    lost.length === 0 ? 'nobody lost' : `${list(lost.map(({ client, gain }) => `${client} (${metric(gain)})`))} lost`,
    ...level === 0 ? [] : [`${level} stayed level`]
  ].join(', ')
}

/** Errors in units of their own are compared by their share of the best local error. */
function relativeGain (task: SummaryTask): number {
  const gain = task.gain as number
  return task.higherIsBetter || task.bestLocal === 0 ? gain : gain / Math.abs(task.bestLocal as number)
}

/** Of a mean over tasks, by how much the tasks differ. */
function standardError (values: readonly number[]): number | undefined {
  if (values.length < 2) return undefined
  const mean = meanOf(values)
  return Math.sqrt(meanOf(values.map(value => (value - mean) ** 2)) / (values.length - 1))
}

function meanOf (values: readonly number[]): number { return values.reduce((total, value) => total + value, 0) / values.length }
