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

export interface ModelBench {
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

export interface Selection {
  /** Indices into `bench.models` as given, by (peer, model, version). */
  readonly chosen: readonly number[]
  /** What won: 'search' or the guard's alternative. */
  readonly by: 'search' | 'local' | 'whole bench' | 'best single'
  /** On validation; NaN without rows. */
  readonly accuracy: number
  readonly strength: number
  readonly diversity: number
  readonly reason: string
}

const DEFAULT_SIZE = 5

/**
 * @throws {InvalidParametersError} an empty bench, no rows and no local model, sizes out of range
 */
export function selectEnsemble (bench: ModelBench, init: SelectInit): Selection {
  const order = bench.models.map((_, i) => i).sort((a, b) => byOrigin(bench.models[a] as BenchModel, bench.models[b] as BenchModel))
  const sorted = order.map((i) => bench.models[i] as BenchModel)
  const m = sorted.length
  if (m === 0) throw new InvalidParametersError('no model on the bench')
  const kind = init.diversity ?? 'pang'
  const combination = init.combination ?? 'soft'
  const objectives = new Objectives({ classes: bench.classes, labels: bench.labels, probabilities: sorted.map((x) => x.probabilities) } satisfies Bench)
  const local = sorted.flatMap((x, i) => x.local ? [i] : [])
  const result = (subset: Subset, by: Selection['by'], reason: string): Selection => ({
    chosen: subset.map((i) => order[i] as number),
    by,
    accuracy: objectives.accuracy(subset, combination),
    strength: objectives.strength(subset),
    diversity: objectives.diversity(subset, kind),
    reason
  })
  if (bench.labels.length === 0) {
    if (local.length === 0) throw new InvalidParametersError('no validation rows and no local model to fall back on')
    return result(local, 'local', `${local.length} local models: there are no validation rows to choose by`)
  }

  const lo = init.lo ?? 1
  const limit = kind === 'pang' ? Math.max(1, bench.classes - 1) : m
  const hi = Math.min(init.hi ?? DEFAULT_SIZE, limit, m)
  if (!(Number.isInteger(lo) && lo >= 1 && lo <= hi)) throw new InvalidParametersError(`no ensembles of ${lo} to ${hi} out of ${m} models`)
  const front = (from: number, to: number): Subset[] => paretoFront({
    models: m,
    evaluate: (subset) => [objectives.strength(subset), objectives.diversity(subset, kind)],
    lo: from,
    hi: to,
    random: init.random,
    ...(local.length > 0 ? { seedSubset: local } : {}),
    ...(init.population === undefined ? {} : { population: init.population }),
    ...(init.generations === undefined ? {} : { generations: init.generations }),
    ...(init.crossover === undefined ? {} : { crossover: init.crossover }),
    ...(init.mutation === undefined ? {} : { mutation: init.mutation })
  })
  const best = (subsets: readonly Subset[]): Subset => [...subsets]
    .map((subset) => ({ subset, accuracy: objectives.accuracy(subset, combination), diversity: objectives.diversity(subset, kind) }))
    .sort((a, b) => b.accuracy - a.accuracy || a.subset.length - b.subset.length || b.diversity - a.diversity || bySizeThenIds(a.subset, b.subset))[0]
    ?.subset as Subset
  const answer = init.mode === 'variable'
    ? best(front(lo, hi))
    : best(Array.from({ length: hi - lo + 1 }, (_, i) => best(front(lo + i, lo + i))))

  const single = best(Array.from({ length: m }, (_, i) => [i]))
  const rivals: Array<{ by: Selection['by'], subset: Subset }> = [{ by: 'search', subset: answer }]
  if (init.guard !== false) {
    if (local.length > 0) rivals.push({ by: 'local', subset: local })
    rivals.push({ by: 'whole bench', subset: Array.from({ length: m }, (_, i) => i) }, { by: 'best single', subset: single })
  }
  const scored = rivals.map((r) => ({ ...r, accuracy: objectives.accuracy(r.subset, combination) }))
  const winner = scored.reduce((a, b) => b.accuracy > a.accuracy || (b.accuracy === a.accuracy && b.subset.length < a.subset.length) ? b : a)
  const figures = scored.map((r) => `${r.by} ${r.accuracy.toFixed(4)} (${r.subset.length})`).join(', ')
  return result(winner.subset, winner.by, `${winner.by} of ${m} models on ${bench.labels.length} rows: ${figures}`)
}

function byOrigin (a: BenchModel, b: BenchModel): number {
  if (a.peer !== b.peer) return a.peer < b.peer ? -1 : 1
  if (a.model !== b.model) return a.model < b.model ? -1 : 1
  return a.version - b.version
}
