/**
 * Two passes over the rows are all a gradient rule needs: the Gram matrix before it, the combination after it.
 *
 *     K_ij = g_i . g_j          [n, n] float64, row-major
 *     d    = sum_i c_i g_i      [d]    float64
 *
 * Rows may be float32 (training) or float64 (reference values); every sum runs in float64.
 */

/** One flattened gradient. */
export type Row = Float32Array | Float64Array

/** Floats of a row that are visited before the next pair of rows: 2048 x 4 bytes x 5 rows stay in a 64 KiB L1/L2 window. */
const BLOCK = 2048

export function dot (a: Row, b: Row): number {
  const n = a.length
  let s0 = 0
  let s1 = 0
  let s2 = 0
  let s3 = 0
  let k = 0
  for (; k + 3 < n; k += 4) {
    s0 += (a[k] as number) * (b[k] as number)
    s1 += (a[k + 1] as number) * (b[k + 1] as number)
    s2 += (a[k + 2] as number) * (b[k + 2] as number)
    s3 += (a[k + 3] as number) * (b[k + 3] as number)
  }
  for (; k < n; k++) s0 += (a[k] as number) * (b[k] as number)
  return (s0 + s1) + (s2 + s3)
}

export function norm (a: Row): number { return Math.sqrt(dot(a, a)) }

/** Gram matrix of n rows of one length, [n, n]; four products per load of the left row. */
export function gram (rows: readonly Row[]): Float64Array {
  const n = rows.length
  const length = rows[0]?.length ?? 0
  const out = new Float64Array(n * n)
  for (let from = 0; from < length; from += BLOCK) {
    const to = Math.min(length, from + BLOCK)
    for (let i = 0; i < n; i++) {
      const a = rows[i] as Row
      for (let j = i; j < n; j += 4) {
        const b0 = rows[j] as Row
        const b1 = rows[Math.min(j + 1, n - 1)] as Row
        const b2 = rows[Math.min(j + 2, n - 1)] as Row
        const b3 = rows[Math.min(j + 3, n - 1)] as Row
        let s0 = 0
        let s1 = 0
        let s2 = 0
        let s3 = 0
        for (let k = from; k < to; k++) {
          const x = a[k] as number
          s0 += x * (b0[k] as number)
          s1 += x * (b1[k] as number)
          s2 += x * (b2[k] as number)
          s3 += x * (b3[k] as number)
        }
        const at = i * n + j
        out[at] = (out[at] as number) + s0
        if (j + 1 < n) out[at + 1] = (out[at + 1] as number) + s1
        if (j + 2 < n) out[at + 2] = (out[at + 2] as number) + s2
        if (j + 3 < n) out[at + 3] = (out[at + 3] as number) + s3
      }
    }
  }
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) out[i * n + j] = out[j * n + i] as number
  }
  return out
}

/** out += sum_i c_i g_i, block by block so that `out` is read from cache. */
export function addCombination (out: Float64Array, rows: readonly Row[], coefficients: ArrayLike<number>): void {
  for (let from = 0; from < out.length; from += BLOCK) {
    const to = Math.min(out.length, from + BLOCK)
    for (let i = 0; i < rows.length; i++) {
      const c = coefficients[i] as number
      if (c === 0) continue
      const row = rows[i] as Row
      for (let k = from; k < to; k++) out[k] = (out[k] as number) + c * (row[k] as number)
    }
  }
}

/** y = K x for a square row-major K. */
export function multiply (k: Float64Array, x: ArrayLike<number>): Float64Array {
  const n = x.length
  const out = new Float64Array(n)
  for (let i = 0; i < n; i++) {
    let sum = 0
    for (let j = 0; j < n; j++) sum += (k[i * n + j] as number) * (x[j] as number)
    out[i] = sum
  }
  return out
}

/** Length of sum_i c_i g_i, from the Gram matrix alone. */
export function combinationNorm (k: Float64Array, c: ArrayLike<number>): number {
  const kc = multiply(k, c)
  let sum = 0
  for (let i = 0; i < kc.length; i++) sum += (kc[i] as number) * (c[i] as number)
  return Math.sqrt(Math.max(0, sum))
}

/** The same numbers in the storage type of `like`. */
export function store<R extends Row> (values: Float64Array, like: R): R {
  return (like instanceof Float64Array ? values : new Float32Array(values)) as R
}
