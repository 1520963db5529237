/** Tasks of which sites know some classes only, in a summary: scores among a site's own labels beside those among all labels. */
import { metric, plural } from '../node/cli/format.ts'
import type { LabelScope, LabelScopes } from '../src/training/label-scopes.ts'
import type { SummaryTask } from './summary.ts'

export interface SummaryScope {
  /** Classes that an answer is chosen from. */
  readonly classes: number
  readonly local: number | null
  readonly bestLocal: number | null
  readonly federated: number | null
  readonly served: number | null
  readonly servedBy: string
  readonly reason: string
}

export interface SummaryScopes {
  readonly own: SummaryScope
  readonly all: SummaryScope
}

export function scopesOf ({ own, all }: LabelScopes): SummaryScopes { return { own: scopeOf(own), all: scopeOf(all) } }

/** One line per task: means over the clients that lack some of its labels. */
export function scopeLines (tasks: readonly SummaryTask[]): readonly string[] {
  return [...new Set(tasks.map(({ id }) => id))].flatMap(id => {
    const scopes = tasks.flatMap(task => task.id === id && task.scopes !== undefined ? [task.scopes] : [])
    const [first] = scopes
    if (first === undefined) return []
    const classes = scopes.map(({ own }) => own.classes)
    const [least, most] = [Math.min(...classes), Math.max(...classes)]
    const own = words(scopes.map(scope => scope.own))
    const all = words(scopes.map(scope => scope.all))
    return [`${id}, own labels (${least === most ? least : `${least} to ${most}`} of ${first.all.classes}): ${own}; all labels: ${all} (mean of ${plural(scopes.length, 'client')})`]
  })
}

function words (scopes: readonly SummaryScope[]): string {
  const by = new Set(scopes.map(({ servedBy }) => servedBy))
  const rival = scopes.some(({ bestLocal }) => bestLocal !== null) ? 'bestLocal' : 'local'
  return `served ${metric(meanOf(scopes, 'served'))} by ${by.size === 1 ? [...by].join() : 'several'}, best local ${metric(meanOf(scopes, rival))}`
}

function meanOf (scopes: readonly SummaryScope[], key: 'served' | 'local' | 'bestLocal'): number | null {
  const known = scopes.map(scope => scope[key]).filter(value => value !== null)
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length
}

function scopeOf ({ classes, scores, served, reason }: LabelScope): SummaryScope {
  const value = (candidate: string): number | null => {
    const score = scores[candidate]?.value
    return score == null || !Number.isFinite(score) ? null : score
  }
  return { classes, local: value('local'), bestLocal: value('bestLocal'), federated: value('federated'), served: value('served'), servedBy: served, reason }
}
