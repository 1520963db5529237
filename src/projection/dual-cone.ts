/**
 * The quadratic programme behind every conflict-free direction. Projecting x on the cone {y : g_i . y >= 0 for all i}
 * gives y = x + G^T v, where v >= 0 solves the dual
 *
 *     minimise  0.5 v^T K v + q^T v     over v >= 0,     K = G G^T [n, n],  q = G x [n].
 *
 * Solved by the active-set method of Lawson and Hanson in its Gram form (fast NNLS, Bro and de Jong 1997), which ends
 * after finitely many n-sized solves however thin the cone is, then by sweeps of projected Gauss-Seidel
 * (v_k <- max(0, v_k - (K_k . v + q_k) / K_kk)), which only ever lower the objective and mop up what rounding and
 * nearly dependent rows left. Source: UPGrad, arXiv 2406.16232, section 3 (the dual), with our solver.
 */
import { solvePositive } from './cholesky.ts'

/** A pivot below this share of a unit row's length is a row that the active ones already span (float64 eps is 2e-16). */
const DEPENDENT = 1e-13
/** Gauss-Seidel sweeps after the active-set answer; it is exact but for rounding, so a handful does. */
const SWEEPS = 64

/**
 * @param k - Gram matrix of rows of length ONE (unit diagonal): the cone does not depend on the rows' lengths
 * @param q - the rows' products with the point to project, [n]
 * @returns v [n], all >= 0
 */
export function solveDual (k: Float64Array, q: Float64Array): Float64Array {
  const n = q.length
  const v = new Float64Array(n)
  let scale = 0
  for (const value of q) scale = Math.max(scale, Math.abs(value))
  if (!(scale > 0)) return v
  const tolerance = 1e-15 * scale
  const active: number[] = []
  const banned = new Uint8Array(n)

  for (let turn = 0; turn < 10 * n; turn++) {
    // the row that the current point offends most
    let worst = -1
    let most = tolerance
    for (let i = 0; i < n; i++) {
      if (banned[i] === 1 || active.includes(i)) continue
      const offence = -slope(k, q, v, i)
      if (offence > most) { most = offence; worst = i }
    }
    if (worst < 0) break
    active.push(worst)
    let target = solveActive(k, q, active)
    if (target === undefined || (target[active.length - 1] as number) <= 0) {
      active.pop()
      banned[worst] = 1
      continue
    }
    banned.fill(0)
    // walk towards the active rows' solution; drop the rows whose multiplier would turn negative
    while (target !== undefined && target.some((value) => value <= 0)) {
      let step = 1
      let blocking = -1
      for (let a = 0; a < active.length; a++) {
        const goal = target[a] as number
        if (goal > 0) continue
        const at = v[active[a] as number] as number
        const reach = at / (at - goal)
        if (blocking < 0 || reach < step) { step = reach; blocking = a }
      }
      for (let a = active.length - 1; a >= 0; a--) {
        const i = active[a] as number
        const at = v[i] as number
        const goal = target[a] as number
        const next = at + step * (goal - at)
        // the blocking row always leaves, so that every turn of this loop shrinks the active set
        const leaves = a === blocking || (goal <= 0 && next <= tolerance)
        if (leaves) active.splice(a, 1)
        v[i] = leaves ? 0 : next
      }
      target = active.length === 0 ? undefined : solveActive(k, q, active)
    }
    if (target === undefined) continue
    for (let a = 0; a < active.length; a++) v[active[a] as number] = target[a] as number
  }
  gaussSeidel(k, q, v, tolerance)
  return v
}

function slope (k: Float64Array, q: Float64Array, v: Float64Array, i: number): number {
  const n = q.length
  let sum = q[i] as number
  for (let j = 0; j < n; j++) sum += (k[i * n + j] as number) * (v[j] as number)
  return sum
}

/** K_AA s = -q_A; undefined if the last of the active rows depends on the others. */
function solveActive (k: Float64Array, q: Float64Array, active: readonly number[]): Float64Array | undefined {
  return solvePositive(k, q.length, active, active.map((i) => -(q[i] as number)), DEPENDENT)
}

function gaussSeidel (k: Float64Array, q: Float64Array, v: Float64Array, tolerance: number): void {
  const n = q.length
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let moved = 0
    for (let i = 0; i < n; i++) {
      const before = v[i] as number
      const after = Math.max(0, before - slope(k, q, v, i) / (k[i * n + i] as number))
      v[i] = after
      moved = Math.max(moved, Math.abs(after - before))
    }
    if (moved <= tolerance) return
  }
}

/** Gram matrix of the rows scaled to length one. */
export function cosines (k: Float64Array, norms: ArrayLike<number>): Float64Array {
  const n = norms.length
  const out = new Float64Array(n * n)
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      out[i * n + j] = i === j ? 1 : (k[i * n + j] as number) / ((norms[i] as number) * (norms[j] as number))
    }
  }
  return out
}
