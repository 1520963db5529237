/**
 * Which model answers. A client has a handful of private hold-out rows and several candidates (its local model, the
 * federated one, their ensemble). It starts from the ensemble and leaves it only on evidence:
 *
 *     d_r = loss_r(candidate) - loss_r(default)     per hold-out row r, averaged over the client's tasks
 *     leave if   mean(d) < -k se(d),   se(d) = sqrt(sum (d_r - mean(d))^2 / (n - 1) / n),   k = 2
 *
 * Taking the lowest mean loss instead threw away a third to a half of the gain over 10 to 40 hold-out rows and picked
 * something worse than local in 4 of 12 cells (digits, faces). Losses must be of the same rows in the same order.
 */
import { InvalidParametersError } from '../errors.ts'

/** Candidate that is served unless the hold-out says otherwise. */
export const DEFAULT_CANDIDATE = 'ensemble'
/** Standard errors of the paired difference; one gained as much on faces and .004 less on digits. */
export const DEFAULT_ERRORS = 2

export interface ServeCandidate {
  readonly id: string
  /** Loss per hold-out row; a value that is not finite takes the candidate out. */
  readonly losses: ArrayLike<number>
}

export interface ServeInit {
  candidates: readonly ServeCandidate[]
  /** Default 'ensemble'. If it is missing or out, the first usable candidate as given takes its place. */
  default?: string
  /** Standard errors a candidate must win by. Default 2. */
  k?: number
}

export interface ServeRow {
  readonly id: string
  readonly rows: number
  /** Mean hold-out loss; NaN without rows. */
  readonly loss: number
  /** mean(loss - loss of the default), negative is better; NaN for a candidate that is out. */
  readonly difference: number
  readonly standardError: number
  readonly usable: boolean
}

export interface ServeDecision {
  readonly served: string
  /** One sentence with the numbers behind the choice. */
  readonly reason: string
  readonly table: readonly ServeRow[]
}

/** @throws {InvalidParametersError} no candidate, two of one id, rows that differ in number, or none usable */
export function serve (init: ServeInit): ServeDecision {
  const { candidates } = init
  const k = init.k ?? DEFAULT_ERRORS
  if (!(k >= 0)) throw new InvalidParametersError(`k must be a number >= 0, got ${k}`)
  const rows = candidates[0]?.losses.length
  if (rows === undefined) throw new InvalidParametersError('no candidate to serve')
  if (candidates.some((c) => c.losses.length !== rows)) {
    throw new InvalidParametersError(`candidates were measured on different rows: ${candidates.map((c) => `${c.id} ${c.losses.length}`).join(', ')}`)
  }
  if (new Set(candidates.map((c) => c.id)).size !== candidates.length) throw new InvalidParametersError('two candidates share one id')

  const usable = candidates.filter((c) => Array.from(c.losses).every(Number.isFinite))
  const wanted = init.default ?? DEFAULT_CANDIDATE
  const start = usable.find((c) => c.id === wanted) ?? usable[0]
  if (start === undefined) throw new InvalidParametersError('no candidate has finite losses on the hold-out')
  const table = candidates.map((c) => row(c, start, usable.includes(c)))
  const out = table.filter((r) => !r.usable).map((r) => `; ${r.id} is out: its loss is not finite`).join('')
  const instead = start.id === wanted ? '' : `${wanted} cannot be served, so ${start.id} is the default; `

  if (rows < 2) {
    return { served: start.id, reason: `${instead}${start.id}: ${rows} hold-out ${rows === 1 ? 'row says' : 'rows say'} nothing about another candidate${out}`, table }
  }
  const others = table.filter((r) => r.usable && r.id !== start.id)
  const better = others.filter((r) => r.difference < 0 && r.difference < -k * r.standardError)
  const nearest = (list: readonly ServeRow[]): ServeRow | undefined =>
    list.reduce<ServeRow | undefined>((best, r) => best === undefined || r.difference < best.difference ? r : best, undefined)
  const winner = nearest(better)
  if (winner !== undefined) {
    return { served: winner.id, reason: `${instead}${winner.id} instead of ${start.id}: ${words(winner, rows)}, more than ${k} standard errors lower${out}`, table }
  }
  const rival = nearest(others)
  const why = rival === undefined
    ? 'there is no other candidate'
    : `${rival.id} is the nearest rival with ${words(rival, rows)}; leaving needs more than ${k} standard errors`
  return { served: start.id, reason: `${instead}${start.id}: ${why}${out}`, table }
}

function words (r: ServeRow, rows: number): string {
  return `a loss difference of ${signed(r.difference)} (standard error ${r.standardError.toFixed(4)}, ${rows} rows)`
}

function signed (value: number): string { return `${value > 0 ? '+' : ''}${value.toFixed(4)}` }

function row (candidate: ServeCandidate, start: ServeCandidate, usable: boolean): ServeRow {
  const losses = Array.from(candidate.losses)
  const rows = losses.length
  const loss = mean(losses)
  if (!usable) return { id: candidate.id, rows, loss, difference: NaN, standardError: NaN, usable }
  const differences = losses.map((value, i) => value - (start.losses[i] as number))
  const difference = mean(differences)
  const spread = differences.reduce((sum, d) => sum + (d - difference) ** 2, 0)
  return { id: candidate.id, rows, loss, difference, standardError: rows < 2 ? NaN : Math.sqrt(spread / (rows - 1) / rows), usable }
}

function mean (values: readonly number[]): number { return values.reduce((sum, v) => sum + v, 0) / values.length }
