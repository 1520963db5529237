/**
 * Strictly conflict-free directions. Pairwise projection (PCGrad, GP) leaves d . g_i < 0 possible for three or more
 * tasks; one projection of d on the cone of directions that hurt nobody closes the gap:
 *
 *     cone(d) = argmin |y - d|  over  y . g_i >= 0 for all i      =  d + G^T v,  v >= 0   (./dual-cone.ts)
 *
 * The same function serves an optimiser's own step u. Both are descent directions (theta <- theta - lr d), so the
 * condition is u . g_i >= 0 for gradients g_i. Where the cone is the origin alone the answer is the zero vector.
 * Source: the dual-cone projection of UPGrad (arXiv 2406.16232, section 3), applied once to another rule's result.
 */
import { InvalidParametersError } from '../errors.ts'
import { cosines, solveDual } from './dual-cone.ts'
import { addCombination, dot, gram, norm, store } from './gram.ts'
import type { Row } from './gram.ts'

/** Goal of the refinement, as a cosine: far under what float32 storage can show (6e-8). */
const GOAL = 1e-9
/** Largest violation the stored answer may show, as a cosine; half of what is promised (1e-6). */
const ACCEPTED = 5e-7
/** Below this share of the original length the answer is rounding noise of float32 rows, and zero is returned. */
const NOISE = 1e-8
/** Each pass works on the last one's measured error; two are the rule, thin cones take three. */
const PASSES = 8

export interface ConeProjection<R extends Row> {
  /** The projected direction; the input's own numbers if it already hurt nobody. */
  readonly update: R
  /** min_i update . g_i / (|update||g_i|) as stored; 0 for the zero vector. Never below -1e-6. */
  readonly minCosine: number
  /** min_i d . g_i / (|d||g_i|) before. */
  readonly minCosineBefore: number
  /** 1 - |update| / |d|; 0 if d is zero. */
  readonly removedShare: number
}

/** min_i d . g_i / (|d||g_i|); 0 if d is zero or every row is. */
export function minDirectionCosine (d: Row, rows: readonly Row[]): number {
  return least(d, rows, rows.map(norm))
}

/**
 * @param d - the direction, [d]
 * @param rows - gradients that it must not hurt, n rows of [d]; rows that are zero or not finite bind nothing
 * @param known - their Gram matrix [n, n], if the caller has it
 * @throws {InvalidParametersError} lengths differ, or d is not finite
 */
export function coneProject<R extends Row> (d: R, rows: readonly Row[], known?: Float64Array): ConeProjection<R> {
  for (const row of rows) {
    if (row.length !== d.length) throw new InvalidParametersError(`a row of ${row.length} numbers beside a direction of ${d.length}`)
  }
  if (!Number.isFinite(norm(d))) throw new InvalidParametersError('the direction to project is not finite')
  return project(d, rows, known ?? gram(rows), d)
}

/** `coneProject` of a direction held in float64, stored (and judged) in the type of `like`. */
export function project<R extends Row> (d: Row, rows: readonly Row[], k: Float64Array, like: R): ConeProjection<R> {
  const length = norm(d)
  const n = rows.length
  const binding: number[] = []
  for (let i = 0; i < n; i++) {
    const square = k[i * n + i] as number
    if (square > 0 && Number.isFinite(square)) binding.push(i)
  }
  const kept = binding.map((i) => rows[i] as Row)
  const norms = binding.map((i) => Math.sqrt(k[i * n + i] as number))
  const out = Float64Array.from(d)
  const before = least(out, kept, norms)
  if (before < 0) {
    const square = new Float64Array(kept.length * kept.length)
    binding.forEach((i, a) => binding.forEach((j, b) => { square[a * kept.length + b] = k[i * n + j] as number }))
    const unit = cosines(square, norms)
    for (let pass = 0; pass < PASSES; pass++) {
      const q = Float64Array.from(kept, (row, i) => dot(out, row) / (norms[i] as number))
      const size = norm(out)
      if (size <= NOISE * length) { out.fill(0); break }
      if (q.every((value) => value >= -GOAL * size)) break
      addCombination(out, kept, solveDual(unit, q).map((value, i) => value / (norms[i] as number)))
    }
  }
  const update = store(out, like)
  const minCosine = least(update, kept, norms)
  if (minCosine < -ACCEPTED) {
    return { update: store(new Float64Array(d.length), like), minCosine: 0, minCosineBefore: before, removedShare: 1 }
  }
  return { update, minCosine, minCosineBefore: before, removedShare: before < 0 ? 1 - norm(update) / length : 0 }
}

function least (d: Row, rows: readonly Row[], norms: readonly number[]): number {
  const length = norm(d)
  if (!(length > 0)) return 0
  let lowest = Infinity
  rows.forEach((row, i) => {
    const size = norms[i] as number
    if (size > 0 && size < Infinity) lowest = Math.min(lowest, dot(d, row) / (length * size))
  })
  return lowest === Infinity ? 0 : lowest
}
