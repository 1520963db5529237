/**
 * Peer-adaptive ensembles: from a bench of own and received models, the few that together serve the local validation
 * rows best. Per size (sweep), or over all sizes at once (variable):
 *
 *     front  = subsets that no other beats in both strength and diversity      (./nsga2.ts, ./objectives.ts)
 *     answer = the front's best ensemble accuracy on validation; ties: smaller, then more diverse, then lower ids
 *     guard  = best of {answer, local models, whole bench, best single model}; ties: smaller, then the answer first
 *
 * The guard is ours: on skewed data the pure rule can fall behind the local models. The sweep is the default because
 * strength and determinant both fall with size, so a front over all sizes holds almost only pairs.
 * Source: FedPAE, arXiv 2410.14075, sections of selection; the guard and the sweep are this project's.
 */
import { InvalidParametersError } from '../errors.ts'
import { bySizeThenIds, paretoFront } from './nsga2.ts'
import { Objectives } from './objectives.ts'
import type { Random } from '../random.ts'
import type { SearchInit, Subset } from './nsga2.ts'
import type { Bench, Combination, Diversity } from './objectives.ts'

/** A model on the bench; the order of arrival does not matter. */
export interface BenchModel {
  readonly peer: string
  readonly model: string
  readonly version: number
  readonly local: boolean
  /** [N, C] row-major, on the local validation rows. */
  readonly probabilities: ArrayLike<number>
}

/** A bench as what its models say of labelled rows. */
export interface AnsweredBench {
  readonly classes: number
  readonly labels: ArrayLike<number>
  readonly models: readonly BenchModel[]
}

export interface SelectInit extends Pick<SearchInit, 'population' | 'generations' | 'crossover' | 'mutation'> {
  /** One front per size (default), or one over all sizes. */
  mode?: 'sweep' | 'variable'
  /** Sizes; default 1 to min(5, models), and with pang at most C - 1. */
  lo?: number
  hi?: number
  /** Default 'pang'. */
  diversity?: Diversity
  /** Default 'soft'. */
  combination?: Combination
  /** Keep the best of answer, local models, whole bench and best single model. Default true. */
  guard?: boolean
  /** Used only where there are too many subsets to try them all. */
  random: Random
}

/** What a subset of a bench of models is worth, by index. */
export interface SubsetScores {
  readonly models: number
  /** Validation rows (or labelled positions). */
  readonly rows: number
  strength (subset: Subset): number
  diversity (subset: Subset): number
  /** Of the ensemble. */
  accuracy (subset: Subset): number
}

/** What won: 'search' or one of the guard's alternatives. */
export type Winner = 'search' | 'local' | 'whole bench' | 'best single' | 'running'

export interface Rival {
  readonly by: Winner
  readonly size: number
  /** On validation. */
  readonly accuracy: number
}

export interface Selection {
  /** Indices into `bench.models` as given, by (peer, model, version). */
  readonly chosen: readonly number[]
  readonly by: Winner
  /** On validation; NaN without rows. */
  readonly accuracy: number
  /** Mean accuracy of the members, and how much they differ. */
  readonly strength: number
  readonly diversity: number
  /** What the guard compared; empty without rows. */
  readonly rivals: readonly Rival[]
  /** The same in one line. */
  readonly reason: string
}

export interface SubsetInit extends Pick<SelectInit, 'mode' | 'lo' | 'guard' | 'random' | 'population' | 'generations' | 'crossover' | 'mutation'> {
  hi: number
  local: Subset
  /** Who may be chosen, ascending; default all. What serves so far may hold others. */
  candidates?: Subset
  /** What is served so far, where all of it is on the bench: one more rival, so that more models never make it worse. */
  running?: Subset
}

const DEFAULT_SIZE = 5

/**
 * @throws {InvalidParametersError} an empty bench, no rows and no local model, sizes out of range
 */
export function selectEnsemble (bench: AnsweredBench, init: SelectInit): Selection {
  const order = bench.models.map((_, i) => i).sort((a, b) => byOrigin(bench.models[a] as BenchModel, bench.models[b] as BenchModel))
  const sorted = order.map((i) => bench.models[i] as BenchModel)
  const { diversity: kind = 'pang', combination = 'soft', hi = DEFAULT_SIZE } = init
  const objectives = new Objectives({ classes: bench.classes, labels: bench.labels, probabilities: sorted.map((x) => x.probabilities) } satisfies Bench)
  const scores = scoresOf(objectives, kind, combination)
  const limit = kind === 'pang' ? Math.max(1, bench.classes - 1) : hi
  const selection = selectSubset(scores, { ...init, hi: Math.min(hi, limit), local: sorted.flatMap((x, i) => x.local ? [i] : []) })
  return { ...selection, chosen: selection.chosen.map((i) => order[i] as number) }
}

export function scoresOf (objectives: Objectives, kind: Diversity, combination: Combination): SubsetScores {
  return {
    models: objectives.models,
    rows: objectives.rows,
    strength: (subset) => objectives.strength(subset),
    diversity: (subset) => objectives.diversity(subset, kind),
    accuracy: (subset) => objectives.accuracy(subset, combination)
  }
}

/**
 * The same for any two objectives, on a bench in the order of origin.
 * @throws {InvalidParametersError} an empty bench, no rows and no local model, sizes out of range
 */
export function selectSubset (scores: SubsetScores, init: SubsetInit): Selection {
  const { models: m, rows } = scores
  const { local, running, candidates: pool = Array.from({ length: m }, (_, i) => i) } = init
  if (m === 0) throw new InvalidParametersError('no model on the bench')
  const result = (subset: Subset, by: Winner, rivals: readonly Rival[], reason: string): Selection => ({
    chosen: subset,
    by,
    accuracy: scores.accuracy(subset),
    strength: scores.strength(subset),
    diversity: scores.diversity(subset),
    rivals,
    reason
  })
  if (rows === 0) {
    if (local.length === 0) throw new InvalidParametersError('no validation rows and no local model to fall back on')
    return result(local, 'local', [], `${local.length} local models: there are no validation rows to choose by`)
  }

  const lo = init.lo ?? 1
  const hi = Math.min(init.hi, pool.length)
  if (!(Number.isInteger(lo) && lo >= 1 && lo <= hi)) throw new InvalidParametersError(`no ensembles of ${lo} to ${hi} out of ${pool.length} models`)
  const models = (places: Subset): Subset => places.map((place) => pool[place] as number)
  const ownPlaces = local.map((model) => pool.indexOf(model)).filter((place) => place >= 0)
  const front = (from: number, to: number): Subset[] => paretoFront({
    models: pool.length,
    evaluate: (places) => [scores.strength(models(places)), scores.diversity(models(places))],
    lo: from,
    hi: to,
    random: init.random,
    ...(ownPlaces.length > 0 ? { seedSubset: ownPlaces } : {}),
    ...(init.population === undefined ? {} : { population: init.population }),
    ...(init.generations === undefined ? {} : { generations: init.generations }),
    ...(init.crossover === undefined ? {} : { crossover: init.crossover }),
    ...(init.mutation === undefined ? {} : { mutation: init.mutation })
  }).map(models)
  const best = (subsets: readonly Subset[]): Subset => [...subsets]
    .map((subset) => ({ subset, accuracy: scores.accuracy(subset), diversity: scores.diversity(subset) }))
    .sort((a, b) => b.accuracy - a.accuracy || a.subset.length - b.subset.length || b.diversity - a.diversity || bySizeThenIds(a.subset, b.subset))[0]
    ?.subset as Subset
  const answer = init.mode === 'variable'
    ? best(front(lo, hi))
    : best(Array.from({ length: hi - lo + 1 }, (_, i) => best(front(lo + i, lo + i))))

  const single = best(pool.map((model) => [model]))
  const rivals: Array<{ by: Winner, subset: Subset }> = [{ by: 'search', subset: answer }]
  if (init.guard !== false) {
    if (local.length > 0) rivals.push({ by: 'local', subset: local })
    rivals.push({ by: 'whole bench', subset: pool }, { by: 'best single', subset: single })
    if (running !== undefined && running.length > 0) rivals.push({ by: 'running', subset: running })
  }
  const scored = rivals.map((r) => ({ ...r, accuracy: scores.accuracy(r.subset) }))
  const winner = scored.reduce((a, b) => b.accuracy > a.accuracy || (b.accuracy === a.accuracy && b.subset.length < a.subset.length) ? b : a)
  const figures = scored.map((r) => `${r.by} ${r.accuracy.toFixed(4)} (${r.subset.length})`).join(', ')
  return result(winner.subset, winner.by, scored.map(({ by, subset, accuracy }) => ({ by, size: subset.length, accuracy })), `${winner.by} of ${m} models on ${rows} rows: ${figures}`)
}

function byOrigin (a: BenchModel, b: BenchModel): number {
  if (a.peer !== b.peer) return a.peer < b.peer ? -1 : 1
  if (a.model !== b.model) return a.model < b.model ? -1 : 1
  return a.version - b.version
}
