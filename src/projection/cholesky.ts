/** Solves with small symmetric positive definite matrices, such as a Gram matrix of independent rows. */

/**
 * K_AA s = r for the rows and columns `which` of K, by Cholesky.
 *
 * @param k - [n, n], row-major
 * @param rhs - r, one number for each of `which`
 * @param smallest - a pivot up to this says that a row depends on those before it
 * @returns s; undefined if a row depends on the others
 */
export function solvePositive (k: Float64Array, n: number, which: readonly number[], rhs: ArrayLike<number>, smallest: number): Float64Array | undefined {
  const m = which.length
  const l = new Float64Array(m * m)
  for (let r = 0; r < m; r++) {
    for (let c = 0; c <= r; c++) {
      let sum = k[(which[r] as number) * n + (which[c] as number)] as number
      for (let t = 0; t < c; t++) sum -= (l[r * m + t] as number) * (l[c * m + t] as number)
      if (r === c) {
        if (!(sum > smallest)) return undefined
        l[r * m + r] = Math.sqrt(sum)
      } else {
        l[r * m + c] = sum / (l[c * m + c] as number)
      }
    }
  }
  const s = new Float64Array(m)
  for (let r = 0; r < m; r++) {
    let sum = rhs[r] as number
    for (let t = 0; t < r; t++) sum -= (l[r * m + t] as number) * (s[t] as number)
    s[r] = sum / (l[r * m + r] as number)
  }
  for (let r = m - 1; r >= 0; r--) {
    let sum = s[r] as number
    for (let t = r + 1; t < m; t++) sum -= (l[t * m + r] as number) * (s[t] as number)
    s[r] = sum / (l[r * m + r] as number)
  }
  return s
}
