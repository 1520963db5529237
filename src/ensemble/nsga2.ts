/**
 * Two-objective search over subsets of a bench of models: NSGA-II as DEAP's eaMuPlusLambda runs it, and the exhaustive
 * front where there are few subsets. Every objective is maximised; a dominates b if it is >= in all and > in one.
 *
 *     population <- best of (population + 2 x population offspring) by front, then by crowding distance
 *     offspring  u < pc: uniform crossover of two parents, first child | u < pc + pm: flip each bit with 1/M | copy
 *     crowding   per front and objective: ends infinite, inner points add (next - previous) / (objectives * range)
 *
 * Source: FedPAE, arXiv 2410.14075 (search and hyper-parameters of its code); Deb et al., NSGA-II, 2002; DEAP 1.4.
 */
import { InvalidParametersError } from '../errors.ts'
import type { Random } from '../random.ts'

/** Ids of the members, ascending. */
export type Subset = readonly number[]

export interface SearchInit {
  /** Models on the bench. */
  models: number
  /** Objectives of a subset, all to be maximised; called once per subset. */
  evaluate: (subset: Subset) => readonly number[]
  /** Smallest and largest size. */
  lo: number
  hi: number
  /** Put into the first population, so that the search never forgets it. */
  seedSubset?: Subset
  random: Random
  /** Default 40. */
  population?: number
  /** Default 40. */
  generations?: number
  /** Default 0.9, and 0.05 for mutation; the rest are copies. */
  crossover?: number
  mutation?: number
}

/** 2^12: a few milliseconds to try them all, which beats any search. */
export const EXHAUSTIVE_SUBSETS = 4096

export function dominates (a: readonly number[], b: readonly number[]): boolean {
  let better = false
  for (let o = 0; o < a.length; o++) {
    if ((a[o] as number) < (b[o] as number)) return false
    if ((a[o] as number) > (b[o] as number)) better = true
  }
  return better
}

/**
 * Fronts of indices, best first; equal points share a front.
 * @param enough - no front is looked for once so many points are in those found; default all points
 */
export function nonDominatedFronts (points: ReadonlyArray<readonly number[]>, enough = points.length): number[][] {
  const beaten = timesBeaten(points)
  const fronts: number[][] = []
  let placed = 0
  let front = [...beaten.keys()].filter((i) => beaten[i] === 0)
  while (front.length > 0) {
    fronts.push(front)
    placed += front.length
    if (placed >= enough) break
    const next: number[] = []
    for (let i = 0; i < points.length; i++) {
      if (beaten[i] === 0) continue
      for (const f of front) {
        if (dominates(points[f] as readonly number[], points[i] as readonly number[])) beaten[i] = (beaten[i] as number) - 1
      }
      if (beaten[i] === 0) next.push(i)
    }
    front = next
  }
  return fronts
}

/** By how many others each point is dominated; every pair is looked at once. */
function timesBeaten (points: ReadonlyArray<readonly number[]>): Int32Array {
  const beaten = new Int32Array(points.length)
  for (let i = 0; i < points.length; i++) {
    const p = points[i] as readonly number[]
    for (let j = i + 1; j < points.length; j++) {
      const q = points[j] as readonly number[]
      if (dominates(p, q)) beaten[j] = (beaten[j] as number) + 1
      else if (dominates(q, p)) beaten[i] = (beaten[i] as number) + 1
    }
  }
  return beaten
}

/** Crowding distance of each member of one front, in its order. */
export function crowding (points: ReadonlyArray<readonly number[]>, front: readonly number[]): number[] {
  const distance = new Array<number>(front.length).fill(0)
  const objectives = points[front[0] ?? 0]?.length ?? 0
  for (let o = 0; o < objectives; o++) {
    const at = (i: number): number => points[front[i] as number]?.[o] as number
    const order = front.map((_, i) => i).sort((a, b) => at(a) - at(b))
    const first = order[0] as number
    const last = order[order.length - 1] as number
    distance[first] = distance[last] = Infinity
    const range = at(last) - at(first)
    if (range === 0) continue
    for (let p = 1; p + 1 < order.length; p++) {
      const i = order[p] as number
      distance[i] = (distance[i] as number) + (at(order[p + 1] as number) - at(order[p - 1] as number)) / (objectives * range)
    }
  }
  return distance
}

/** Number of subsets of lo..hi out of m. */
export function subsetCount (m: number, lo: number, hi: number): number {
  let total = 0
  let binomial = 1
  for (let k = 0; k <= Math.min(hi, m); k++) {
    if (k >= lo) total += binomial
    binomial = binomial * (m - k) / (k + 1)
  }
  return total
}

/** Every subset of size lo..hi, by size, then lexicographic. */
export function * subsets (m: number, lo: number, hi: number): Generator<number[]> {
  for (let size = Math.max(0, lo); size <= Math.min(hi, m); size++) {
    const at = Array.from({ length: size }, (_, i) => i)
    for (;;) {
      yield [...at]
      let p = size - 1
      while (p >= 0 && at[p] === m - size + p) p--
      if (p < 0) break
      at[p] = (at[p] as number) + 1
      for (let q = p + 1; q < size; q++) at[q] = (at[q - 1] as number) + 1
    }
  }
}

/** The exact front where there are at most 4096 subsets, else the search's. */
export function paretoFront (init: SearchInit): Subset[] {
  const { models, lo, hi, evaluate } = init
  if (!(Number.isInteger(lo) && Number.isInteger(hi) && lo >= 1 && hi >= lo && models >= hi)) {
    throw new InvalidParametersError(`no subsets of ${lo} to ${hi} out of ${models} models`)
  }
  if (subsetCount(models, lo, hi) > EXHAUSTIVE_SUBSETS) return searchFront(init)
  const all = [...subsets(models, lo, hi)]
  return firstFront(all, all.map(evaluate))
}

/** NSGA-II; the non-dominated subsets of the last population, without repeats, sorted. */
export function searchFront (init: SearchInit): Subset[] {
  const { models, lo, hi, random } = init
  const size = init.population ?? 40
  const generations = init.generations ?? 40
  const pc = init.crossover ?? 0.9
  const pm = init.mutation ?? 0.05
  if (!(Number.isInteger(size) && size >= 2)) throw new InvalidParametersError(`a population of ${size}`)

  const known = new Map<string, readonly number[]>()
  const evaluate = (subset: Subset): readonly number[] => {
    const key = subset.join()
    let value = known.get(key)
    if (value === undefined) known.set(key, value = init.evaluate(subset))
    return value
  }
  const repair = (members: Iterable<number>): Subset => {
    const set = new Set(members)
    while (set.size < lo) {
      const absent = chosen(models, (m) => !set.has(m))
      set.add(absent[random.int(absent.length)] as number)
    }
    while (set.size > hi) {
      const present = [...set].sort((a, b) => a - b)
      set.delete(present[random.int(present.length)] as number)
    }
    return [...set].sort((a, b) => a - b)
  }

  let population: Subset[] = range(size).map(() => repair(random.permutation(models).slice(0, lo + random.int(hi - lo + 1))))
  if (init.seedSubset !== undefined) population[0] = repair(init.seedSubset)
  for (let generation = 0; generation < generations; generation++) {
    const pool = [...population]
    const masks = population.map((subset) => maskOf(subset, models))
    for (let child = 0; child < 2 * size; child++) {
      const u = random.next()
      const one = random.int(size)
      const parent = masks[one] as Uint8Array
      if (u < pc) {
        const two = (one + 1 + random.int(size - 1)) % size
        const other = masks[two] as Uint8Array
        pool.push(repair(chosen(models, (m) => (random.next() < 0.5 ? parent : other)[m] === 1)))
      } else if (u < pc + pm) {
        pool.push(repair(chosen(models, (m) => (parent[m] === 1) !== (random.next() < 1 / models))))
      } else {
        pool.push(population[one] as Subset)
      }
    }
    population = survivors(pool, pool.map(evaluate), size)
  }
  const distinct = [...new Map(population.map((subset) => [subset.join(), subset])).values()].sort(bySizeThenIds)
  return firstFront(distinct, distinct.map(evaluate))
}

function survivors (pool: readonly Subset[], points: ReadonlyArray<readonly number[]>, size: number): Subset[] {
  const kept: Subset[] = []
  for (const front of nonDominatedFronts(points, size)) {
    let taken = front
    if (kept.length + front.length > size) {
      const distance = crowding(points, front)
      taken = front.map((_, i) => i)
        .sort((a, b) => distance[a] === distance[b] ? a - b : (distance[b] as number) - (distance[a] as number))
        .slice(0, size - kept.length).map((i) => front[i] as number)
    }
    kept.push(...taken.map((i) => pool[i] as Subset))
    if (kept.length === size) break
  }
  return kept
}

function firstFront (all: readonly Subset[], points: ReadonlyArray<readonly number[]>): Subset[] {
  return all.filter((_, i) => !points.some((q) => dominates(q, points[i] as readonly number[])))
}

function range (n: number): number[] { return Array.from({ length: n }, (_, i) => i) }

/** 0 to n - 1 that are taken, asked in order. */
function chosen (n: number, take: (i: number) => boolean): number[] {
  const of: number[] = []
  for (let i = 0; i < n; i++) if (take(i)) of.push(i)
  return of
}

function maskOf (subset: Subset, models: number): Uint8Array {
  const mask = new Uint8Array(models)
  for (const m of subset) mask[m] = 1
  return mask
}

export function bySizeThenIds (a: Subset, b: Subset): number {
  if (a.length !== b.length) return a.length - b.length
  const i = a.findIndex((value, at) => value !== b[at])
  return i < 0 ? 0 : (a[i] as number) - (b[i] as number)
}
