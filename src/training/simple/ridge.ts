/**
 * Ridge regression in closed form, with an intercept that is not regularised: for centred rows X and targets y
 *
 *     w = (X'X + lambda I)^-1 X'y        columns <= rows
 *     w = X'(XX' + lambda I)^-1 y        else: the same w, from the smaller system
 *
 * Both systems are positive definite and solved by Cholesky. The system is built once for all strengths that are tried.
 */
import { entriesOf } from './rows.ts'
import type { SparseRows } from './rows.ts'

export interface Ridge {
  readonly weights: Float64Array
  readonly intercept: number
}

/** Side of the largest system: 8 MiB, and 0.4 s to solve on one core. */
export const MAX_SIDE = 1024

/** Fits for each lambda, in their order. @param lambdas - above 0 */
export function solveRidge (rows: SparseRows, y: Float64Array, lambdas: readonly number[]): readonly Ridge[] {
  const { count, columns } = rows
  if (count === 0) return lambdas.map(() => ({ weights: new Float64Array(columns), intercept: 0 }))
  const mean = new Float64Array(columns)
  const dense = new Float64Array(count * columns)
  for (let row = 0; row < count; row++) {
    for (const [c, value] of entriesOf(rows, row)) {
      dense[row * columns + c] = value
      mean[c] = (mean[c] as number) + value / count
    }
  }
  for (let i = 0; i < dense.length; i++) dense[i] = (dense[i] as number) - (mean[i % columns] as number)
  const level = y.reduce((sum, value) => sum + value, 0) / count
  const centred = y.map(value => value - level)
  const primal = columns <= count
  const side = primal ? columns : count
  const at = primal ? (i: number, k: number) => dense[k * columns + i] as number : (i: number, k: number) => dense[i * columns + k] as number
  const inner = primal ? count : columns
  const system = new Float64Array(side * side)
  for (let i = 0; i < side; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0
      for (let k = 0; k < inner; k++) sum += at(i, k) * at(j, k)
      system[i * side + j] = sum
    }
  }
  const right = primal ? times(dense, centred, columns) : centred
  return lambdas.map(lambda => {
    const solved = cholesky(system, right, lambda)
    const weights = primal ? solved : times(dense, solved, columns)
    return { weights, intercept: level - weights.reduce((sum, w, c) => sum + w * (mean[c] as number), 0) }
  })
}

export function ridgeValues ({ weights, intercept }: Ridge, rows: SparseRows): Float64Array {
  return Float64Array.from({ length: rows.count }, (_, row) => {
    let sum = intercept
    for (let i = rows.start[row] as number; i < (rows.start[row + 1] as number); i++) sum += (weights[rows.column[i] as number] as number) * (rows.value[i] as number)
    return sum
  })
}

/** X'v. */
function times (dense: Float64Array, v: Float64Array, columns: number): Float64Array {
  const out = new Float64Array(columns)
  for (let i = 0; i < dense.length; i++) out[i % columns] = (out[i % columns] as number) + (dense[i] as number) * (v[Math.floor(i / columns)] as number)
  return out
}

/** Solves (A + lambda I) x = b; of A only the lower half is read. */
function cholesky (a: Float64Array, b: Float64Array, lambda: number): Float64Array {
  const n = b.length
  const l = a.slice()
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = (l[i * n + j] as number) + (i === j ? lambda : 0)
      for (let k = 0; k < j; k++) sum -= (l[i * n + k] as number) * (l[j * n + k] as number)
      l[i * n + j] = i === j ? Math.sqrt(sum) : sum / (l[j * n + j] as number)
    }
  }
  const x = b.slice()
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i] = (x[i] as number) - (l[i * n + k] as number) * (x[k] as number)
    x[i] = (x[i] as number) / (l[i * n + i] as number)
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] = (x[i] as number) - (l[k * n + i] as number) * (x[k] as number)
    x[i] = (x[i] as number) / (l[i * n + i] as number)
  }
  return x
}
