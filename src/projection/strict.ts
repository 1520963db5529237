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
import { inner, multiply, part } from './gram.ts'
import { combination, gram, over, products } from '../kernels/index.ts'
import type { Measured, Row } from '../kernels/index.ts'

/** Goal of the refinement, as a cosine: far under what float32 storage can show (6e-8). */
const GOAL = 1e-9
/** Largest violation the stored answer may show, as a cosine; half of what is promised (1e-6). */
const ACCEPTED = 5e-7
/** Below this share of the original length the answer is rounding noise of float32 rows, and zero is returned. */
const NOISE = 1e-8
/** Each turn works on what the last one left; two are the rule, thin cones take three. */
const TURNS = 8

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

/** min_i d . g_i / (|d||g_i|); 0 if d is zero or every row is. `known` is the rows' Gram matrix, if the caller has it. */
export function minDirectionCosine (d: Row, rows: readonly Row[], known?: Float64Array): number {
  const { kept, norms } = binding(rows, known ?? gram(rows))
  return least(measure(d, kept), norms)
}

/**
 * @param d - the direction, [d]
 * @param rows - gradients that it must not hurt, n rows of [d]; rows that are zero or not finite bind nothing
 * @param known - their Gram matrix [n, n], if the caller has it
 * @param into - where the answer goes; may be `d`. Default: a new row
 * @throws {InvalidParametersError} lengths differ, or d is not finite
 */
export function coneProject<R extends Row> (d: R, rows: readonly Row[], known?: Float64Array, into?: R): ConeProjection<R> {
  for (const row of rows) {
    if (row.length !== d.length) throw new InvalidParametersError(`a row of ${row.length} numbers beside a direction of ${d.length}`)
  }
  const { kept, norms, k } = binding(rows, known ?? gram(rows))
  const given = measure(d, kept)
  if (!Number.isFinite(given.square)) throw new InvalidParametersError('the direction to project is not finite')
  const before = least(given, norms)
  const update = into ?? new (d.constructor as new (length: number) => R)(d.length)
  if (before >= 0) {
    if (update !== d) update.set(d)
    return { update, minCosine: before, minCosineBefore: before, removedShare: 0 }
  }
  const pull = pullToCone(k, norms, given)
  if (pull !== undefined) {
    const which = [...kept.keys(), kept.length]
    const stored = over([...kept, d], combination(which, Float64Array.of(...pull, 1), update))
    const minCosine = least(stored, norms)
    if (harmless(stored, norms, given.square)) return { update, minCosine, minCosineBefore: before, removedShare: 1 - Math.sqrt(stored.square / given.square) }
  }
  return { update: update.fill(0) as R, minCosine: 0, minCosineBefore: before, removedShare: 1 }
}

/**
 * The cone projection in the rows' own coordinates: y = x + sum_i v_i g_i, of which only products are needed.
 *
 * @param k - Gram matrix of rows that are finite and not zero
 * @param x - the direction's products with itself and with the rows
 * @returns v [n], all >= 0; undefined where nothing of x is left
 */
export function pullToCone (k: Float64Array, norms: readonly number[], { square, dots }: Measured): Float64Array | undefined {
  const unit = cosines(k, norms)
  const start = dots.map((product, i) => product / (norms[i] as number))
  const v = new Float64Array(norms.length)
  for (let turn = 0; turn < TURNS; turn++) {
    const now = multiply(unit, v).map((value, i) => (start[i] as number) + value)
    const size = Math.sqrt(Math.max(0, square + inner(v, start) + inner(v, now)))
    if (size <= NOISE * Math.sqrt(square)) return undefined
    if (now.every((value) => value >= -GOAL * size)) break
    solveDual(unit, now).forEach((value, i) => { v[i] = (v[i] as number) + value })
  }
  return v.map((value, i) => value / (norms[i] as number))
}

/** Whether a projection of a direction of length sqrt(before) is, as stored, more than noise and hurts nobody. */
export function harmless (stored: Measured, norms: readonly number[], before: number): boolean {
  return stored.square > NOISE * NOISE * before && least(stored, norms) >= -ACCEPTED
}

/** min_i d . g_i / (|d||g_i|); 0 if d is zero or there are no rows. */
export function least ({ square, dots }: Measured, norms: readonly number[]): number {
  const length = Math.sqrt(square)
  if (!(length > 0) || norms.length === 0) return 0
  return norms.reduce((lowest, size, i) => Math.min(lowest, (dots[i] as number) / (length * size)), Infinity)
}

function measure (d: Row, rows: readonly Row[]): Measured {
  const sums = over([d, ...rows], products(rows.length + 1, d.length, 1))
  return { square: sums[0] as number, dots: sums.subarray(1) }
}

/** Rows that are finite and not zero, with their lengths and products. */
function binding (rows: readonly Row[], k: Float64Array): { kept: Row[], norms: number[], k: Float64Array } {
  const n = rows.length
  const squareOf = (i: number): number => k[i * n + i] as number
  const which = [...rows.keys()].filter((i) => squareOf(i) > 0 && squareOf(i) < Infinity)
  return { kept: which.map((i) => rows[i] as Row), norms: which.map((i) => Math.sqrt(squareOf(i))), k: part(k, n, which) }
}
